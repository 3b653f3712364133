"""VarChar columns: valid UTF-8 of at most ``max_length`` bytes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.validation.problems import Array, mismatch

__all__ = ["is_text", "to_varchar", "utf8"]


def is_text(kind: pa.DataType) -> bool:
    """Strings and binary, of every width and as views: all may hold UTF-8."""
    return (
        pt.is_string(kind)
        or pt.is_large_string(kind)
        or pt.is_string_view(kind)
        or pt.is_binary(kind)
        or pt.is_large_binary(kind)
        or pt.is_binary_view(kind)
        or pt.is_fixed_size_binary(kind)
    )


def utf8(array: Array, field: Field) -> Array:
    """Text or binary as Arrow ``string``, its bytes checked: Parquet readers don't check those of a string column."""
    source = array.cast(pa.binary()) if pt.is_fixed_size_binary(array.type) else array
    try:
        text = source.cast(pa.string())
        text.validate(full=True)
    except pa.ArrowInvalid:
        for row, value in enumerate(source.cast(pa.large_binary()).to_pylist()):
            if value is not None and not _is_utf8(value):
                raise DataError(
                    f"field '{field.name}' contains invalid UTF-8 data",
                    row=row,
                    field=field.name,
                    value=value,
                    remedy="Write the text in UTF-8.",
                ) from None
        raise
    return text


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def to_varchar(array: Array, field: Field) -> Array:
    """Any text as ``string``; a text longer than the field's ``max_length`` bytes is an error."""
    if not is_text(array.type):
        raise mismatch(array, field)
    text = utf8(array, field)
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
