"""Sparse vectors: indices and weights of a column, brought into order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.domain.arrow_schema import SPARSE
from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.rules.numbers import float_error, to_float32
from penstock.rules.rule import Array
from penstock.rules.table import (
    MAX_SPARSE_INDEX,
    SPARSE_INDEX,
    SPARSE_INDEX_RANGE,
    SPARSE_LENGTHS,
    SPARSE_ORDER,
    SPARSE_WEIGHT,
    SPARSE_WEIGHT_SIGN,
)
from penstock.rules.violations import each, refuse

_MAX_DIGITS = 18
"""Digits of an index that are parsed: surely within 64 bits."""


def sparse_index(field: Field, key: str) -> int:
    """Parse a key of ``{"3": 0.5}``. Raises DataError for anything but digits, with a sign if out of range."""
    digits = key.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise SPARSE_INDEX.error(field, value=key, index=key)
    if len(digits) > _MAX_DIGITS:
        raise SPARSE_INDEX_RANGE.error(field, value=key, index=key)
    return int(key)


def indices_of_keys(field: Field, keys: Sequence[str]) -> npt.NDArray[np.int64]:
    """Parse the keys of ``{"3": 0.5}``. Raises DataError as :func:`sparse_index`."""
    digits = "".join(keys)
    if digits.isascii() and digits.isdigit():
        try:
            return np.array(list(map(int, keys)), np.int64)
        except (ValueError, OverflowError):  # an empty key, or one with too many digits
            pass
    return np.array([sparse_index(field, key) for key in keys], np.int64)


def indices_of_numbers(field: Field, elements: Sequence[Any]) -> npt.NDArray[np.int64]:
    """Convert the list of indices of a vector. Raises DataError unless they are whole numbers."""
    if not set(map(type, elements)) <= {int}:
        elements = [_whole_index(field, element) for element in elements]
    try:
        return np.array(elements, np.int64)
    except OverflowError:
        index = next(element for element in elements if not 0 <= element <= MAX_SPARSE_INDEX)
        raise SPARSE_INDEX_RANGE.error(field, value=index, index=index) from None


def _whole_index(field: Field, element: Any) -> int:
    if isinstance(element, float) and element.is_integer():
        return int(element)
    if isinstance(element, bool) or not isinstance(element, int):
        raise SPARSE_INDEX.error(field, value=element, index=element)
    return element


def weights_of_numbers(field: Field, elements: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Convert the list of values of a vector. Raises DataError unless they are numbers."""
    if not set(map(type, elements)) <= {int, float}:
        wrong = next(element for element in elements if type(element) not in (int, float))
        raise SPARSE_WEIGHT.error(field, value=wrong, weight=wrong)
    try:
        return np.array(elements, np.float64)
    except OverflowError:  # an integer of more than 308 digits
        raise float_error(field, max(elements, key=abs)) from None


def check_sparse_lengths(field: Field, indices: int, values: int) -> None:
    """Raise DataError unless a vector has as many values as indices."""
    if indices != values:
        raise SPARSE_LENGTHS.error(field, indices=indices, values=values)


def sparse_column(
    field: Field,
    indices: npt.NDArray[np.int64],
    values: npt.NDArray[np.floating],
    lengths: npt.NDArray[np.int64],
    valid: npt.NDArray[np.bool_] | None,
) -> Array:
    """Check the vectors of a column, sort each by index, and build the canonical struct.

    Args:
        indices, values: of all vectors, one behind the other.
        lengths: pairs per row, 0 for null.
        valid: False for a null row; None if no row is null.

    Raises:
        DataError: with the first row of those that break the first broken rule.
    """
    rows = np.repeat(np.arange(len(lengths)), lengths)

    def index_error(pair: int) -> DataError:
        return SPARSE_INDEX_RANGE.error(field, value=int(indices[pair]), index=int(indices[pair]))

    def row_of(pair: int) -> int:
        return int(rows[pair])

    refuse((indices < 0) | (indices > MAX_SPARSE_INDEX), each(index_error), row_of)
    weights = values if values.dtype == np.float32 else to_float32(cast("npt.NDArray[np.float64]", values))
    refuse(~np.isfinite(weights), each(lambda pair: float_error(field, float(values[pair]))), row_of)
    refuse(weights < 0, each(lambda pair: SPARSE_WEIGHT_SIGN.error(field, value=float(values[pair]))), row_of)
    # One sort key for row, then index: rows stay below 2**31.
    keys = rows << 32 | indices
    if (np.diff(keys) <= 0).any():
        order = np.argsort(keys, kind="stable")
        ordered, weights, keys = indices[order], weights[order], keys[order]
        # Rows keep their places in this order: the row of a pair is that of the one that was there before.
        refuse(np.diff(keys) == 0, each(lambda pair: SPARSE_ORDER.error(field, value=int(ordered[pair]))), row_of)
        indices = ordered
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    starts: Any = pa.array(offsets)
    children: list[Any] = [
        pa.ListArray.from_arrays(starts, cast(Any, pa.array(indices.astype(np.uint32)))),
        pa.ListArray.from_arrays(starts, cast(Any, pa.array(weights))),
    ]
    mask: Any = None if valid is None else pa.array(~valid)
    return pa.StructArray.from_arrays(children, fields=list(cast("pa.StructType", SPARSE)), mask=mask)
