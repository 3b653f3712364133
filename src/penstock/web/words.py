"""Numbers, sizes, times and states in words and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from penstock.domain.jobs import JobState
from penstock.domain.sizes import size_text

_SPANS = ((86_400, "d"), (3600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True)
class StateView:
    """How a job's state looks: a word, a shape that needs no colour, and the class of its colour."""

    word: str
    shape: str
    kind: str


STATES: Mapping[JobState, StateView] = {
    JobState.PENDING: StateView("Pending", "◐", "waiting"),
    JobState.PLANNING: StateView("Planning", "●", "running"),
    JobState.IMPORTING: StateView("Importing", "●", "running"),
    JobState.UNCOMMITTED: StateView("Waiting to commit", "◐", "waiting"),
    JobState.COMMITTING: StateView("Committing", "●", "running"),
    JobState.INDEXING: StateView("Indexing", "●", "running"),
    JobState.COMPLETED: StateView("Completed", "✓", "completed"),
    JobState.FAILED: StateView("Failed", "▲", "failed"),
    JobState.ABORTED: StateView("Aborted", "■", "aborted"),
    JobState.REVERTING: StateView("Reverting", "●", "running"),
    JobState.REVERTED: StateView("Reverted", "↩", "reverted"),
}


def number(value: float | None) -> str:
    """A whole number with thousands separated."""
    return "" if value is None else f"{value:,.0f}"


def short_number(value: float) -> str:
    """A number of three figures: ``41 k``, ``1.28 M``."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            scaled = value / (1e3 if suffix == "k" else limit)
            decimals = 2 if scaled < 10 else 1 if scaled < 100 else 0
            return f"{scaled:,.{decimals}f} {suffix}"
    return f"{value:,.0f}"


def plural(count: int, noun: str) -> str:
    """``1 file``, ``20,000 files``."""
    many = noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith("x") else "s")
    return f"{count:,} {noun if count == 1 else many}"


def file_name(path: str | None) -> str:
    """A path as callers know it: of an upload the file's own name, which its title completes."""
    path = path or ""
    return path.rpartition("/")[2] if path.startswith("upload://") else path


def size(value: int | None) -> str:
    return "" if value is None else size_text(value)


def seconds(value: float) -> str:
    """A span of time of at most two units: ``0.5 s``, ``18 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if value < 0.05:
        return "0 s"
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 and whole < 600 else "")
    if whole < 86_400:
        return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 >= 60 else "")
    return f"{whole // 86_400} d" + (f" {whole % 86_400 // 3600} h" if whole % 86_400 >= 3600 else "")


def exact(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(time: datetime | None, now: datetime | None = None) -> Markup:
    """A time as ``<time>``: relative, with the exact one on hover; a script keeps the relative one true."""
    if time is None:
        return Markup("")
    past = ((now or datetime.now(UTC)) - time).total_seconds()
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(
        time.astimezone(UTC).isoformat(timespec="milliseconds"), exact(time), _relative(past)
    )


def _relative(past: float) -> str:
    if past < 0:
        return f"in {_span(-past)}" if past < -5 else "now"
    return "just now" if past < 5 else f"{_span(past)} ago"


def _span(past: float) -> str:
    for unit, suffix in _SPANS:
        if past >= unit:
            return f"{past // unit:.0f} {suffix}"
    return f"{past:.0f} s"
