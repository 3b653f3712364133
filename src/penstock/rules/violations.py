"""The places of a column that break one rule, each with its error, from the mask that the check has computed.

A check of a column raises the error of the first such place. Callers that leave bad rows out take those of all others
from it (``DataError.violations``): without a second check, at some microseconds per row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from penstock.errors import DataError

Places: TypeAlias = npt.NDArray[np.int64]
"""Indices of values in a column, ascending."""
ErrorsOf: TypeAlias = Callable[[Places], Sequence[DataError]]
"""Makes the errors of some places that break a rule, without rows."""


@dataclass(frozen=True, slots=True)
class Violations:
    """The places of a column that break one rule. An error is what a check of that place alone would raise."""

    places: Places
    errors_of: ErrorsOf

    def errors(self) -> Iterator[tuple[int, DataError]]:
        """Yield each place with its error, which has no row."""
        return zip(self.places.tolist(), self.errors_of(self.places), strict=True)

    def by_row(self, rows: Places) -> Violations:
        """Group elements by the ``rows`` that hold them: a row has the error of its first element."""
        distinct, first = np.unique(rows, return_index=True)
        elements = self.places[first]
        return Violations(distinct, lambda places: self.errors_of(elements[np.searchsorted(distinct, places)]))

    def changed(self, change: Callable[[DataError], DataError]) -> Violations:
        return Violations(self.places, lambda places: [change(error) for error in self.errors_of(places)])


def each(error_of: Callable[[int], DataError]) -> ErrorsOf:
    """Make errors one by one."""
    return lambda places: [error_of(place) for place in places.tolist()]


def violation(
    first: int, errors_of: ErrorsOf, places: Callable[[], Places], row_of: Callable[[int], int] = int
) -> DataError:
    """The error of the ``first`` place that breaks a rule. ``places`` computes all of them, if they are asked for.

    ``row_of`` gives the row of a place: for elements of arrays.
    """

    def violations() -> Violations:
        found = Violations(places(), errors_of)
        if row_of is int:
            return found
        return found.by_row(np.array([row_of(place) for place in found.places.tolist()], np.int64))

    (error,) = errors_of(np.array([first]))
    return error.at(row=row_of(first), violations=violations)


def first_refused(
    first: int,
    check: Callable[[int], object],
    places: Callable[[], Iterable[int]],
    row_of: Callable[[int], int] = int,
) -> DataError:
    """The error of the ``first`` place that ``check`` refuses with a DataError.

    Where no mask shows the others, those of ``places`` are checked one by one, if they are asked for.
    """

    def refusal(place: int) -> DataError | None:
        try:
            check(place)
        except DataError as error:
            return error
        return None

    errors: dict[int, DataError] = {}

    def refused() -> Places:
        errors.update((place, error) for place in places() if (error := refusal(place)) is not None)
        return np.array(list(errors), np.int64)

    error = refusal(first)
    assert error is not None
    errors[first] = error
    return violation(first, each(errors.__getitem__), refused, row_of)


def refuse(wrong: npt.NDArray[np.bool_], errors_of: ErrorsOf, row_of: Callable[[int], int] = int) -> None:
    """Raise the error of the first place where ``wrong`` is true, if any is."""
    if wrong.any():
        raise violation(int(np.argmax(wrong)), errors_of, lambda: np.flatnonzero(wrong), row_of)


def changed(error: DataError, change: Callable[[DataError], DataError]) -> DataError:
    """Change an error but for its row, and likewise those of its other violations."""
    violations = error.violations
    others = None if violations is None else lambda: violations().changed(change)
    return change(error).at(row=error.row, violations=others)
