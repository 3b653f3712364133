"""What is known of a running job from watching it: bytes read, rates, and the range of the time left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic

from penstock.domain.sizes import size_text
from penstock.sdk.jobs import ImportJob

__all__ = ["JobMeter", "Reading", "time_left_text"]

_WINDOW_SECONDS = 30.0
_RECENT_SECONDS = 8.0
_LEAST_SECONDS = 1.0
_READ_FROM, _READ_TO = 0.02, 0.9
"""Where reading begins and ends in a server's progress; the commit and the indexes come after it."""
_STEP = 0.01
"""Servers report whole percents, so that a share is known to within this."""
_LEAST_DOUBT, _DOUBT_SECONDS = 0.15, 5.0
"""A rate may change by this share; more after a short observation, as workers start one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One observation of a job. No figure of a meter falls from one reading to the next.

    Attributes:
        share: of the whole job, 0 to 1.
        size, size_read: bytes of all files, and those read; None if the server doesn't say.
        rows_per_second, bytes_per_second: of the last seconds, not of the time before the job was watched.
        time_left: least and most seconds until the end; None for a most that is unknown. None without a rate.
    """

    share: float
    rows: int
    total_rows: int | None
    size: int | None
    size_read: int | None
    files: int
    files_read: int
    rows_per_second: float | None = None
    bytes_per_second: float | None = None
    time_left: tuple[float, float | None] | None = None

    def text(self) -> str:
        """Format files, rows, bytes, the time left and rates, as far as known; the less important come last."""
        parts = []
        if self.files > 1:
            parts.append(f"{self.files_read:,}/{self.files:,} files")
        if self.rows:
            total = f"/{self.total_rows:,}" if self.total_rows and self.total_rows > self.rows else ""
            parts.append(f"{self.rows:,}{total} rows")
        if self.size:
            is_partial = self.size_read is not None and self.size_read < self.size
            read = f"{size_text(self.size_read or 0)}/" if is_partial else ""
            parts.append(read + size_text(self.size))
        if self.time_left is not None:
            parts.append(time_left_text(*self.time_left))
        if self.rows_per_second:
            parts.append(f"{self.rows_per_second:,.0f} rows/s")
        if self.bytes_per_second:
            parts.append(f"{size_text(int(self.bytes_per_second))}/s")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class _Point:
    time: float
    share: float
    rows: int
    size_read: int


class JobMeter:
    """Observes one job. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._points: deque[_Point] = deque()
        self._stage = ""
        self._last: Reading | None = None

    def observe(self, job: ImportJob) -> Reading:
        """Add a state of the job, and return what is known by now."""
        now = self._clock()
        reading = _figures(job, self._last)
        stage = job.stage or job.state
        if stage != self._stage:  # each stage has a rate of its own
            self._points.clear()
            self._stage = stage
        self._points.append(_Point(now, reading.share, reading.rows, reading.size_read or 0))
        while now - self._points[0].time > _WINDOW_SECONDS:
            self._points.popleft()
        if not job.is_finished:
            reading = self._with_rates(reading)
        self._last = reading
        return reading

    def _with_rates(self, reading: Reading) -> Reading:
        last = self._points[-1]
        first = next((point for point in self._points if last.time - point.time <= _RECENT_SECONDS), last)
        seconds = last.time - first.time
        if seconds < _LEAST_SECONDS:
            return reading
        return replace(
            reading,
            rows_per_second=(last.rows - first.rows) / seconds,
            bytes_per_second=(last.size_read - first.size_read) / seconds,
            time_left=_time_left(last, (first, self._points[0])),
        )


def _figures(job: ImportJob, before: Reading | None) -> Reading:
    """The figures of one state, none below those before it."""
    size_read = sum((file.size or 0) * file.progress // 100 for file in job.files) if job.files else None
    if job.has_succeeded:
        size_read = job.size
    share = job.progress / 100
    if job.size and size_read is not None and not job.is_finished:
        share = max(share, _READ_FROM + (_READ_TO - _READ_FROM) * min(1.0, size_read / job.size))
    rows = job.rows or 0
    if before is not None and (not job.is_finished or job.has_succeeded):
        share, rows = max(share, before.share), max(rows, before.rows)
        size_read = before.size_read if size_read is None else max(size_read, before.size_read or 0)
    return Reading(
        share=share,
        rows=rows,
        total_rows=job.total_rows,
        size=job.size,
        size_read=size_read,
        files=len(job.files),
        files_read=sum(file.progress == 100 for file in job.files),
    )


def _time_left(last: _Point, since: tuple[_Point, ...]) -> tuple[float, float | None] | None:
    """The range of the seconds left, by the fastest and the slowest rate since one of several points."""
    fastest, slowest = 0.0, float("inf")
    for first in since:
        seconds, done = last.time - first.time, last.share - first.share
        fastest = max(fastest, (done + _STEP) / seconds)
        slowest = min(slowest, (done - _STEP) / seconds)
    if last.share <= since[-1].share:
        return None  # nothing has moved in this stage: there is no rate at all
    left = max(0.0, 1.0 - last.share)
    doubt = 1.0 + max(_LEAST_DOUBT, _DOUBT_SECONDS / (last.time - since[-1].time))
    return left / fastest / doubt, left / slowest * doubt if slowest > 0 else None


def time_left_text(least: float, most: float | None) -> str:
    """Format a range of seconds: ``ETA 10–25 s``, ``ETA 2–4 min``, ``ETA over 10 s``."""
    if most is None:
        number, unit = _rounded(least, least)
        return f"ETA over {number} {unit}"
    low, unit = _rounded(least, most)
    high, _ = _rounded(most, most)
    return f"ETA {high} {unit}" if low == high else f"ETA {low}–{high} {unit}"


def _rounded(seconds: float, largest: float) -> tuple[str, str]:
    """Seconds in the unit that suits the largest of a range, with one digit after the point for hours."""
    if largest < 120:
        return f"{max(1, round(seconds))}", "s"
    if largest < 7200:
        minutes = seconds / 60
        return (f"{minutes:.1f}" if minutes < 1 else f"{minutes:.0f}"), "min"
    return f"{seconds / 3600:.1f}", "h"
