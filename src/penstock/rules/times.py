"""Points in time, given as text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.schema import Field
from penstock.domain.times import InvalidTime, parse_time
from penstock.errors import DataError
from penstock.rules.rule import Array
from penstock.rules.table import TIME
from penstock.rules.violations import first_refused

_COMMON = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-](0\d|1[01]):[0-5]\d)$"
"""Texts that Arrow parses like :func:`parse_time`: with an offset, and nothing to cut off."""

_SAFE = (parse_time("0002-01-01"), parse_time("9999-01-01"))


def micros_of_text(text: str, field: Field) -> int:
    """Parse one text for a Timestamptz field.

    Raises:
        DataError: it is not a point in time.
    """
    try:
        return parse_time(text, field.timezone)
    except InvalidTime as error:
        raise TIME.error(field, value=text, problem=error) from None


def micros_of_texts(texts: Array, field: Field, row_of: Callable[[int], int] = int) -> Array:
    """Parse a column of text for a Timestamptz field, nulls stay nulls.

    Raises:
        DataError: the first that is not a point in time.
    """
    if pc.all(pc.match_substring_regex(texts, _COMMON), min_count=0).as_py():
        try:
            times = texts.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        except pa.ArrowInvalid:  # a day that the month lacks, for example
            return _one_by_one(texts, field, row_of)
        span = pc.min_max(times)
        # Only an offset can move a year of four digits out of range.
        if span["min"].as_py() is None or (_SAFE[0] <= span["min"].as_py() and span["max"].as_py() <= _SAFE[1]):
            return times
    return _one_by_one(texts, field, row_of)


def _doubtful_places(texts: Array, field: Field) -> list[int]:
    """The places of texts of an unusual form, if any of them is not a time, or else all but nulls."""
    common: Array = pc.match_substring_regex(texts, _COMMON)
    unusual: list[int] = np.flatnonzero(~common.fill_null(True).to_numpy(zero_copy_only=False)).tolist()
    if all(_is_time(texts[place].as_py(), field) for place in unusual):
        return np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False)).tolist()
    return unusual


def _is_time(text: str, field: Field) -> bool:
    try:
        parse_time(text, field.timezone)
    except InvalidTime:
        return False
    return True


def _one_by_one(texts: Array, field: Field, row_of: Callable[[int], int]) -> Array:
    micros: list[int | None] = []
    for position, text in enumerate(texts.to_pylist()):
        try:
            micros.append(None if text is None else micros_of_text(text, field))
        except DataError:
            raise first_refused(
                position,
                lambda place: micros_of_text(texts[place].as_py(), field),
                lambda: _doubtful_places(texts, field),
                row_of,
            ) from None
    return pa.array(micros, pa.int64())
