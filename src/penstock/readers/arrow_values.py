"""Convert Arrow columns of any type to plain columns: decode encodings and replace logical types by their values.

Types without such a value are refused by name. Rows in errors count in the given array.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from penstock.domain.schema import DataType, Field
from penstock.errors import DataError, shorten
from penstock.readers.shared_values import decoded_dictionary
from penstock.rules.rule import Array
from penstock.rules.violations import each, violation

EXTENSION_NAME = b"ARROW:extension:name"
INVALID_UTF8 = "the text is not valid UTF-8"
_CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
"""Characters that rule out text in a binary column: all controls but tabs and line ends."""

_UNITS: Mapping[str, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DAY = 86_400
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800
"""Seconds since the epoch between which ISO 8601 years have four digits."""


def is_list(kind: Any) -> bool:
    """Whether a type is one of Arrow's five list types; a map is not."""
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
    """Whether a type is variable-length binary; fixed-length binary holds ids or numbers, not text."""
    return pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind)


def is_time(kind: Any) -> bool:
    """Whether a type is a date, time of day or timestamp, which ISO 8601 covers; not a duration or interval."""
    return pt.is_date(kind) or pt.is_time(kind) or pt.is_timestamp(kind)


def is_json(kind: Any) -> bool:
    """Whether a type is Arrow's JSON extension type, as which Parquet's JSON columns are read too."""
    return isinstance(kind, pa.JsonType)


def may_hold(kind: Any, field: Field) -> bool:
    """Whether a column of a type may hold a field's values, as far as the types show."""
    kind = decoded_type(kind)
    if field.type.is_dense_vector or field.type is DataType.ARRAY:
        is_size = not pt.is_fixed_size_list(kind) or field.type is DataType.ARRAY or kind.list_size == field.width
        return is_list(kind) and is_size
    if field.type is DataType.VARCHAR:
        return is_string(kind)
    if field.type is DataType.BOOL:
        return pt.is_boolean(kind)
    if field.type.is_integer:
        return pt.is_integer(kind)
    if field.type.is_number:
        return pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind)
    return pt.is_nested(kind) or is_string(kind)


def decoded_type(kind: Any) -> Any:
    """Return the value type of a dictionary or run-end encoding; any other type unchanged."""
    while pt.is_dictionary(kind) or pt.is_run_end_encoded(kind):
        kind = kind.value_type
    return kind


def plain(array: Array, column: pa.Field[Any] | None = None, *, flat: bool = False) -> Array:
    """Remove an array's extension type, dictionary or run-end encoding. Zero-copy if it has none.

    UUIDs become text with hyphens, ``bool8`` booleans, JSON its text, and tensors lists in lists, or with ``flat``
    one list of all their numbers.

    Args:
        column: the array's field in the Arrow schema. Only its metadata names an extension type that Arrow
            lacks.

    Raises:
        DataError: the extension type is not known, and its storage is not text.
    """
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return plain(_value_of(array, flat=flat), flat=flat)
    if pt.is_dictionary(kind):
        return plain(decoded_dictionary(array), flat=flat)
    if pt.is_run_end_encoded(kind):
        return plain(pc.call_function("run_end_decode", [array]), flat=flat)
    name = (column.metadata or {}).get(EXTENSION_NAME) if column is not None else None
    if name is not None and not (is_string(kind) or (flat and is_list(kind))):
        raise _unknown(name.decode(errors="replace"), kind)
    if pt.is_decimal32(kind) or pt.is_decimal64(kind):
        # pyarrow 26 treats all 32-bit decimals with a scale as out of bounds of integers.
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
    raise _unknown(_type_name(kind), storage)


def _type_name(kind: Any) -> str:
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
    strings: Array = pa.StringArray.from_buffers(count, offsets, pa.py_buffer(np.ascontiguousarray(texts).data))
    return strings if valid is None else pc.if_else(valid, strings, pa.scalar(None, pa.string()))


def utf8_texts(array: Array) -> Array:
    """Convert strings or binary to Arrow ``string``, checking UTF-8: Parquet readers don't check it for strings.

    Binary values count as text only without control characters: numbers and hashes may be valid UTF-8 by chance.

    Raises:
        DataError: the first row that is not text.
    """
    try:
        texts = array.cast(pa.string())
        texts.validate(full=True)
    except pa.ArrowInvalid:
        values = array.cast(pa.large_binary()).to_pylist()
        bad = [row for row, value in enumerate(values) if value is not None and not is_utf8(value)]
        if not bad:
            raise

        def error_of(row: int) -> DataError:
            return DataError(
                INVALID_UTF8, value=values[row], remedy="Write the text in UTF-8.", rule_id="text_encoding"
            )

        raise violation(bad[0], each(error_of), lambda: np.array(bad, np.int64)) from None
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


def is_utf8(value: bytes) -> bool:
    """Whether bytes are text in UTF-8."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def iso_texts(array: Array) -> Array:
    """Format dates, times and timestamps as ISO 8601: ``2024-05-18``, ``12:30:00``, ``2024-05-18T12:30:00.250``.

    All digits of the unit are written, so that texts of a column sort like their times. A timestamp with a time
    zone is converted to UTC, with a ``Z``.

    Raises:
        DataError: the first time that ISO 8601 can't express.
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
    """Convert decimals to the nearest floats, and count the rows whose float prints as another number."""
    # Via text: Arrow's own cast divides, which turns 2.51 into 2.5100000000000002.
    floats: Array = decimals.cast(pa.string()).cast(target)
    count: int = len(decimals) - decimals.null_count
    if decimals.type.precision <= (15 if pt.is_float64(target) else 6):
        return floats, 0
    # Three digits more than the decimals have: floats are printed with at most 17 (9), where 15 (6) are exact.
    exact = pa.decimal256(76, max(decimals.type.scale, 0) + 3)
    try:
        same: Array = pc.equal(floats.cast(pa.string()).cast(exact), decimals.cast(exact))
    except pa.ArrowInvalid:  # the digits of both don't fit the type
        return floats, count
    equal: int = pc.sum(same).as_py() or 0
    return floats, count - equal
