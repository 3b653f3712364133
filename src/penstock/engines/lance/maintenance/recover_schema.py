"""Recover from a table alone what the catalog needs of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from lance.dataset import LanceDataset

from penstock.domain.arrow_schema import PARTITION_COLUMN, SPARSE
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.engines.lance.layout.encoding import JOB_COLUMN
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.names import field_name, quoted
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.values import TableContents

_MAX_LENGTH, _MAX_CAPACITY = 65_535, 4_096
"""The largest values that a schema allows: the table doesn't record them."""

_SCALARS: Mapping[pa.DataType, DataType] = {
    pa.bool_(): DataType.BOOL,
    pa.int8(): DataType.INT8,
    pa.int16(): DataType.INT16,
    pa.int32(): DataType.INT32,
    pa.int64(): DataType.INT64,
    pa.float32(): DataType.FLOAT,
    pa.float64(): DataType.DOUBLE,
    pa.string(): DataType.VARCHAR,
}
_VECTORS: Mapping[pa.DataType, DataType] = {
    pa.float32(): DataType.FLOAT_VECTOR,
    pa.float16(): DataType.FLOAT16_VECTOR,
    pa.uint8(): DataType.BINARY_VECTOR,
}


def read_contents(store: TableRoot, table_id: str, schema: CollectionSchema | None) -> TableContents:
    doing = f"surveying the table {table_id}"
    dataset = store.latest(table_id, doing)
    with translating_errors(doing, store.options):
        table_schema = schema or _inferred_schema(dataset.schema)
        return TableContents(
            schema=table_schema,
            version=int(dataset.version),
            rows=int(dataset.count_rows()),
            partitions=_partitions(dataset),
            highest_id=_highest_id(dataset, table_schema) if table_schema is not None and table_schema.auto_id else 0,
        )


def _partitions(dataset: LanceDataset) -> list[int]:
    numbers: set[int] = set()
    for batch in dataset.scanner(columns=[PARTITION_COLUMN]).to_batches():
        numbers.update(int(number) for number in pc.unique(batch.column(0)).to_pylist() if number is not None)
    return sorted(numbers)


def _highest_id(dataset: LanceDataset, schema: CollectionSchema) -> int:
    """The highest auto-generated id: whole numbers, or their digits as text."""
    highest = 0
    for batch in dataset.scanner(columns={"id": quoted(schema.primary.name)}).to_batches():
        column = batch.column(0)
        if not pa.types.is_integer(column.type):
            column = column.filter(pc.match_substring_regex(column, "^[0-9]{1,18}$")).cast(pa.int64())
        highest = max(highest, pc.max(column).as_py() or 0)
    return highest


def _inferred_schema(stored: pa.Schema) -> CollectionSchema | None:
    """Infer the likeliest schema of a table of an earlier release, which stored it in the catalog only."""
    columns = [column for column in stored if column.name not in (PARTITION_COLUMN, JOB_COLUMN, META_FIELD)]
    fields = [_inferred_field(column.name, column.type, column.nullable) for column in columns]
    keys = [
        place
        for place, field in enumerate(fields)
        if field is not None and field["type"] in (DataType.INT64, DataType.VARCHAR) and not field.get("nullable")
    ]
    if None in fields or not keys or PARTITION_COLUMN not in stored.names or JOB_COLUMN not in stored.names:
        return None
    schema_fields = [
        Field(**field, primary=place == keys[0]) for place, field in enumerate(fields) if field is not None
    ]
    return CollectionSchema(fields=tuple(schema_fields), dynamic=META_FIELD in stored.names)


def _inferred_field(name: str, kind: Any, nullable: bool) -> dict[str, Any] | None:
    base: dict[str, Any] = {"name": field_name(name), **({"nullable": True} if nullable else {})}
    if kind == SPARSE:
        return {**base, "type": DataType.SPARSE_FLOAT_VECTOR}
    if isinstance(kind, pa.BaseExtensionType):
        return {**base, "type": DataType.JSON}
    if pa.types.is_fixed_size_list(kind):
        vector = _VECTORS.get(kind.value_type)
        dim = kind.list_size * (8 if vector is DataType.BINARY_VECTOR else 1)
        return None if vector is None else {**base, "type": vector, "dim": dim}
    if pa.types.is_list(kind):
        element = _SCALARS.get(kind.value_type)
        if element is None:
            return None
        texts = {"max_length": _MAX_LENGTH} if element is DataType.VARCHAR else {}
        return {**base, "type": DataType.ARRAY, "element_type": element, "max_capacity": _MAX_CAPACITY, **texts}
    scalar = _SCALARS.get(kind)
    if scalar is None:
        return None
    return {**base, "type": scalar, **({"max_length": _MAX_LENGTH} if scalar is DataType.VARCHAR else {})}
