"""The types that values have in files."""

from __future__ import annotations

from dataclasses import replace

from penstock.domain.schema import MAX_TEXT_BYTES, CollectionSchema, DataType

__all__ = ["TEXT_TYPES", "WRITTEN_AS_TEXT", "schema_of_files"]

TEXT_TYPES = (DataType.VARCHAR, DataType.TEXT, DataType.JSON)
"""Types whose canonical columns and files hold text."""
WRITTEN_AS_TEXT = (DataType.TIMESTAMPTZ, DataType.GEOMETRY)
"""Types whose canonical columns hold something else, or text of another form."""


def schema_of_files(schema: CollectionSchema) -> CollectionSchema:
    """The schema with the types that values have in files: times and geometries are text in all formats."""
    fields = (
        replace(field, type=DataType.VARCHAR, max_length=MAX_TEXT_BYTES, default=field.shown_default)
        if field.type in WRITTEN_AS_TEXT
        else field
        for field in schema
    )
    return replace(schema, fields=tuple(fields))
