"""Flatten columns of Arrow's five list types."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.readers.arrow_values import plain
from penstock.rules.rule import Array
from penstock.rules.table import NO_NULL_ELEMENTS
from penstock.rules.violations import Violations
from penstock.validation.errors import refuse_nulls


def validity(array: Array) -> npt.NDArray[np.bool_] | None:
    """Validity mask (True per row that is not null), or None when no row is null."""
    if not array.null_count:
        return None
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class FlatList:
    """A flattened column of lists.

    ``values`` holds the concatenated elements of all rows that are not null; ``lengths`` the number of elements per
    row, 0 for a null row; ``valid`` is None when no row is null.
    """

    values: Array
    lengths: npt.NDArray[np.int64]
    valid: npt.NDArray[np.bool_] | None

    def row_of(self, element: int) -> int:
        """Find the row of the element at this index of ``values``."""
        return int(np.searchsorted(np.cumsum(self.lengths), element, side="right"))

    def _by_row(self, elements: Violations) -> Violations:
        return elements.by_row(np.searchsorted(np.cumsum(self.lengths), elements.places, side="right"))

    @contextmanager
    def rows(self) -> Iterator[None]:
        """Translate the element index of errors raised inside to the row that holds the element."""
        try:
            yield
        except DataError as error:
            if error.row is None:
                raise
            elements = error.violations
            violations = None if elements is None else lambda: self._by_row(elements())
            raise error.at(row=self.row_of(error.row), violations=violations) from None

    def refuse_null_elements(self, field: Field) -> None:
        with self.rows():
            refuse_nulls(self.values, NO_NULL_ELEMENTS, field)


def flatten(array: Array) -> FlatList:
    """Flatten a column of lists; zero-copy unless rows are null or a list view is out of order.

    ``flatten`` and not a cast to ``list``: in pyarrow 26 the cast of a sliced list view gives a broken array.
    """
    lengths = pc.list_value_length(array).cast(pa.int64()).fill_null(0)
    return FlatList(plain(array.flatten(), array.type.value_field), lengths.to_numpy(), validity(array))


def offsets_of(lengths: npt.NDArray[np.int64]) -> Array:
    """Compute the offsets of Arrow's ``list`` from list lengths."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.array(offsets)
