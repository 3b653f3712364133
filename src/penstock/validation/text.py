"""Conform VarChar columns: valid UTF-8 of at most ``max_length`` bytes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.readers.arrow_values import INVALID_UTF8, is_binary, is_string, is_time, iso_texts, utf8_texts
from penstock.validation.errors import Array, mismatch

__all__ = ["is_text", "to_varchar", "utf8"]


def is_text(kind: pa.DataType) -> bool:
    """Whether a type may hold UTF-8: strings and binary of every width, and views. Fixed-length binary holds ids."""
    return is_string(kind) or is_binary(kind)


def utf8(array: Array, field: Field) -> Array:
    """Convert text or binary to Arrow ``string``, checking UTF-8."""
    try:
        return utf8_texts(array)
    except DataError as error:
        # Milvus's wording.
        rule = f"field '{field.name}' contains invalid UTF-8 data" if error.rule == INVALID_UTF8 else error.rule
        raise DataError(rule, row=error.row, field=field.name, value=error.value, remedy=error.remedy) from None


def _iso(array: Array, field: Field) -> Array:
    try:
        return iso_texts(array)
    except DataError as error:
        raise error.at(field=field.name) from None


def to_varchar(array: Array, field: Field) -> Array:
    """Convert text to ``string``, times to ISO 8601; a text of more than ``max_length`` bytes is an error."""
    if is_time(array.type):
        text = _iso(array, field)
    elif is_text(array.type):
        text = utf8(array, field)
    else:
        raise mismatch(array, field)
    limit = field.max_length or 0
    lengths: Array = pc.binary_length(text)
    longest: int | None = pc.max(lengths).as_py()
    if longest is not None and longest > limit:
        row = int(np.argmax(lengths.fill_null(0).to_numpy() > limit))
        raise DataError(
            f"value length({lengths[row].as_py()}) for field {field.name} exceeds max_length({limit})",
            row=row,
            field=field.name,
            value=text[row].as_py(),
            remedy="Lengths count UTF-8 bytes. Shorten the text, or use a field with a larger max_length.",
        )
    return text
