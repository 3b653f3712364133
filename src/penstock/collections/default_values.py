"""Default values as they are stored: a time as microseconds, a geometry in one form."""

from __future__ import annotations

from dataclasses import replace

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.domain.times import parse_time
from penstock.errors import DataError, InvalidSchema
from penstock.rules.geometries import wkt_of_text


def with_stored_defaults(schema: CollectionSchema) -> CollectionSchema:
    """A checked schema with the defaults of its fields as they are stored.

    Raises:
        InvalidSchema: a default is not a geometry.
    """
    return replace(schema, fields=tuple(map(with_stored_default, schema.fields)))


def with_stored_default(field: Field) -> Field:
    """The field with its default as it is stored. Raises as :func:`with_stored_defaults`."""
    if not isinstance(field.default, str):
        return field
    if field.type is DataType.TIMESTAMPTZ:
        return replace(field, default=parse_time(field.default, field.timezone))
    if field.type is DataType.GEOMETRY:
        try:
            return replace(field, default=wkt_of_text(field.default, field))
        except DataError as error:
            raise InvalidSchema(
                f"convert defaultValue fail, err: {error.rule}, field name = {field.name}", field=field.name
            ) from None
    return field
