"""Conform dense vector columns: convert every accepted encoding to a fixed-size list of ``field.width`` values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.arrow_values import is_binary, is_list
from penstock.rules.numbers import CHUNK, first_not_finite, float_error, not_finite
from penstock.rules.rule import Array, WarningSink
from penstock.rules.table import VECTOR_BYTES, VECTOR_DIM
from penstock.rules.violations import Places, each, refuse, violation
from penstock.validation.arrow_lists import FlatList, flatten, validity
from penstock.validation.errors import mismatch, show_rows
from penstock.validation.numbers import position_of, to_floats, to_integers

_HALF = (DataType.FLOAT16_VECTOR, DataType.BFLOAT16_VECTOR)


def to_dense(array: Array, field: Field, note: WarningSink) -> Array:
    """Convert to the canonical column; zero-copy for a FloatVector from list<float> without nulls."""
    lists = _flatten_vectors(array, field)
    as_bytes = pt.is_uint8(lists.values.type) and field.type in _HALF
    width = 2 * field.width if as_bytes else field.width
    _check_lengths(lists, width, field, array, as_bytes=as_bytes or field.type is DataType.BINARY_VECTOR)
    lists.refuse_null_elements(field)
    rows = len(array) - array.null_count

    def note_rows(text: str, _: int) -> None:
        note(text, rows)

    with lists.rows():
        if field.type is DataType.FLOAT_VECTOR:
            values = to_floats(lists.values, field, pa.float32(), note_rows)
        elif field.type is DataType.INT8_VECTOR:
            values = to_integers(lists.values, field, pa.int8())
        elif field.type is DataType.BINARY_VECTOR:
            values = to_integers(lists.values, field, pa.uint8())
        elif as_bytes:
            values = _halves_of_bytes(lists.values, field)
        else:
            values = _halves_of_numbers(lists.values, field, note_rows)
    return _assemble(values, lists.valid, field)


def absent_vectors(rows: int, field: Field) -> Array:
    """Build a column of nulls whose child values are zeros, as in :func:`to_dense`."""
    kind: Any = canonical_type(field)
    return _assemble(pa.array([], kind.value_type), np.zeros(rows, dtype=np.bool_), field)


def _flatten_vectors(array: Array, field: Field) -> FlatList:
    """Flatten lists of numbers, or binary values as lists of uint8 for the types with a byte form."""
    kind = array.type
    if is_list(kind):
        lists = flatten(array)
        numeric = pt.is_integer(lists.values.type) or pt.is_floating(lists.values.type)
        if numeric or pt.is_decimal(lists.values.type) or not len(lists.values):
            return lists
    elif (is_binary(kind) or pt.is_fixed_size_binary(kind)) and field.type in (*_HALF, DataType.BINARY_VECTOR):
        return _flatten_bytes(array.cast(pa.large_binary()))
    raise mismatch(array, field)


def _flatten_bytes(array: Array) -> FlatList:
    value_lengths: Array = pc.binary_length(array)
    lengths = value_lengths.cast(pa.int64()).fill_null(0)
    present = array.drop_null()
    _, offsets, data = present.buffers()
    if data is None:  # only empty values
        return FlatList(pa.array([], pa.uint8()), lengths.to_numpy(), validity(array))
    ends = np.frombuffer(offsets, dtype=np.int64)[present.offset : present.offset + len(present) + 1]
    values = np.frombuffer(data, dtype=np.uint8)[ends[0] : ends[-1]]
    return FlatList(pa.array(values), lengths.to_numpy(), validity(array))


def _check_lengths(lists: FlatList, width: int, field: Field, array: Array, *, as_bytes: bool) -> None:
    wrong = lists.lengths != width
    if lists.valid is not None:
        wrong &= lists.valid
    rule = VECTOR_BYTES if as_bytes else VECTOR_DIM

    def errors_of(rows: Places) -> list[DataError]:
        values = zip(show_rows(array, rows), lists.lengths[rows].tolist(), strict=True)
        return [rule.error(field, value=value, count=count, needed=width) for value, count in values]

    refuse(wrong, errors_of)


def _chunks(values: npt.NDArray[Any]) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, len(values), CHUNK))


def _halves_of_bytes(values: Array, field: Field) -> Array:
    words = values.to_numpy().view("<u2")
    if field.type is DataType.FLOAT16_VECTOR:
        floats: npt.NDArray[Any] = words.view("<f2").astype(np.float16, copy=False)
    else:
        floats = (words.astype(np.uint32) << 16).view(np.float32)
    at = first_not_finite(floats)
    if at is not None:

        def error_of(byte: int) -> DataError:
            return float_error(field, float(floats[byte // 2]), position=position_of(field, byte // 2))

        raise violation(2 * at, each(error_of), lambda: 2 * not_finite(floats))
    return pa.array(floats)


def _halves_of_numbers(values: Array, field: Field, note: WarningSink) -> Array:
    """Round to the nearest half float (float16, or bfloat16 stored as float32), with a note if values change."""
    if not pt.is_floating(values.type):
        values = values.cast(pa.float64(), safe=False)
    numbers = values.to_numpy()
    if field.type is DataType.FLOAT16_VECTOR:
        rounded, name = _round(numbers, np.dtype(np.float16)), "float16"
    else:
        rounded, name = _round_to_bfloat16(numbers), "bfloat16"
    at = first_not_finite(rounded)
    if at is not None:

        def error_of(place: int) -> DataError:
            return float_error(field, float(numbers[place]), position=position_of(field, place))

        raise violation(at, each(error_of), lambda: not_finite(rounded))
    if rounded is not numbers and any((rounded[chunk] != numbers[chunk]).any() for chunk in _chunks(numbers)):
        note(f"{numbers.dtype.name} values were rounded to {name}", len(values))
    return pa.array(rounded)


def _round(values: npt.NDArray[Any], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    with np.errstate(over="ignore"):  # the caller detects and reports overflow
        return values.astype(kind, copy=False)


def _round_to_bfloat16(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype == np.float32 and not any(
        (values[chunk].view(np.uint32) & 0xFFFF).any() for chunk in _chunks(values)
    ):
        return values
    return _round(values, np.dtype(ml_dtypes.bfloat16)).astype(np.float32)


def _assemble(values: Array, valid: npt.NDArray[np.bool_] | None, field: Field) -> Array:
    """Build a fixed-size list of all rows from the values of non-null rows; null rows have zeros."""
    kind: Any = canonical_type(field)
    if valid is None:
        return pa.FixedSizeListArray.from_arrays(values, type=kind)
    child = np.zeros((len(valid), field.width), dtype=kind.value_type.to_pandas_dtype())
    child[valid] = values.to_numpy().reshape(-1, field.width)
    return pa.FixedSizeListArray.from_arrays(pa.array(child.reshape(-1)), type=kind, mask=pa.array(~valid))
