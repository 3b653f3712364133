"""Conform Bool, integer and float columns, and the elements of arrays and vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.readers.arrow_values import floats_of_decimals
from penstock.rules.numbers import first_not_finite, float_error, integer_error, not_finite
from penstock.rules.rule import Array, WarningSink
from penstock.rules.violations import each, refuse, violation
from penstock.validation.errors import mismatch


def to_bool(array: Array, field: Field) -> Array:
    """Accept only booleans; 0 and 1 are refused, since the meaning of other numbers would be a guess."""
    if not pt.is_boolean(array.type):
        raise mismatch(array, field)
    return array


def to_integers(array: Array, field: Field, target: pa.DataType) -> Array:
    """Convert integers, floats or decimals to the ``target`` integer type, if every value is whole and in range."""
    kind = array.type
    if kind == target:
        return array
    if pt.is_floating(kind):
        return _whole_floats(array, field, target)
    if not (pt.is_integer(kind) or pt.is_decimal(kind)):
        raise mismatch(array, field)
    try:
        return array.cast(target)
    except pa.ArrowInvalid:
        low, high = _range(target)
        raise _first_misfit(
            array, lambda value: value != int(value) or not low <= value <= high, field, target
        ) from None


def _range(target: pa.DataType) -> tuple[int, int]:
    info = np.iinfo(np.dtype(target.to_pandas_dtype()).str)
    return int(info.min), int(info.max)


def _whole_floats(array: Array, field: Field, target: pa.DataType) -> Array:
    low, high = _range(target)
    values = array.cast(pa.float64()).fill_null(0).to_numpy()
    # high + 1 is a power of two and so exact as a float; high itself is not for Int64.
    good = (np.trunc(values) == values) & (values >= low) & (values < float(high + 1))
    refuse(~good, each(lambda at: _misfit(field, float(values[at]), at)))
    return array.cast(pa.float64()).cast(target, safe=False)


def _first_misfit(array: Array, is_bad: Callable[[Any], bool], field: Field, target: pa.DataType) -> DataError:
    values = array.to_pylist()
    bad = (at for at, value in enumerate(values) if value is not None and is_bad(value))
    first = next(bad, None)
    assert first is not None, f"no bad value in {array.type} for {target}"
    return violation(
        first, each(lambda at: _misfit(field, values[at], at)), lambda: np.array([first, *bad], np.int64)
    )


def _misfit(field: Field, value: Any, at: int) -> DataError:
    return integer_error(field, value, position=position_of(field, at))


def to_floats(array: Array, field: Field, target: pa.DataType, note: WarningSink) -> Array:
    """Convert any numbers to finite float32 or float64; zero-copy if the type is the same."""
    kind = array.type
    if kind == target:
        result = array
    elif pt.is_decimal(kind):
        result, rounded = floats_of_decimals(array, target)
        if rounded:
            note(f"{kind} values were rounded to {_name(target)}", rounded)
    elif pt.is_floating(kind):
        result = array.cast(target)
        if kind.bit_width > target.bit_width:
            note(f"{_name(kind)} values were narrowed to {_name(target)}", len(array) - array.null_count)
    elif pt.is_integer(kind):
        result = _floats_of_integers(array, target, note)
    else:
        raise mismatch(array, field)
    _refuse_not_finite(result, array, field)
    return result


def _name(kind: pa.DataType) -> str:
    """Return NumPy's type name, such as ``float32``; Arrow's are ``float`` and ``double``."""
    return np.dtype(kind.to_pandas_dtype()).name


def _floats_of_integers(array: Array, target: pa.DataType, note: WarningSink) -> Array:
    try:
        return array.cast(target)
    except pa.ArrowInvalid:  # too many digits for the float's mantissa
        note(f"{array.type} values were rounded to {_name(target)}", len(array) - array.null_count)
        return array.cast(target, safe=False)


def _refuse_not_finite(result: Array, source: Array, field: Field) -> None:
    if result.null_count:
        is_finite: Array = pc.is_finite(result)
        finite = is_finite.fill_null(True).to_numpy(zero_copy_only=False)
        at = None if finite.all() else int(np.argmin(finite))
    else:
        at = first_not_finite(result.to_numpy())
    if at is not None:

        def error_of(place: int) -> DataError:
            return float_error(field, float(source[place].as_py()), position=position_of(field, place))

        raise violation(at, each(error_of), lambda: _not_finite(result))


def _not_finite(values: Array) -> npt.NDArray[np.int64]:
    return not_finite((values.fill_null(0) if values.null_count else values).to_numpy())


def position_of(field: Field, at: int) -> int:
    """The element's position in its vector, of the element at this index of a column's flat values."""
    return at % field.width if field.type.is_dense_vector else 0
