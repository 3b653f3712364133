"""Reading a JSON, JSON Lines or CSV file the way a job does: plan, then every split, with what must hold checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from penstock.domain.jobs import JobWarning
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.readers.base import Reader, ReadRequest, plan_at_once
from penstock.readers.columns.row_builder import batch_schema
from penstock.sources.base import Location
from penstock.sources.opening import open_source

__all__ = ["ALL_TYPES", "Found", "column", "columns", "read_file", "schema_of"]

ID = Field(name="id", type=DataType.INT64, primary=True)
VECTOR = Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2)


def schema_of(*fields: Field, auto_id: bool = False, dynamic: bool = False) -> CollectionSchema:
    """A collection of ``id`` (Int64), ``vector`` (two floats) and ``fields``."""
    return CollectionSchema(fields=(ID, VECTOR, *fields), auto_id=auto_id, dynamic=dynamic)


ALL_TYPES = schema_of(
    Field(name="bool", type=DataType.BOOL),
    Field(name="int8", type=DataType.INT8),
    Field(name="int16", type=DataType.INT16),
    Field(name="int32", type=DataType.INT32),
    Field(name="int64", type=DataType.INT64, nullable=True),
    Field(name="float", type=DataType.FLOAT),
    Field(name="double", type=DataType.DOUBLE, default=0.5),
    Field(name="text", type=DataType.VARCHAR, max_length=64),
    Field(name="json", type=DataType.JSON, nullable=True),
    Field(name="tags", type=DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=4, max_length=16),
    Field(name="counts", type=DataType.ARRAY, element_type=DataType.INT16, max_capacity=4, nullable=True),
    Field(name="half", type=DataType.FLOAT16_VECTOR, dim=2),
    Field(name="brain", type=DataType.BFLOAT16_VECTOR, dim=2),
    Field(name="bytes", type=DataType.INT8_VECTOR, dim=2),
    Field(name="bits", type=DataType.BINARY_VECTOR, dim=16),
    Field(name="sparse", type=DataType.SPARSE_FLOAT_VECTOR),
)
"""One field of every type."""


@dataclass(frozen=True)
class Found:
    """All rows of a file, and the warnings."""

    table: pa.Table
    warnings: list[JobWarning]
    splits: int
    batches: int
    largest_batch: int
    rows: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", self.table.to_pylist())


def column(found: Found, name: str) -> list[Any]:
    return found.table.column(name).to_pylist()


def columns(found: Found) -> list[str]:
    return list(found.table.column_names)


def read_file(
    reader: Reader,
    path: Path,
    schema: CollectionSchema,
    *,
    split_bytes: int = 1 << 30,
    batch_bytes: int = 1 << 20,
    options: Mapping[str, str] | None = None,
) -> Found:
    size = path.stat().st_size
    location = Location(uri=path.as_uri(), name=path.name, size=size)
    request = ReadRequest(
        sources=[open_source(location)], schema=schema, batch_bytes=batch_bytes, options=options or {}
    )
    wanted = batch_schema(schema)
    batches = []
    plans = plan_at_once(reader, request, split_bytes)
    assert sum(plan.size for plan in plans) == size
    for plan in plans:
        row, done = 0, 0
        for each in reader.read(request, plan.spec):
            assert each.batch.schema.equals(wanted)
            assert each.batch.num_rows > 0
            assert each.first_row == row
            assert done <= each.bytes_read <= size
            each.batch.validate(full=True)
            row, done = row + each.batch.num_rows, each.bytes_read
            batches.append(each.batch)
        assert row <= plan.max_rows
    return Found(
        table=pa.Table.from_batches(batches, wanted),
        warnings=request.warnings,
        splits=len(plans),
        batches=len(batches),
        largest_batch=max((batch.nbytes for batch in batches), default=0),
    )
