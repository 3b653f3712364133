"""Arrow columns of any type as plain columns: encodings undone, and logical types as the values that they stand for.

Whatever has no such value is refused by the name of its type. Rows in errors count in the array at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from penstock.errors import DataError, shorten

__all__ = [
    "INVALID_UTF8",
    "Array",
    "decoded_type",
    "floats_of_decimals",
    "is_binary",
    "is_json",
    "is_list",
    "is_string",
    "is_time",
    "iso_texts",
    "plain",
    "utf8_texts",
]

Array: TypeAlias = Any
"""A ``pyarrow.Array``. Which kind is known at run time only, and the stubs' overloads ask for it by name."""

_EXTENSION_NAME = b"ARROW:extension:name"
INVALID_UTF8 = "the text is not valid UTF-8"
_CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
"""Characters that no text has which was written as bytes: all controls but tabs and line ends."""

_UNITS: Mapping[str, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DAY = 86_400
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800
"""Seconds of the epoch between which ISO 8601 has dates of four digits."""


def is_list(kind: Any) -> bool:
    """Any of Arrow's five list types; a map is none of them."""
    return (
        pt.is_list(kind)
        or pt.is_large_list(kind)
        or pt.is_fixed_size_list(kind)
        or pt.is_list_view(kind)
        or pt.is_large_list_view(kind)
    )


def is_string(kind: Any) -> bool:
    return pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind)


def is_binary(kind: Any) -> bool:
    """Binary of any length; of a fixed length it is an id or a number, and no text."""
    return pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind)


def is_time(kind: Any) -> bool:
    """Dates, times of day and timestamps, which ISO 8601 spells; durations and intervals are none."""
    return pt.is_date(kind) or pt.is_time(kind) or pt.is_timestamp(kind)


def is_json(kind: Any) -> bool:
    """Arrow's extension type of JSON text, which is also how Parquet's JSON columns are read."""
    return isinstance(kind, pa.JsonType)


def decoded_type(kind: Any) -> Any:
    """The type of the values of a dictionary or run-end encoding; any other type itself."""
    while pt.is_dictionary(kind) or pt.is_run_end_encoded(kind):
        kind = kind.value_type
    return kind


def plain(array: Array, column: pa.Field[Any] | None = None, *, flat: bool = False) -> Array:
    """The array without the extension type, dictionary or run-end encoding around it. Zero-copy if it had none.

    UUIDs become text with hyphens, ``bool8`` booleans, JSON its text, and tensors lists in lists, or with ``flat``
    one list of all their numbers.

    Args:
        column: the field of the schema that the array is a column of. An extension type that Arrow doesn't know is
            told only there.

    Raises:
        DataError: the extension type is not known, and what stores it is no text.
    """
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return plain(_value_of(array, flat=flat), flat=flat)
    if pt.is_dictionary(kind):
        return plain(array.dictionary_decode(), flat=flat)
    if pt.is_run_end_encoded(kind):
        return plain(pc.call_function("run_end_decode", [array]), flat=flat)
    name = (column.metadata or {}).get(_EXTENSION_NAME) if column is not None else None
    if name is not None and not (is_string(kind) or (flat and is_list(kind))):
        raise _unknown(name.decode(errors="replace"), kind)
    if pt.is_decimal32(kind) or pt.is_decimal64(kind):
        # pyarrow 26 takes all 32-bit decimals with a scale to be out of bounds of integers.
        return array.cast(pa.decimal128(kind.precision, kind.scale))
    return array


def _value_of(array: Array, *, flat: bool) -> Array:
    kind = array.type
    if isinstance(kind, pa.UuidType):
        return _uuid_texts(array.storage)
    if isinstance(kind, pa.Bool8Type):
        return pc.not_equal(array.storage, pa.scalar(0, pa.int8()))
    if isinstance(kind, pa.FixedShapeTensorType):
        return array.storage if flat and _is_row_major(kind) else _tensors(array)
    storage = kind.storage_type
    if isinstance(kind, pa.JsonType) or is_string(storage) or (flat and is_list(storage)):
        return array.storage
    raise _unknown(_shown(kind), storage)


def _shown(kind: Any) -> str:
    name: str = kind.extension_name
    return f"{kind.vendor_name}.{kind.type_name}" if isinstance(kind, pa.OpaqueType) else name


def _unknown(name: str, storage: Any) -> DataError:
    return DataError(
        f"the column has the extension type {shorten(name, 200)!r} (stored as {storage}), which is not known here",
        remedy="Write the column with a plain type, of the values that you want back: text, numbers or lists.",
    )


def _is_row_major(kind: Any) -> bool:
    return kind.permutation is None or list(kind.permutation) == sorted(kind.permutation)


def _tensors(array: Array) -> Array:
    kind = array.type
    if not _is_row_major(kind):
        raise DataError(
            f"the column is {kind}, whose dimensions are permuted",
            remedy="Write the tensors in row-major order.",
        )
    storage = array.storage
    width = storage.type.list_size
    values = storage.values.slice(storage.offset * width, len(storage) * width)
    for size in reversed(kind.shape[1:]):
        values = pa.FixedSizeListArray.from_arrays(values, size)
    mask = storage.is_null() if storage.null_count else None
    return pa.FixedSizeListArray.from_arrays(values, kind.shape[0], mask=mask)


