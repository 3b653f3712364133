"""Conforming one column, as the tests of validation do it over and over."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pyarrow as pa
import pytest

from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.readers.base import RowBatch
from penstock.validation import Conformer

__all__ = [
    "check_json",
    "conform",
    "conform_column",
    "float_vector",
    "int64_key",
    "refused",
    "row_batch",
    "warnings_for",
]


def check_json(batch: pa.RecordBatch, schema: CollectionSchema) -> None:
    """That the engine and answers can take the batch's JSON: numbers of a double's range, each key once, and no
    deeper than the library writes that answers are written with."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    for name in batch.schema.names:
        if name == META_FIELD or (name in schema.names and schema[name].type is DataType.JSON):
            for text in filter(None, batch.column(name).to_pylist()):
                orjson.dumps(orjson.loads(text))
                json.loads(text, object_pairs_hook=distinct)


def int64_key(name: str = "id") -> Field:
    return Field(name=name, type=DataType.INT64, primary=True)


def float_vector(dim: int = 2, name: str = "vector", *, nullable: bool = False) -> Field:
    return Field(name=name, type=DataType.FLOAT_VECTOR, dim=dim, nullable=nullable)


def row_batch(columns: dict[str, Any], first_row: int = 0) -> RowBatch:
    return RowBatch(batch=pa.record_batch(columns), first_row=first_row, bytes_read=0)


def conform(schema: CollectionSchema, columns: dict[str, Any], *, first_row: int = 0) -> pa.RecordBatch:
    """One batch, all rows into partition 1."""
    return Conformer(schema, [1]).conform(row_batch(columns, first_row))


def _with(field: Field, column: Any) -> tuple[CollectionSchema, dict[str, Any]]:
    schema = CollectionSchema(fields=(int64_key("_key"), field))
    return schema, {"_key": pa.array(range(len(column)), pa.int64()), field.name: column}


def conform_column(column: Any, field: Field) -> Any:
    """The canonical array that ``column`` becomes as a value of ``field``."""
    schema, columns = _with(field, column)
    made = conform(schema, columns)
    made.validate(full=True)
    return made.column(field.name)


def refused(column: Any, field: Field) -> DataError:
    """The error that ``column`` causes."""
    schema, columns = _with(field, column)
    with pytest.raises(DataError) as caught:
        conform(schema, columns)
    assert caught.value.field == field.name
    assert caught.value.remedy
    return caught.value


def warnings_for(column: Any, field: Field) -> list[tuple[str, int]]:
    """Message and count of each warning that ``column`` causes."""
    schema, columns = _with(field, column)
    conformer = Conformer(schema, [1])
    conformer.conform(row_batch(columns))
    return [(warning.message, warning.count) for warning in conformer.warnings]
