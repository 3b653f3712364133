"""Conform VarChar and Text columns: valid UTF-8 of at most so many bytes."""

from __future__ import annotations

import pyarrow as pa

from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.readers.arrow_values import INVALID_UTF8, is_binary, is_string, is_time, iso_texts, utf8_texts
from penstock.rules.rule import Array
from penstock.rules.table import TEXT_ENCODING
from penstock.rules.texts import check_lengths
from penstock.rules.violations import changed
from penstock.validation.errors import mismatch


def is_text(kind: pa.DataType) -> bool:
    """Whether a type may hold UTF-8: strings and binary of every width, and views. Fixed-length binary holds ids."""
    return is_string(kind) or is_binary(kind)


def utf8(array: Array, field: Field) -> Array:
    """Convert text or binary to Arrow ``string``, checking UTF-8."""
    try:
        return utf8_texts(array)
    except DataError as error:
        if error.rule == INVALID_UTF8:
            raise changed(error, lambda other: TEXT_ENCODING.error(field, value=other.value)) from None
        raise error.at(field=field.name) from None


def _iso(array: Array, field: Field) -> Array:
    try:
        return iso_texts(array)
    except DataError as error:
        raise error.at(field=field.name) from None


def to_varchar(array: Array, field: Field) -> Array:
    """Convert text to ``string``, times to ISO 8601; a text of too many bytes is an error."""
    if is_time(array.type):
        text = _iso(array, field)
    elif is_text(array.type):
        text = utf8(array, field)
    else:
        raise mismatch(array, field)
    check_lengths(field, text)
    return text