def _uuid_texts(storage: Array) -> Array:
    count = len(storage)
    valid = None if not storage.null_count else storage.is_valid()
    filled = storage.fill_null(bytes(16)) if storage.null_count else storage
    start = 16 * filled.offset
    # An array without values may have no buffer.
    data = np.frombuffer(filled.buffers()[1] or b"", np.uint8)[start : start + 16 * count]
    nibbles = np.stack([data >> 4, data & 15], axis=1).reshape(count, 32)
    texts = np.insert(np.frombuffer(b"0123456789abcdef", np.uint8)[nibbles], [8, 12, 16, 20], ord("-"), axis=1)
    offsets = pa.py_buffer(np.arange(0, 36 * count + 1, 36, dtype=np.int32).data)
    made: Array = pa.StringArray.from_buffers(count, offsets, pa.py_buffer(np.ascontiguousarray(texts).data))
    return made if valid is None else pc.if_else(valid, made, pa.scalar(None, pa.string()))


def utf8_texts(array: Array) -> Array:
    """Strings or binary as Arrow ``string``, their bytes checked: Parquet readers don't check those of a string.

    Bytes of a binary column are taken for text only where they have no control characters: numbers and hashes may
    be valid UTF-8 by chance.

    Raises:
        DataError: the first row that is no text.
    """
    try:
        texts = array.cast(pa.string())
        texts.validate(full=True)
    except pa.ArrowInvalid:
        for row, value in enumerate(array.cast(pa.large_binary()).to_pylist()):
            if value is not None and not _is_utf8(value):
                raise DataError(
                    INVALID_UTF8,
                    row=row,
                    value=value,
                    remedy="Write the text in UTF-8.",
                ) from None
        raise
    if is_binary(array.type):
        controls: Array = pc.match_substring_regex(texts, _CONTROLS)
        row = controls.index(True).as_py()
        if row >= 0:
            raise DataError(
                f"the {array.type} value has control characters, and so is not taken for text",
                row=row,
                value=array[row].as_py(),
                remedy="Write the column as strings if it is text, otherwise as hex or base64.",
            )
    return texts


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def iso_texts(array: Array) -> Array:
    """Dates, times and timestamps as ISO 8601: ``2024-05-18``, ``12:30:00``, ``2024-05-18T12:30:00.250``.

    All digits of the unit are written, so that texts of a column sort as their times. A timestamp with a time zone
    is given in UTC, with a ``Z``.

    Raises:
        DataError: the first time that has no such text.
    """
    kind = array.type
    if pt.is_date(kind):
        day, seconds = (_DAY, 1) if pt.is_date32(kind) else (1, 1_000)
        _check_range(array, _YEAR_1 * seconds // day, _YEAR_10000 * seconds // day)
        return array.cast(pa.date32(), safe=False).cast(pa.string())
    if pt.is_time(kind):
        _check_range(array, 0, _DAY * _UNITS[kind.unit])
        return array.cast(pa.string())
    _check_range(array, _YEAR_1 * _UNITS[kind.unit], _YEAR_10000 * _UNITS[kind.unit])
    if kind.tz is not None:
        array = array.cast(pa.timestamp(kind.unit, "UTC"))
    return pc.replace_substring(array.cast(pa.string()), " ", "T", max_replacements=1)


def _check_range(array: Array, low: int, high: int) -> None:
    numbers = array.cast(pa.int32() if array.type.bit_width == 32 else pa.int64()).fill_null(0)
    values: npt.NDArray[Any] = numbers.to_numpy()
    wrong = values < max(low, -(2**63))
    if high < 2**63:
        wrong |= values >= high
    if wrong.any():
        row = int(np.argmax(wrong))
        span = "from 00:00:00 to 23:59:59" if pt.is_time(array.type) else "from the year 1 to 9999"
        raise DataError(
            f"the {array.type} value {values[row]} is outside of what ISO 8601 spells, {span}",
            row=row,
            value=int(values[row]),
            remedy="Correct the value, or write the column as numbers.",
        )


def floats_of_decimals(decimals: Array, target: pa.DataType) -> tuple[Array, int]:
    """The nearest floats, and the number of rows in which the float is printed as another number than the decimal."""
    # By way of text: Arrow divides, and makes 2.5100000000000002 of 2.51.
    floats: Array = decimals.cast(pa.string()).cast(target)
    count: int = len(decimals) - decimals.null_count
    if decimals.type.precision <= (15 if pt.is_float64(target) else 6):
        return floats, 0
    # Three digits more than the decimals have: floats are printed with at most 17 (9), where 15 (6) are exact.
    exact = pa.decimal256(76, max(decimals.type.scale, 0) + 3)
    try:
        same: Array = pc.equal(floats.cast(pa.string()).cast(exact), decimals.cast(exact))
    except pa.ArrowInvalid:  # more digits than fit beside each other
        return floats, count
    equal: int = pc.sum(same).as_py() or 0
    return floats, count - equal
