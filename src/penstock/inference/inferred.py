"""The result of an inference: frozen values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.domain.index import IndexSpec
from penstock.domain.schema import CollectionSchema, Field


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredField:
    """A field, why it has its type in a sentence, and what else it could be."""

    field: Field
    reason: str
    alternatives: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicColumn:
    """A column that fits no field and becomes a dynamic value, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredSchema:
    """A schema for the rows of files, with the reasons.

    ``fields`` are in the order of the schema, whose first vector field is searched by default. ``indexes`` has one
    for each vector field. ``rows`` is how many were sampled, of the files ``sampled``; ``is_complete`` says that the
    files have no others. ``notes`` are about the schema as a whole.

    ``mapping`` has the sources of fields that the import option of this name needs, besides those that were given.
    """

    schema: CollectionSchema
    fields: Sequence[InferredField]
    dynamic: Sequence[DynamicColumn]
    indexes: Sequence[IndexSpec]
    rows: int
    sampled: Sequence[str]
    is_complete: bool
    notes: Sequence[str] = ()
    mapping: Mapping[str, Any] = field(default_factory=dict)
