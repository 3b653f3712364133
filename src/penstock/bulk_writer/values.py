"""Check single values of a row and convert them to the form that the canonical columns are built from.

The rules are those of ``penstock.rules``, as for whole columns; here they run while a single row is appended, so that
it is rejected at once. ``DataError`` has no row here: the caller adds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any, NoReturn

import ml_dtypes
import numpy as np
import numpy.typing as npt

from penstock.bulk_writer.json_texts import json_text
from penstock.bulk_writer.masks import refuse_masked
from penstock.bulk_writer.row_size import SCALAR_BYTES, SPARSE_PAIR_BYTES
from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.rules.forms import FORMS, type_error
from penstock.rules.geometries import wkt_of_text
from penstock.rules.numbers import WHOLE_RANGES, float_error, integer_error
from penstock.rules.sparse import check_sparse_lengths, sparse_index
from penstock.rules.structs import check_struct_keys
from penstock.rules.table import (
    ARRAY_CAPACITY,
    MAX_SPARSE_INDEX,
    NO_NULL_ELEMENTS,
    SPARSE_INDEX,
    SPARSE_INDEX_RANGE,
    SPARSE_ORDER,
    SPARSE_WEIGHT_SIGN,
    TEXT_ENCODING,
    TEXT_LENGTH,
    VECTOR_BYTES,
    VECTOR_DIM,
)
from penstock.rules.times import micros_of_text

__all__ = ["Cell", "cell_maker"]

Cell = tuple[Any, int]
"""The canonical value, and its bytes for the chunk size."""

_FLOAT32_LIMIT = float(np.finfo(np.float32).max) * (1 + 2.0**-26)
"""Less than half an ulp above the largest float32, which such numbers are rounded to: 3.4028235e38 as printed."""
_FLOAT64_LIMIT = float(np.finfo(np.float64).max)
MIDNIGHT = "T00:00:00"
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_BOOLS = frozenset({bool, np.bool_})


def cell_maker(field: Field) -> Callable[[Any], Cell]:
    """Return the function that checks one value (never None) of ``field``; it raises :class:`DataError`."""
    makers: dict[DataType, Callable[[Field, Any], Cell]] = {
        DataType.BOOL: _bool,
        DataType.FLOAT: _float,
        DataType.DOUBLE: _float,
        DataType.VARCHAR: _text,
        DataType.TEXT: _text,
        DataType.TIMESTAMPTZ: _time,
        DataType.GEOMETRY: _geometry,
        DataType.JSON: _json,
        DataType.ARRAY: _array,
        DataType.ARRAY_OF_STRUCT: _structs,
        DataType.SPARSE_FLOAT_VECTOR: _sparse,
        DataType.BINARY_VECTOR: _binary_vector,
        DataType.INT8_VECTOR: _int8_vector,
        DataType.FLOAT_VECTOR: _float_vector,
        DataType.FLOAT16_VECTOR: _half_vector,
        DataType.BFLOAT16_VECTOR: _half_vector,
    }
    return partial(makers.get(field.type, _integer), field)


def _refuse(field: Field, rule: str, value: Any, remedy: str | None = None) -> NoReturn:
    raise DataError(rule, field=field.name, value=value, remedy=remedy)


def _wrong_type(field: Field, value: Any) -> NoReturn:
    raise type_error(field, type(value).__name__, FORMS[field.type].python, value=value)


def _bool(field: Field, value: Any) -> Cell:
    if not isinstance(value, bool | np.bool_):
        _wrong_type(field, value)
    return bool(value), 1


def _integer(field: Field, value: Any) -> Cell:
    if isinstance(value, np.integer):
        value = value.item()
    if not isinstance(value, int) or isinstance(value, bool):
        _wrong_type(field, value)
    low, high = WHOLE_RANGES[field.type]
    if not low <= value <= high:
        raise integer_error(field, value)
    return value, SCALAR_BYTES[field.type]


def _float(field: Field, value: Any) -> Cell:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        _wrong_type(field, value)
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        raise float_error(field, int(value)) from None
    if not abs(number) <= _limit(field):  # also false for NaN
        raise float_error(field, number)
    return number, SCALAR_BYTES[field.type]


def _limit(field: Field) -> float:
    return _FLOAT32_LIMIT if field.type is DataType.FLOAT else _FLOAT64_LIMIT


def _text(field: Field, value: Any) -> Cell:
    if not isinstance(value, str):
        _wrong_type(field, value)
    limit = field.max_bytes or 0
    # A character has one to four bytes: most texts can be checked without encoding them.
    if len(value) * 4 > limit or not value.isascii():
        length = _utf8_length(field, value)
        if length > limit:
            raise TEXT_LENGTH.error(field, value=value, length=length)
    return str.__str__(value), len(value)  # str() of an Enum is its name


def _time(field: Field, value: Any) -> Cell:
    """Check a time, and keep it as text: without an offset it is in the time zone of the collection."""
    if isinstance(value, np.datetime64):
        text = str(value.astype("datetime64[us]"))
    elif isinstance(value, datetime):
        text = value.isoformat()
    elif isinstance(value, date):
        text = f"{value.isoformat()}{MIDNIGHT}"
    elif isinstance(value, str):
        text = value
    else:
        _wrong_type(field, value)
    micros_of_text(text, field)
    return text, len(text)


def _geometry(field: Field, value: Any) -> Cell:
    text = getattr(value, "wkt", value)
    if not isinstance(text, str):
        _wrong_type(field, value)
    text = wkt_of_text(text, field)
    return text, len(text)


def _utf8_length(field: Field, value: str) -> int:
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        raise TEXT_ENCODING.error(field, value=repr(value)) from None


def _json(field: Field, value: Any) -> Cell:
    text = json_text(value, field)
    return text, len(text)


def _array(field: Field, value: Any) -> Cell:
    refuse_masked(field, value)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        _wrong_type(field, value)
    _check_capacity(field, value)
    assert field.element_type is not None
    element_field = Field(name=field.name, type=field.element_type, max_length=field.max_length)
    make = cell_maker(element_field)
    cells = [make(element) for element in value]
    return [cell for cell, _ in cells], sum(size for _, size in cells)


def _check_capacity(field: Field, value: Sequence[Any]) -> None:
    if len(value) > (field.max_capacity or 0):
        raise ARRAY_CAPACITY.error(field, value=value, count=len(value))


def _structs(field: Field, value: Any) -> Cell:
    if not isinstance(value, list | tuple):
        _wrong_type(field, value)
    _check_capacity(field, value)
    makers = [
        (subfield.name, part, cell_maker(part)) for subfield, part in zip(field.fields, field.parts, strict=True)
    ]
    names = {subfield.name for subfield in field.fields}
    structs = []
    total = 0
    for position, struct in enumerate(value):
        if not isinstance(struct, Mapping):
            _wrong_type(field, struct)
        if struct.keys() != names:
            check_struct_keys(field, map(str, struct), position)
        cells = {}
        for key, part, make in makers:
            if struct[key] is None:
                raise NO_NULL_ELEMENTS.error(part, value=struct)
            cell, size = make(struct[key])
            # The caller may change its array before the row is written.
            cells[key] = np.array(cell) if part.type.is_dense_vector else cell
            total += size
        structs.append(cells)
    return structs, total


def _sparse(field: Field, value: Any) -> Cell:
    if not isinstance(value, Mapping):
        _wrong_type(field, value)
    if value.keys() == {"indices", "values"}:
        places, weights = _elements(field, value["indices"]), _elements(field, value["values"])
        check_sparse_lengths(field, len(places), len(weights))
    else:
        places, weights = list(value.keys()), list(value.values())
    pairs = sorted(
        (_sparse_index(field, place), _sparse_weight(field, weight))
        for place, weight in zip(places, weights, strict=True)
    )
    indices = [place for place, _ in pairs]
    if len(set(indices)) != len(indices):
        raise SPARSE_ORDER.error(field, value=value)
    return {"indices": indices, "values": [weight for _, weight in pairs]}, len(pairs) * SPARSE_PAIR_BYTES


def _elements(field: Field, values: Any) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        _wrong_type(field, values)
    return list(values)


def _sparse_index(field: Field, place: Any) -> int:
    if isinstance(place, str):
        place = sparse_index(field, place)
    if isinstance(place, bool) or not isinstance(place, int | np.integer):
        raise SPARSE_INDEX.error(field, value=place, index=place)
    if not 0 <= place <= MAX_SPARSE_INDEX:
        raise SPARSE_INDEX_RANGE.error(field, value=place, index=place)
    return int(place)


def _sparse_weight(field: Field, weight: Any) -> float:
    number, _ = _float(Field(name=field.name, type=DataType.FLOAT), weight)
    if number < 0:
        raise SPARSE_WEIGHT_SIGN.error(field, value=weight)
    return float(number)


def _numbers(field: Field, value: Any) -> npt.NDArray[Any]:
    """Convert a list, tuple or array to a one-dimensional array of numbers."""
    refuse_masked(field, value)
    if isinstance(value, np.ndarray):
        array = value
    elif isinstance(value, list | tuple):
        try:
            array = np.asarray(value)
        except (ValueError, OverflowError):
            _wrong_type(field, value)
    else:
        _wrong_type(field, value)
    if array.ndim != 1 or (array.dtype.kind not in "fiu" and array.dtype != _BFLOAT16):
        if array.ndim == 1 and not len(array):
            return np.zeros(0, np.float32)
        _wrong_type(field, value)
    # NumPy takes the booleans among numbers for 1 and 0, which hardly any vector holds.
    if array is not value and ((array == 0) | (array == 1)).any() and not _BOOLS.isdisjoint(map(type, value)):
        _wrong_type(field, value)
    return array


def _check_dim(field: Field, array: npt.NDArray[Any], value: Any) -> None:
    if len(array) != field.dim:
        raise VECTOR_DIM.error(field, value=value, count=len(array))


def _check_finite(field: Field, vector: npt.NDArray[Any], original: npt.NDArray[Any]) -> None:
    finite = np.isfinite(vector)
    if not finite.all():
        position = int(np.argmin(finite))
        raise float_error(field, float(original[position]), position=position)


def _float_vector(field: Field, value: Any) -> Cell:
    array = _numbers(field, value)
    _check_dim(field, array, value)
    vector = array
    if array.dtype != np.float32:
        with np.errstate(over="ignore"):  # the check below reports an overflow
            vector = array.astype(np.float32)
    _check_finite(field, vector, array)
    return vector, len(vector) * 4


def _half_vector(field: Field, value: Any) -> Cell:
    """Round to the nearest half float; bytes are taken as little-endian half floats."""
    kind = np.dtype(np.float16) if field.type is DataType.FLOAT16_VECTOR else _BFLOAT16
    if isinstance(value, bytes | bytearray):
        if len(value) != 2 * (field.dim or 0):
            raise VECTOR_BYTES.error(field, value=value, count=len(value), needed=2 * (field.dim or 0))
        array: npt.NDArray[Any] = np.frombuffer(value, dtype="<u2").astype(np.uint16).view(kind)
    else:
        array = _numbers(field, value)
    _check_dim(field, array, value)
    with np.errstate(over="ignore"):
        vector = array.astype(kind, copy=False)
        if kind == _BFLOAT16:
            vector = vector.astype(np.float32)
    _check_finite(field, vector, array)
    return vector, len(vector) * (2 if array.dtype.itemsize == 2 else 4)


def _int8_vector(field: Field, value: Any) -> Cell:
    array = _numbers(field, value)
    if array.dtype.kind not in "iu" and len(array):
        _wrong_type(field, value)
    _check_dim(field, array, value)
    if array.dtype != np.int8 and (array.min() < -128 or array.max() > 127):
        position = int(np.argmax((array < -128) | (array > 127)))
        raise integer_error(field, int(array[position]), position=position)
    return array.astype(np.int8, copy=False), len(array)


def _binary_vector(field: Field, value: Any) -> Cell:
    """Check ``dim`` bits, or ``dim / 8`` bytes with the first bit as the most significant."""
    takes = FORMS[field.type].python.format(dim=field.dim, width=field.width)
    refuse_masked(field, value)
    if isinstance(value, bytes | bytearray):
        array: npt.NDArray[Any] = np.frombuffer(value, dtype=np.uint8)
    elif isinstance(value, np.ndarray) and value.dtype == np.bool_ and value.ndim == 1:
        array = value.view(np.uint8)
    else:
        if isinstance(value, list | tuple) and value and _BOOLS.issuperset(map(type, value)):
            value = np.array(value, np.uint8)
        array = _numbers(field, value)
    if array.dtype.kind not in "iu" and len(array):
        _wrong_type(field, value)
    is_bits = len(array) == field.dim and not isinstance(value, bytes | bytearray)
    if not is_bits and len(array) != field.width:
        _refuse(field, f"the vector has {len(array)} values, the field takes {takes}", value)
    if array.min() < 0 or array.max() > (1 if is_bits else 255):
        _refuse(field, f"a value is neither a bit nor a byte; the field takes {takes}", value)
    packed = np.packbits(array.astype(np.uint8, copy=False)) if is_bits else array.astype(np.uint8, copy=False)
    return packed, field.width
