"""Find all bad rows of a column, each with the reason, at a cost of a few checks of the column.

A check raises the error of one bad row. Where that knows those of the other rows that break the same rule
(``DataError.violations``), they are left out at once and the rest is checked again: a check more per broken rule.
Where it doesn't, the rows are halved until the bad ones stand alone, which is a check more per level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.errors import DataError
from penstock.rules.rule import Array

Rows: TypeAlias = npt.NDArray[np.int64]
"""Numbers of rows, ascending."""

Made = TypeVar("Made")
Make: TypeAlias = Callable[[Rows], Made]
"""Converts these rows of a batch. Raises DataError with a row that counts among them, or without a row where no row
alone is to blame."""

_LEAST_RUN = 8
"""Rows that runs of rows have on average, from which on they are joined instead of taken one by one."""
_MAX_RULES = 16
"""Checks with ``violations`` before the rows are halved instead: more than the rules of any type."""


class BadRows:
    """The bad rows of a batch, by number, with their errors in the order of the columns.

    The errors may lack their row, or have that in a part of the batch: it is filled in where they leave the batch.
    """

    def __init__(self) -> None:
        self._errors: dict[int, list[DataError]] = {}

    def __len__(self) -> int:
        return len(self._errors)

    def __contains__(self, row: int) -> bool:
        return row in self._errors

    def add(self, row: int, error: DataError) -> None:
        """Add a reason. The error loses its traceback, which would keep the parser's values alive."""
        self._errors.setdefault(row, []).append(without_traceback(error))

    @property
    def rows(self) -> Rows:
        """The bad rows, ascending."""
        return np.array(sorted(self._errors), np.int64)

    def errors(self, row: int) -> Sequence[DataError]:
        return self._errors[row]

    def kept(self, rows: int) -> Rows:
        """The other rows of a batch of so many ``rows``."""
        return np.delete(np.arange(rows), self.rows)


def without_traceback(error: DataError) -> DataError:
    """Drop the traceback of an error, and of the errors it was raised from."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def first_bad_row(make: Make[Made], rows: int) -> Made:
    """Return ``make`` of all rows; if that raises, raise the error of the first bad row, checked alone.

    Each rule is checked over many rows before the next, so the first error needn't be that of the first bad row.
    """
    try:
        return make(np.arange(rows))
    except DataError as error:
        row = error.row or 0
        if row:
            first_bad_row(make, row)
        try:
            make(np.array([row]))
        except DataError as row_error:
            raise row_error.at(row=row) from None
        raise


def make_good_rows(make: Make[Made], rows: int, bad: BadRows) -> tuple[Made, Rows]:
    """Return ``make`` of the rows that it doesn't refuse, and their numbers; the others are added to ``bad``.

    Raises:
        DataError: no row alone is to blame, or the column as a whole is.
    """
    kept: Rows = np.arange(rows)
    for attempt in range(_MAX_RULES + 1):
        try:
            return make(kept), kept
        except DataError as error:
            refused = _refused(make, kept, error, halve=attempt == _MAX_RULES)
        for row, reason in refused.items():
            bad.add(int(kept[row]), reason)
        kept = np.delete(kept, list(refused))
    return make(kept), kept


def find_bad_rows(make: Make[Any], rows: int, bad: BadRows) -> None:
    """Add rows that ``make`` refuses to ``bad``: those that break the first rule that is broken, or all of them.

    Others may be refused for other rules, once these are left out.

    Raises:
        DataError: as :func:`make_good_rows`.
    """
    every: Rows = np.arange(rows)
    try:
        make(every)
    except DataError as error:
        for row, reason in _refused(make, every, error, halve=False).items():
            bad.add(row, reason)


def _refused(make: Make[Any], kept: Rows, error: DataError, *, halve: bool) -> dict[int, DataError]:
    """The rows that ``make`` refuses with ``error`` or, without all rows of that, with any; by place in ``kept``."""
    if error.row is None or error.is_of_column:
        raise error
    if error.violations is None or halve:
        return _refused_alone(make, kept, error)
    return dict(error.violations().errors())


def _refused_alone(make: Make[Any], rows: Rows, error: DataError) -> dict[int, DataError]:
    """The rows that ``make`` refuses, by place in ``rows``. ``error`` is that of all ``rows``.

    The row of an error parts those before it from those behind, which are halved: rows before it are often good, and
    a column of bad rows only takes a check per row and level.
    """
    refused: dict[int, DataError] = {}
    pending: list[tuple[int, int, DataError | None]] = [(0, len(rows), error)]
    while pending:
        start, stop, known = pending.pop()
        if known is None:
            try:
                make(rows[start:stop])
                continue
            except DataError as range_error:
                known = range_error
        if known.row is None or known.is_of_column:
            raise known
        if stop - start == 1:
            refused[start] = known
            continue
        at = start + min(known.row, stop - start - 1)
        middle = (at + 1 + stop) // 2
        pieces = [(start, at), (at, at + 1), (at + 1, middle), (middle, stop)]
        pending += [(first, last, None) for first, last in pieces if first < last]
    if not refused:  # refused together only: no row is to blame
        raise error.at(row=None)
    return refused


def build_column(make: Make[Array], rows: int, bad: BadRows | None) -> Array:
    """Return a column of all ``rows``; those added to ``bad`` are null in it. Without ``bad`` as
    :func:`first_bad_row`."""
    if bad is None:
        return first_bad_row(make, rows)
    return aligned(*make_good_rows(make, rows, bad), rows)


def aligned(column: Array, kept: Rows, rows: int) -> Array:
    """Put the values of the rows ``kept`` at their places in a column of ``rows``; the others are null."""
    if len(kept) == rows:
        return column
    indices = np.zeros(rows, np.int64)
    indices[kept] = np.arange(len(kept))
    absent = np.ones(rows, np.bool_)
    absent[kept] = False
    taken: Array = column.take(pa.array(indices, mask=absent))
    return taken


def select(values: Sequence[Any], rows: Rows) -> Sequence[Any]:
    """The values of these rows; all of them without a copy."""
    return values if len(rows) == len(values) else [values[row] for row in rows.tolist()]


def take_rows(column: Array, rows: Rows) -> Array:
    """These rows of an array or batch, without a copy where they are one behind the other."""
    starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
    if len(starts) == 1:
        return column.slice(int(rows[0]), len(rows))
    if not len(starts) or len(rows) < _LEAST_RUN * len(starts):
        return column.take(pa.array(rows, pa.int64()))
    # Arrow takes lists one by one: to join long runs of them takes a fifth of the time.
    lengths = np.diff(np.append(starts, len(rows)))
    runs = [column.slice(*run) for run in zip(rows[starts].tolist(), lengths.tolist(), strict=True)]
    if isinstance(column, pa.RecordBatch):
        table = pa.Table.from_batches(runs).combine_chunks()
        return table.to_batches()[0]
    return pa.concat_arrays(runs)
