"""The description of a collection: what a describe call of any protocol shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.domain.collections import Collection, Partition
from penstock.domain.functions import Function
from penstock.domain.index import IndexSpec
from penstock.domain.schema import CollectionSchema, DataType, Field

_FIRST_FIELD_ID = 100
"""Milvus keeps the ids below for fields of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDescription:
    """A field with its id. ``fields`` are those of a struct array, each as Milvus stores it: an array, of scalars or
    vectors, as long as the struct array, of which it has ``max_capacity`` and ``nullable``."""

    id: int
    field: Field
    fields: Sequence[FieldDescription] = ()

    @property
    def is_struct_array(self) -> bool:
        return self.field.type is DataType.ARRAY_OF_STRUCT


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionDescription:
    """A function with its id, and the ids of its fields."""

    id: int
    function: Function
    input_ids: Sequence[int]
    output_ids: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionDescription:
    """A collection with its fields, its partitions and indexes in creation order, and its aliases by name."""

    collection: Collection
    fields: Sequence[FieldDescription]
    partitions: Sequence[Partition]
    indexes: Sequence[IndexSpec]
    aliases: Sequence[str]

    @property
    def functions(self) -> Sequence[FunctionDescription]:
        """The functions, numbered in schema order."""
        ids = {field.field.name: field.id for field in self.fields}
        return [
            FunctionDescription(
                id=number,
                function=function,
                input_ids=[ids[name] for name in function.inputs],
                output_ids=[ids[name] for name in function.outputs],
            )
            for number, function in enumerate(self.collection.schema.functions, _FIRST_FIELD_ID)
        ]

    @property
    def vector_indexes(self) -> Sequence[IndexSpec]:
        """The indexes of vector fields."""
        vectors = {vector.name for vector in self.collection.schema.vectors}
        return [index for index in self.indexes if index.field_name in vectors]


def describe_fields(schema: CollectionSchema) -> Sequence[FieldDescription]:
    """Number the fields in schema order; the fields of a struct array follow it."""
    descriptions = []
    number = _FIRST_FIELD_ID
    for field in schema:
        subfields = [
            FieldDescription(
                id=subfield_id, field=replace(subfield, max_capacity=field.max_capacity, nullable=field.nullable)
            )
            for subfield_id, subfield in enumerate(field.fields, number + 1)
        ]
        descriptions.append(FieldDescription(id=number, field=field, fields=subfields))
        number += 1 + len(subfields)
    return descriptions
