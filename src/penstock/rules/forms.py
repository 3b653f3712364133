"""What a value of each type may be given as: in Arrow columns, in JSON, in Python rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.rules.rule import describe
from penstock.rules.table import TYPE


class Forms(NamedTuple):
    """Accepted forms of a type. Format strings: ``{dim}``, ``{width}``, ``{element}``, ``{parts}``."""

    arrow: str
    json: str
    python: str


_WHOLE = Forms("whole numbers: integers, or floats and decimals without a fraction", "whole numbers", "whole numbers")
_NUMBERS = Forms("numbers: integers, floats or decimals", "numbers", "numbers")
_TEXT = Forms("UTF-8 text, UUIDs, dates, times and timestamps", "text", "text")
_HALF = Forms(
    "lists of {dim} floats, or 2 * {dim} bytes (uint8 lists or binary, little-endian)",
    "lists of {dim} numbers",
    "lists or arrays of {dim} floats, or 2 * {dim} bytes",
)

FORMS: Mapping[DataType, Forms] = {
    DataType.BOOL: Forms("booleans", "true or false", "True or False"),
    DataType.INT8: _WHOLE,
    DataType.INT16: _WHOLE,
    DataType.INT32: _WHOLE,
    DataType.INT64: _WHOLE,
    DataType.FLOAT: _NUMBERS,
    DataType.DOUBLE: _NUMBERS,
    DataType.VARCHAR: _TEXT,
    DataType.TEXT: _TEXT,
    DataType.TIMESTAMPTZ: Forms(
        "timestamps, dates, and ISO 8601 text", "ISO 8601 text", "ISO 8601 text, datetimes and dates"
    ),
    DataType.GEOMETRY: Forms("well-known text, or well-known binary", "well-known text", "well-known text"),
    DataType.JSON: Forms(
        "JSON text, or structs, maps, lists, numbers and times",
        "any value, or text that holds JSON",
        "dicts, lists, numbers, or text that holds JSON",
    ),
    DataType.ARRAY: Forms("lists of {element}", "lists of {element}", "lists"),
    DataType.ARRAY_OF_STRUCT: Forms(
        "lists of structs with the fields {parts}", "lists of objects with the keys {parts}", "lists of dicts"
    ),
    DataType.FLOAT_VECTOR: Forms(
        "lists of {dim} numbers", "lists of {dim} numbers", "lists or arrays of {dim} numbers"
    ),
    DataType.FLOAT16_VECTOR: _HALF,
    DataType.BFLOAT16_VECTOR: _HALF,
    DataType.INT8_VECTOR: Forms(
        "lists of {dim} whole numbers from -128 to 127",
        "lists of {dim} whole numbers from -128 to 127",
        "lists or arrays of {dim} whole numbers from -128 to 127",
    ),
    DataType.BINARY_VECTOR: Forms(
        "{width} bytes ({dim} bits, as uint8 lists or binary)",
        "lists of {width} whole numbers from 0 to 255 ({dim} bits)",
        "{dim} bits (a list of 0 and 1) or {width} bytes",
    ),
    DataType.SPARSE_FLOAT_VECTOR: Forms(
        'JSON text such as {{"3": 0.5}}, or struct<indices: list, values: list>',
        '{{"3": 0.5, "17": 1.2}} or {{"indices": [3, 17], "values": [0.5, 1.2]}}',
        'dicts such as {{3: 0.5}} or {{"indices": [3], "values": [0.5]}}',
    ),
}


def type_error(
    field: Field,
    actual: str,
    form: str,
    *,
    noun: str = "value",
    row: int | None = None,
    value: object = None,
    remedy: str | None = None,
    hint: str = "",
) -> DataError:
    """Error for a value, or a column, of a kind that the field doesn't take.

    ``form`` is one of :data:`FORMS`' formats; ``actual`` names the kind in the input's terms; ``hint`` follows the
    accepted forms, ``remedy`` replaces them.
    """
    accepted = form.format(
        dim=field.dim,
        width=(field.dim or 0) // 8,
        element=field.element_type.value if field.element_type else "",
        parts=", ".join(subfield.name for subfield in field.fields),
    )
    remedy = remedy or f"{field.type.value} fields take {accepted}.{hint}"
    return TYPE.error(field, row=row, value=value, noun=noun, actual=actual, type=describe(field), remedy=remedy)
