"""Collections and canonical batches for tests of engines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.domain.arrow_schema import SPARSE, canonical_schema, canonical_type
from penstock.domain.ids import new_id
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.base import Engine
from penstock.engines.values import Published, Table

__all__ = [
    "DIM",
    "every_type",
    "fixed_lists",
    "import_rows",
    "new_table",
    "plain",
    "plain_batch",
    "typed_batch",
    "vectors",
]

DIM = 16

_ELEMENTS: dict[DataType, Any] = {
    DataType.BOOL: [True, False],
    DataType.INT8: [-128, 127],
    DataType.INT16: [-(2**15), 2**15 - 1],
    DataType.INT32: [-(2**31), 2**31 - 1],
    DataType.INT64: [-(2**63), 2**63 - 1],
    DataType.FLOAT: [0.5, -3.25],
    DataType.DOUBLE: [1e300, -1e-300],
    DataType.VARCHAR: ["", "naïve ☕"],
}


def plain(dim: int | None = DIM, **vector: Any) -> CollectionSchema:
    """An Int64 key, a vector field (FloatVector unless said), a nullable Int64, a nullable VarChar, and ``$meta``."""
    return CollectionSchema(
        fields=(
            Field(name="id", type=DataType.INT64, primary=True),
            Field(**{"name": "vector", "type": DataType.FLOAT_VECTOR, "dim": dim, **vector}),
            Field(name="number", type=DataType.INT64, nullable=True),
            Field(name="word", type=DataType.VARCHAR, max_length=64, nullable=True),
        ),
        dynamic=True,
    )


def vectors(rows: int, dim: int = DIM, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def fixed_lists(values: npt.NDArray[Any], nulls: Sequence[bool] | None = None) -> pa.Array[Any]:
    mask = None if nulls is None else pa.array(nulls)
    made: pa.Array[Any] = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1], mask=mask)
    return made


def plain_batch(
    values: npt.NDArray[Any] | pa.Array[Any],
    first_id: int = 0,
    partitions: int | Sequence[int] = 0,
    schema: CollectionSchema | None = None,
) -> pa.RecordBatch:
    """Rows of :func:`plain`, one per vector; ``number`` is id % 10 and null for every eleventh."""
    rows = len(values)
    ids = range(first_id, first_id + rows)
    column = values if isinstance(values, pa.Array) else fixed_lists(values)
    parts = [partitions] * rows if isinstance(partitions, int) else list(partitions)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(ids, pa.int64()),
            column,
            pa.array([None if i % 11 == 10 else i % 10 for i in ids], pa.int64()),
            pa.array([None if i % 7 == 6 else f"word {i % 100}" for i in ids], pa.string()),
            pa.array([json.dumps({"tag": i % 5}) for i in ids], pa.string()),
            pa.array(parts, pa.int64()),
        ],
        schema=canonical_schema(schema or plain()),
    )


def every_type() -> CollectionSchema:
    """A field of every type, each scalar and array once more as nullable; names that Lance would keep for itself."""
    fields = [Field(name="_rowid", type=DataType.VARCHAR, max_length=64, primary=True)]
    for each, values in _ELEMENTS.items():
        length = 64 if each is DataType.VARCHAR else None
        fields.append(Field(name=f"{each.lower()}", type=each, max_length=length))
        fields.append(Field(name=f"_{each}", type=each, max_length=length, nullable=True))
        fields.append(
            Field(
                name=f"{each}_array",
                type=DataType.ARRAY,
                element_type=each,
                max_length=length,
                max_capacity=len(values) * 2,
                nullable=True,
            )
        )
    fields.append(Field(name="json", type=DataType.JSON, nullable=True))
    for each in (
        DataType.FLOAT_VECTOR,
        DataType.FLOAT16_VECTOR,
        DataType.BFLOAT16_VECTOR,
        DataType.INT8_VECTOR,
        DataType.BINARY_VECTOR,
        DataType.SPARSE_FLOAT_VECTOR,
    ):
        dim = None if each is DataType.SPARSE_FLOAT_VECTOR else DIM
        fields.append(Field(name=each.value, type=each, dim=dim))
        fields.append(Field(name=f"_distance_{each}", type=each, dim=dim, nullable=True))
    parts = tuple(
        replace(field, name=field.type.value)
        for field in fields
        if field.name in {kind.lower() for kind in _ELEMENTS} or (field.type.is_dense_vector and not field.nullable)
    )
    fields += [
        Field(name=name, type=DataType.ARRAY_OF_STRUCT, max_capacity=8, fields=parts, nullable=nullable)
        for name, nullable in (("structs", False), ("_structs", True))
    ]
    return CollectionSchema(fields=tuple(fields), dynamic=True)


def typed_batch(rows: int, seed: int = 0) -> pa.RecordBatch:
    """Canonical rows of :func:`every_type`; every third value of a nullable field is null."""
    rng = np.random.default_rng(seed)
    schema = every_type()
    target = canonical_schema(schema)
    columns: list[pa.Array[Any]] = []
    for name in target.names:
        column = _column(schema.get(name), name, rows, rng)
        columns.append(column.cast(target.field(name).type))
    return pa.RecordBatch.from_arrays(columns, schema=target)


def _column(field: Field | None, name: str, rows: int, rng: np.random.Generator) -> pa.Array[Any]:
    if field is None:
        if name == "__part":
            return pa.array(np.arange(rows) % 3)
        return pa.array([json.dumps({"row": i, "nested": {"list": [1, None, "é"]}}) for i in range(rows)])
    if field.primary:
        return pa.array([f"key {i:06}" for i in range(rows)])
    nulls = [field.nullable and i % 3 == 1 for i in range(rows)]
    if field.type.is_dense_vector:
        return _dense(field, rows, rng, nulls)
    values: list[Any]
    if field.type is DataType.ARRAY_OF_STRUCT:
        inner = [_column(subfield, subfield.name, 4, rng).cast(canonical_type(subfield)) for subfield in field.fields]
        structs = [
            dict(zip((subfield.name for subfield in field.fields), row, strict=True))
            for row in zip(*inner, strict=True)
        ]
        values = [None if null else structs[: i % 5] for i, null in enumerate(nulls)]
        return pa.array(values, canonical_type(field))
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        values = [{"indices": [i, i + 7, 4294967295], "values": [0.5, -1.25, i / 4]} for i in range(rows)]
        return pa.array([None if null else value for value, null in zip(values, nulls, strict=True)], SPARSE)
    if field.type is DataType.JSON:
        values = [json.dumps([{"big": 2**53 + 1}, i, "x", None, 1.5][i % 5]) for i in range(rows)]
    elif field.type is DataType.ARRAY:
        assert field.element_type is not None
        values = [(_ELEMENTS[field.element_type] * 2)[: i % 5] for i in range(rows)]
    else:
        values = [_ELEMENTS[field.type][i % 2] for i in range(rows)]
    made: pa.Array[Any] = pa.array([None if null else value for value, null in zip(values, nulls, strict=True)])
    return made


def _dense(field: Field, rows: int, rng: np.random.Generator, nulls: list[bool]) -> pa.Array[Any]:
    values: npt.NDArray[Any]
    if field.type is DataType.BINARY_VECTOR:
        values = rng.integers(0, 256, (rows, field.width)).astype(np.uint8)
    elif field.type is DataType.INT8_VECTOR:
        values = rng.integers(-128, 128, (rows, field.width)).astype(np.int8)
    else:
        values = rng.normal(size=(rows, field.width)).astype(np.float32)
        if field.type is DataType.FLOAT16_VECTOR:
            values = values.astype(np.float16)
        elif field.type is DataType.BFLOAT16_VECTOR:
            values = (values.view(np.uint32) & 0xFFFF0000).view(np.float32)
    return fixed_lists(values, nulls)


def new_table(engine: Engine, schema: CollectionSchema | None = None) -> Table:
    table = Table(id=str(uuid4()), schema=schema or plain())
    return replace(table, version=engine.create(table))


def import_rows(
    engine: Engine, table: Table, *batches: pa.RecordBatch, job: int | None = None
) -> tuple[Table, Published]:
    """Stage and publish batches as one job; the table as the catalog would know it afterwards."""
    job = job or new_id()
    staged = engine.stage(table, job, iter(batches))
    published = engine.publish(table, job, 1, [staged])
    return replace(table, version=published.version), published
