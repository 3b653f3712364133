"""Columns of every Arrow type for fields of every type: what a person reads in the column, or a refusal.

The generator finds by itself a type that is taken for what it isn't (bytes of a UUID that happen to be UTF-8):
whatever completes is held against an oracle that knows no Arrow.
"""

from __future__ import annotations

import datetime
import io
import json
import math
import os
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.readers.base import ReadRequest, plan_at_once
from penstock.readers.parquet.reader import PARQUET
from penstock.validation import Conformer
from tests.support.arrow_columns import COLUMNS, NO_VALUE, ArrowColumn
from tests.support.in_memory import BytesSource

EXAMPLES = max(15, int(os.environ.get("PENSTOCK_ATTACK_FILES", "0")) // 50)
"""Files of each type; ``make attack`` makes hundreds."""

FIELDS: dict[str, Field] = {
    **{
        kind.value: Field(name="x", type=kind, nullable=True)
        for kind in (
            *(DataType.BOOL, DataType.INT8, DataType.INT16, DataType.INT32, DataType.INT64),
            *(DataType.FLOAT, DataType.DOUBLE, DataType.JSON, DataType.SPARSE_FLOAT_VECTOR),
            *(DataType.TEXT, DataType.TIMESTAMPTZ, DataType.GEOMETRY),
        )
    },
    "VarChar": Field(name="x", type=DataType.VARCHAR, max_length=1000, nullable=True),
    **{
        kind.value: Field(name="x", type=kind, dim=32 if kind is DataType.BINARY_VECTOR else 2, nullable=True)
        for kind in DataType
        if kind.is_dense_vector
    },
    **{
        f"Array<{kind.value}>": Field(
            name="x", type=DataType.ARRAY, element_type=kind, max_length=1000, max_capacity=9, nullable=True
        )
        for kind in (DataType.INT64, DataType.DOUBLE, DataType.VARCHAR, DataType.BOOL)
    },
    "ArrayOfStruct": Field(
        name="x",
        type=DataType.ARRAY_OF_STRUCT,
        max_capacity=9,
        nullable=True,
        fields=(Field(name="part", type=DataType.VARCHAR, max_length=1000),),
    ),
    "dynamic": Field(name="other", type=DataType.INT64, nullable=True),
}


def parquet(array: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": pa.array(range(len(array)), pa.int64()), "x": array}), sink, **options)
    return sink.getvalue()


def imported(content: bytes, field: Field) -> list[Any]:
    """The values of field ``x``, or those of the dynamic value of that name, as they are staged."""
    key = Field(name="id", type=DataType.INT64, primary=True)
    schema = CollectionSchema(fields=(key, field), dynamic=field.name != "x")
    request = ReadRequest(sources=[BytesSource("a.parquet", content)], schema=schema, batch_bytes=1 << 20)
    rows: list[Any] = []
    for plan in plan_at_once(PARQUET.reader, request, 1 << 30):
        conformer = Conformer(schema, [1])
        for each in PARQUET.reader.read(request, plan.spec):
            batch = conformer.conform(each)
            batch.validate(full=True)
            if field.name == "x":
                rows += batch.column("x").to_pylist()
            else:
                rows += [json.loads(str(meta)).get("x") for meta in batch.column("$meta").to_pylist()]
    return rows


def as_json(value: Any) -> Any:
    """What a JSON parser reads: decimals as the nearest float."""
    if isinstance(value, Decimal):
        whole = value == value.to_integral_value() and abs(value) < 2**63
        return int(value) if whole else float(value)
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, list) else value


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def is_value(got: Any, read: Any, field: Field, column: ArrowColumn, raw: Any) -> bool:
    """Whether ``got`` is what a person reads in the column, as a value of the field."""
    kind = field.type
    if read is NO_VALUE:
        return field.type.is_dense_vector and isinstance(raw, bytes)  # bytes are a form of vectors
    if field.name != "x":
        return bool(got == as_json(read))
    if kind is DataType.JSON:
        text: Any = json.loads(str(got or "null"))
        return bool(text == (json.loads(read) if column.is_text else as_json(read)))
    if kind is DataType.BOOL:
        return isinstance(read, bool) and got is read
    if kind.is_integer:
        return not isinstance(read, bool) and bool(got == read)
    if kind in (DataType.FLOAT, DataType.DOUBLE):
        return not isinstance(read, bool) and math.isclose(got, float(read), rel_tol=1e-6, abs_tol=1e-45)
    if kind is DataType.TIMESTAMPTZ:
        time = datetime.datetime.fromisoformat(read)
        time = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
        return bool(got == (time - EPOCH) // datetime.timedelta(microseconds=1))
    if kind in (DataType.VARCHAR, DataType.TEXT):
        # JSON has its text, which reads as any spelling of it.
        return bool(got == read) or (isinstance(raw, str) and got == raw)
    if kind is DataType.ARRAY:
        return isinstance(read, list) and bool(got == read)
    if kind.is_dense_vector:
        return isinstance(read, list) and [float(each) for each in got] == pytest.approx(read, rel=0.01)
    return kind is DataType.SPARSE_FLOAT_VECTOR or (kind is DataType.ARRAY_OF_STRUCT and bool(got == read))


def wrong(column: ArrowColumn, raw: list[Any], field: Field, options: Mapping[str, Any]) -> str:
    """What is wrong with an import of the column, if anything."""
    try:
        content = parquet(column.make(raw), **options)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return ""  # Parquet has times in some units only, and can't hold all of the others
    try:
        got = imported(content, field)
    except DataError as error:
        return "" if error.field in ("x", "x[part]") and error.remedy else f"not told of the column: {error}"
    if options:
        return ""  # without Arrow's schema it is another type; that it ends well is enough
    for row, value in zip(got, raw, strict=True):
        if not is_value(row, column.read(value), field, column, value):
            return f"{value!r} reads as {column.read(value)!r} and became {row!r}"
    return ""


@pytest.mark.parametrize("name", [name for name, column in COLUMNS.items() if column.in_parquet])
def test_a_column_is_what_a_person_reads_in_it_or_is_refused(name: str) -> None:
    column = COLUMNS[name]
    writings: list[Mapping[str, Any]] = [{}, {"store_schema": False}]
    fields = [*FIELDS, *("VarChar", "JSON", "dynamic", "Array<VarChar>") * 4]  # those that take most types

    @given(st.lists(column.raw, min_size=1, max_size=3), st.sampled_from(fields), st.sampled_from(writings))
    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    def check(raw: list[Any], field: str, options: Mapping[str, Any]) -> None:
        assert not wrong(column, raw, FIELDS[field], options)

    check()
