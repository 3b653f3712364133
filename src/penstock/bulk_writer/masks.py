"""NumPy masked arrays: a masked value is null, a partly masked value is rejected."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.domain.schema import Field
from penstock.errors import DataError

__all__ = ["is_absent", "masked_rows", "refuse_masked"]


def is_absent(value: Any, field: Field | None, row: int | None = None) -> bool:
    """Whether a value is None or fully masked.

    Raises:
        DataError: the value is partly masked.
    """
    if not isinstance(value, np.ma.MaskedArray):
        return value is None
    mask = np.ma.getmaskarray(value)
    if mask.any() and not mask.all():
        raise _partly_masked(None if field is None else field.name, row, value)
    return bool(mask.size and mask.all())


def masked_rows(values: npt.NDArray[Any], name: str) -> npt.NDArray[np.bool_] | None:
    """The mask of a column's fully masked rows; None if there are none.

    Raises:
        DataError: a row is partly masked.
    """
    if not isinstance(values, np.ma.MaskedArray) or not np.ma.is_masked(values):
        return None
    mask = np.ma.getmaskarray(values).reshape(len(values), -1)
    rows: npt.NDArray[np.bool_] = np.asarray(mask.all(axis=1))
    partly = np.asarray(mask.any(axis=1)) & ~rows
    if partly.any():
        row = int(np.argmax(partly))
        raise _partly_masked(name, row, values[row])
    return rows


def _partly_masked(name: str | None, row: int | None, value: Any) -> DataError:
    return DataError(
        "the value has masked elements; only a value as a whole may be null",
        row=row,
        field=name,
        value=str(value),
        remedy="Fill the elements (numpy.ma.filled), or mask the whole row where the field is nullable.",
    )


def refuse_masked(field: Field, value: Any) -> None:
    """Raise DataError for an array with masked elements, within a value that takes none."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(
            "the value is masked, or has masked elements",
            field=field.name,
            value=str(value),
            remedy="Fill them (numpy.ma.filled).",
        )
