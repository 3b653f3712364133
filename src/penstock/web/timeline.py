"""The stages of a job on a time axis, from the times at which it came into its states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from penstock.domain.jobs import ImportJob, JobHistory, JobState

_WAITING, _EARLIER = "Waiting to start", "Earlier attempts"
_NAMES: Mapping[JobState, str] = {
    JobState.PLANNING: "Planning",
    JobState.IMPORTING: "Reading and writing",
    JobState.UNCOMMITTED: "Waiting for the commit",
    JobState.COMMITTING: "Publishing",
    JobState.INDEXING: "Indexing",
}
_AXIS = 1000
_LEAST_WIDTH = 4


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a job, in seconds from its creation; positions are 0 to 1000 of the axis."""

    name: str
    kind: str
    start: float
    end: float
    x: int
    width: int

    @property
    def seconds(self) -> float:
        return self.end - self.start


def stages(job: ImportJob, history: JobHistory, kind: str, now: datetime | None = None) -> Sequence[Stage]:
    """The stages that a job went through, in order; ``kind`` is that of its state, for the last of them.

    Args:
        now: the end of the axis for a job that goes on.
    """
    end = job.finished_at or now or datetime.now(UTC)
    begins: list[tuple[str, datetime]] = [(_WAITING, job.created_at)]
    if job.started_at is not None:
        begins.append((_EARLIER, job.started_at))
    for state, name in _NAMES.items():
        time = history.times.get(state)
        # Before the one before it: of an attempt that failed and was retried.
        if time is not None and begins[-1][1] <= time <= end:
            if begins[-1][0] == _EARLIER and not _is_retried(job, time):
                time = begins.pop()[1]
            begins.append((name, time))
    ends = [*(time for _, time in begins[1:]), end]
    kinds = ["waiting" if name in (_WAITING, _NAMES[JobState.UNCOMMITTED]) else "completed" for name, _ in begins]
    if len(begins) > 1:
        kinds[-1] = kind
    whole = max((end - job.created_at) / timedelta(seconds=1), 0.001)
    return [
        _stage(name, kind, start, stop, job.created_at, whole)
        for (name, start), stop, kind in zip(begins, ends, kinds, strict=True)
    ]


def _is_retried(job: ImportJob, planned_at: datetime) -> bool:
    """Whether planning began later than right after the job's first start, which a retry doesn't change."""
    return job.started_at is not None and planned_at - job.started_at > timedelta(seconds=1)


def _stage(name: str, kind: str, start: datetime, end: datetime, zero: datetime, whole: float) -> Stage:
    first, last = ((time - zero) / timedelta(seconds=1) for time in (start, end))
    x = round(_AXIS * first / whole)
    return Stage(name, kind, first, last, x, max(_LEAST_WIDTH, round(_AXIS * last / whole) - x))
