"""What is known of a running job from its catalog entry: rows per second and the range of the time left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from penstock.domain.jobs import ImportJob, JobState
from penstock.web import words
from penstock.web.words import STATES, StateView

_LEAST_SECONDS = 1.0
_LEAST_PERCENT = 5
"""Below these no rate is shown: it would be a guess."""
_SURE_PERCENT = 40
"""From here on the time left is one figure, not a range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job as lists and its own page show it; times are in seconds.

    ``took`` is from its start to its end, ``rate`` in rows per second, ``left`` a text.
    """

    job: ImportJob
    state: StateView
    percent: int
    took: float | None
    rate: float | None
    left: str

    @property
    def is_running(self) -> bool:
        return self.state.kind == "running"

    @property
    def is_live(self) -> bool:
        return not self.job.state.is_final


def view(job: ImportJob, now: datetime | None = None) -> JobView:
    now = now or datetime.now(UTC)
    begun = job.started_at or (job.created_at if job.state.is_final else None)
    took = None if begun is None else ((job.finished_at or now) - begun).total_seconds()
    is_timed = job.state is JobState.COMPLETED or (
        STATES[job.state].kind == "running" and (took or 0) >= _LEAST_SECONDS
    )
    rate = job.rows / took if took and job.rows and is_timed else None
    percent = 100 if job.state in (JobState.COMPLETED, JobState.REVERTED) else min(job.progress, 99)
    state = STATES[job.state]
    left = _left(took, percent) if state.kind == "running" else ""
    return JobView(job=job, state=state, percent=percent, took=took, rate=rate, left=left)


def _left(took: float | None, percent: int) -> str:
    if took is None or took < _LEAST_SECONDS or percent < _LEAST_PERCENT:
        return ""
    left = took * (100 - percent) / percent
    if percent >= _SURE_PERCENT:
        return f"~{words.seconds(max(1, round(left)))} left"
    return f"{words.seconds(max(1, round(left * 0.7)))} to {words.seconds(max(2, round(left * 1.6)))} left"
