"""Collection schemas that hostile files are read with."""

from __future__ import annotations

from dataclasses import replace

from penstock.domain.schema import CollectionSchema, DataType, Field
from tests.support.text_files import ALL_TYPES

__all__ = ["EVERYTHING", "KEY_AND_VECTOR", "LENIENT"]

KEY_AND_VECTOR = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
        Field(name="text", type=DataType.VARCHAR, max_length=64, nullable=True),
    )
)
"""The least that collections have, and a text."""

_STRUCTS = Field(
    name="parts",
    type=DataType.ARRAY_OF_STRUCT,
    max_capacity=3,
    fields=(
        Field(name="word", type=DataType.VARCHAR, max_length=8),
        Field(name="count", type=DataType.INT32),
        Field(name="place", type=DataType.FLOAT_VECTOR, dim=2),
    ),
)

EVERYTHING = replace(ALL_TYPES, fields=(*ALL_TYPES.fields, _STRUCTS), dynamic=True)
"""A field of every type, struct arrays among them, and further keys."""

LENIENT = replace(
    EVERYTHING,
    fields=tuple(
        each if each.primary or each.default is not None else replace(each, nullable=True) for each in EVERYTHING
    ),
)
"""The same, where all may be null: a file with few columns gets far."""
