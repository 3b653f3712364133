"""Conditions on points in time: ``ts + INTERVAL 'P1M' > ISO '2025-01-01T00:00:00Z'``, as ranges of the field.

As in Milvus an interval is added to the parts of the time in UTC: a month to its month, with days that the month
lacks counting on into the next one. So times of one month all move by the same distance, and the condition is a few
ranges.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock.domain.schema import Field
from penstock.domain.times import DAY, MAX_TIME, MIN_TIME, SECOND, InvalidTime, parse_time
from penstock.errors import InvalidFilter, shorten
from penstock.filters.ast import And, Column, Compare, CompareOp, Filter, In, Not, Or
from penstock.filters.numbers import integer_bound

_INTERVAL = re.compile(
    r"P(?=.)(?:(\d{1,9})Y)?(?:(\d{1,9})M)?(?:(\d{1,9})D)?"
    r"(?:T(?=.)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Interval:
    """A distance in time: months of the calendar, and microseconds."""

    months: int
    micros: int

    @property
    def negated(self) -> Interval:
        return Interval(-self.months, -self.micros)


def interval_of(text: str) -> Interval:
    """Parse an ISO 8601 duration.

    Raises:
        InvalidFilter: it is none.
    """
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise InvalidFilter(
            f"invalid ISO 8601 duration: {shorten(text, 100)}; write years, months, days, hours, minutes and seconds "
            "as in 'P1Y2M3DT4H5M6S'"
        )
    years, months, days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return Interval(years * 12 + months, days * DAY + (hours * 3600 + minutes * 60 + seconds) * SECOND)


def compare_times(op: CompareOp, field: Field, text: str, shift: Interval) -> Filter:
    """Build ``field + shift op text``.

    Raises:
        InvalidFilter: the text is not a point in time.
    """
    try:
        bound = parse_time(text, field.timezone) - shift.micros
    except InvalidTime as error:
        raise InvalidFilter(str(error), field=field.name) from None
    column = Column(field.name, field.type)
    if not shift.months:
        nearest_op, nearest = integer_bound(op, bound, MIN_TIME, MAX_TIME)
        return Compare(nearest_op, column, nearest)
    match op:
        case CompareOp.EQ | CompareOp.NE:
            same = In(column, tuple(_times_at(bound, shift.months)))
            return same if op is CompareOp.EQ else Not(same)
        case CompareOp.LT | CompareOp.GE:
            before = _before(column, bound, shift.months)
        case _:
            before = _before(column, bound + 1, shift.months)
    return before if op in (CompareOp.LT, CompareOp.LE) else Not(before)


def _before(column: Column, bound: int, months: int) -> Filter:
    """The times that are before ``bound`` when they are moved by so many months."""
    sources = _sources(bound, months)
    ranges: list[tuple[int | None, int]] = [(None, _start(sources[0]))]
    for source in sources:
        first = _start(source)
        end = first + min(max(bound - _start(source + months), 0), _start(source + 1) - first)
        if ranges[-1][1] == first:
            ranges[-1] = (ranges[-1][0], end)
        elif end > first:
            ranges.append((first, end))
    parts: list[Filter] = []
    for low, high in ranges:
        below = Compare(CompareOp.LT, column, _clamped(high))
        parts.append(below if low is None else And((Compare(CompareOp.GE, column, _clamped(low)), below)))
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def _times_at(bound: int, months: int) -> list[int]:
    """The times that are ``bound`` when they are moved by so many months."""
    times = []
    for source in _sources(bound, months):
        time = _start(source) + bound - _start(source + months)
        if _start(source) <= time < _start(source + 1) and MIN_TIME <= time <= MAX_TIME:
            times.append(time)
    return times


def _sources(bound: int, months: int) -> tuple[int, int]:
    """The months some of whose times are before ``bound`` when moved and some aren't: at most the one that moves to
    that of ``bound``, and the one before, whose last days may reach into it. All earlier ones are before."""
    target = _month(bound) - months
    return target - 1, target


def _month(time: int) -> int:
    """The month of a time, counted from January of the year 0."""
    month = int(time // DAY / 30.436875) + 1970 * 12
    while _start(month) > time:
        month -= 1
    while _start(month + 1) <= time:
        month += 1
    return month


def _start(month: int) -> int:
    """The first microsecond of a month, in the Gregorian calendar of all times."""
    year, number = divmod(month, 12)
    # Years that begin in March have their leap day last.
    year -= number < 2
    days = year * 365 + year // 4 - year // 100 + year // 400 + (153 * ((number + 10) % 12) + 2) // 5
    return (days - 719_468) * DAY


def _clamped(bound: int) -> int:
    return min(max(bound, MIN_TIME), MAX_TIME + 1)
