"""Columns of struct arrays: what is taken, and how the errors count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from tests.support.conforming import conform, conform_column, int64_key, warnings_for

FIELD = Field(
    name="chunks",
    type=DataType.ARRAY_OF_STRUCT,
    max_capacity=3,
    nullable=True,
    fields=(
        Field(name="page", type=DataType.INT16),
        Field(name="text", type=DataType.VARCHAR, max_length=5),
        Field(name="v", type=DataType.FLOAT16_VECTOR, dim=2),
    ),
)
LOOSE = pa.struct([("v", pa.list_(pa.float64())), ("text", pa.large_string()), ("page", pa.int64())])


def chunk(page: int | None = 1, text: str | None = "a", v: Any = (0.5, 1.0)) -> dict[str, Any]:
    return {"page": page, "text": text, "v": None if v is None else list(v)}


def column(rows: list[Any], kind: Any = LOOSE) -> Any:
    return pa.array(rows, pa.list_(kind))


def refused(given: Any, field: Field = FIELD) -> DataError:
    with pytest.raises(DataError) as caught:
        conform_column(given, field)
    return caught.value


ROWS = [[chunk(), chunk(2, "b", (1.5, -2))], None, [], [chunk(3)]]


def test_parts_are_cast_and_put_in_order() -> None:
    made = conform_column(column(ROWS), FIELD)
    assert made.type == canonical_type(FIELD)
    assert made.to_pylist() == ROWS


@pytest.mark.parametrize("start", [1, 2])
def test_slices_are_fine(start: int) -> None:
    assert conform_column(column(ROWS)[start:], FIELD).to_pylist() == ROWS[start:]


def test_lists_of_other_kinds_are_fine() -> None:
    given = column(ROWS)
    assert conform_column(given.cast(pa.large_list(LOOSE)), FIELD).to_pylist() == ROWS
    assert conform_column(pa.array([[], None], pa.list_(pa.null())), FIELD).to_pylist() == [[], None]


def test_half_vectors_may_be_bytes() -> None:
    kind = pa.struct([("page", pa.int16()), ("text", pa.string()), ("v", pa.list_(pa.uint8()))])
    raw = np.array([0.5, -3], np.float16).tobytes()
    made = conform_column(column([[chunk(v=raw)]], kind), FIELD)
    assert made.to_pylist() == [[chunk(v=(0.5, -3))]]


def test_an_absent_column_is_null() -> None:
    made = conform(CollectionSchema(fields=(int64_key(), FIELD)), {"id": pa.array([1, 2])})
    assert made.column("chunks").to_pylist() == [None, None]


def test_casts_are_told_in_rows() -> None:
    rows = [[chunk(v=(0.1, 0.2))] * 3, None]
    assert warnings_for(column(rows), FIELD) == [
        ("field 'chunks': float64 values were rounded to float16", 1),
    ]


@pytest.mark.parametrize(
    ("bad", "name", "rule"),
    [
        (chunk(page=2**15), "chunks[page]", "out of range"),
        (chunk(page=None), "chunks[page]", "array element is not allowed to be null value for field 'chunks[page]'"),
        (chunk(text="longer"), "chunks[text]", "value length(6) for field chunks[text] exceeds max_length(5)"),
        (chunk(v=(1,)), "chunks[v]", "the vector has 1 dimensions, the field has 2"),
        (chunk(v=(1, float("nan"))), "chunks[v]", "value 'NaN' is not a number"),
        (chunk(v=None), "chunks[v]", "not allowed to be null"),
        (None, "chunks", "array element is not allowed to be null value for field 'chunks'"),
    ],
)
def test_errors_name_the_part_and_count_rows(bad: Any, name: str, rule: str) -> None:
    error = refused(column([None, [chunk(), chunk()], [], [chunk(), bad], [bad]]))
    assert (error.row, error.field) == (3, name)
    assert rule in error.rule
    assert error.remedy


def test_the_capacity_is_held() -> None:
    error = refused(column([[chunk()], [chunk()] * 4]))
    assert (error.row, error.rule) == (1, "array capacity(4) for field chunks exceeds max_capacity(3)")


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (["page", "text"], "inconsistent field count in StructArray element: v is missing"),
        (["page", "text", "v", "w"], "unexpected field in StructArray element: w"),
        (["page", "text", "v", "v"], "unexpected field in StructArray element: v"),
    ],
)
def test_structs_have_exactly_the_parts(names: list[str], rule: str) -> None:
    columns = [pa.array([["a"]]).flatten() for _ in names]
    structs = pa.StructArray.from_arrays(columns, names=names)
    error = refused(pa.ListArray.from_arrays(pa.array([0, 0, 1], pa.int32()), structs))
    assert (error.row, error.rule) == (1, rule)


@pytest.mark.parametrize("given", [pa.array(["[]"]), pa.array([[1]]), pa.array([{"page": 1}])])
def test_other_columns_are_refused(given: Any) -> None:
    error = refused(given)
    assert "the field is ArrayOfStruct" in error.rule
    assert error.remedy == "ArrayOfStruct fields take lists of structs with the fields page, text, v."


def test_null_needs_a_nullable_field() -> None:
    error = refused(column([[chunk()], None]), replace(FIELD, nullable=False))
    assert (error.row, "is not nullable" in error.rule) == (1, True)
