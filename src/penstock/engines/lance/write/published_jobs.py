"""Which jobs a commit published, and whether a job is published: by the properties of transactions, or by rows.

A commit of one job has the properties ``job``, ``epoch``, ``rows`` and ``replaced``; one of several jobs has
``jobs``, a JSON list of objects with the first three. A program that knows only the first form finds the jobs by
their rows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lance.dataset import LanceDataset

from penstock.domain.write_modes import WriteMode, WriteOptions
from penstock.engines.lance.layout.encoding import JOB_COLUMN
from penstock.engines.lance.write.commit import properties_after
from penstock.engines.values import Published
from penstock.errors import JobWithdrawn, PenstockError

Outcomes: TypeAlias = dict[int, Published | PenstockError]
"""By job: what it has published, or why it can't be."""

_WITHDRAWN = "withdrawn"
"""Transaction property that names a withdrawn job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedJob:
    """A job as the properties of its commit name it."""

    id: int
    epoch: int
    rows: int
    replaced: int = 0


def properties_of(jobs: Sequence[CommittedJob]) -> Mapping[str, str]:
    """The properties of a commit of these jobs; of several, none replaces rows."""
    if len(jobs) == 1:
        (job,) = jobs
        return {"job": str(job.id), "epoch": str(job.epoch), "rows": str(job.rows), "replaced": str(job.replaced)}
    return {"jobs": json.dumps([{"job": str(job.id), "epoch": job.epoch, "rows": job.rows} for job in jobs])}


def jobs_in(properties: Mapping[str, str]) -> Sequence[CommittedJob]:
    """The jobs that a commit with these properties published."""
    if "jobs" in properties:
        jobs = json.loads(properties["jobs"])
        return [CommittedJob(id=int(job["job"]), epoch=job["epoch"], rows=job["rows"]) for job in jobs]
    if "job" not in properties:
        return []
    numbers = {name: int(properties[name]) for name in ("epoch", "rows", "replaced")}
    return [CommittedJob(id=int(properties["job"]), **numbers)]


def withdrawal_of(job_id: int, epoch: int) -> Mapping[str, str]:
    """The properties of a commit that withdraws a job."""
    return {_WITHDRAWN: str(job_id), "epoch": str(epoch)}


def find_by_transaction(dataset: LanceDataset, after: Mapping[int, int], options: WriteOptions) -> Outcomes:
    """Find jobs in the transactions of versions later than their number in ``after``, by their properties.

    This holds whatever became of their rows since: while a job is between its intent and its commit no version
    expires. A job that was withdrawn has :class:`JobWithdrawn` as its outcome.
    """
    outcomes: Outcomes = {}
    complete = True
    try:
        for version, properties in properties_after(dataset, min(after.values(), default=int(dataset.version))):
            if properties is None:
                complete = False
                continue
            for job_id, outcome in _outcomes_in(version, properties).items():
                # A withdrawal up to the intent is of an earlier intent of the job.
                if version > after.get(job_id, version):
                    outcomes.setdefault(job_id, outcome)
    except OSError:
        complete = False  # this version was cleaned up already
    if not complete:
        outcomes |= find_by_rows(dataset, after.keys() - outcomes.keys(), options)
    return outcomes


def _outcomes_in(version: int, properties: Mapping[str, str]) -> Outcomes:
    outcomes: Outcomes = {
        job.id: Published(version=version, rows=job.rows, replaced=job.replaced) for job in jobs_in(properties)
    }
    if _WITHDRAWN in properties:
        job_id = int(properties[_WITHDRAWN])
        outcomes[job_id] = JobWithdrawn(
            f"The intent of job {job_id} was withdrawn because its table could not be read. Retry the job",
            job_id=job_id,
        )
    return outcomes


def find_by_rows(dataset: LanceDataset, job_ids: Collection[int], options: WriteOptions) -> Outcomes:
    """Find jobs by their rows: 5 ms per million rows, right also where compaction and cleanup took the history."""
    # Almost always none of them has any: one scan shows it.
    if not job_ids or not _count_rows(dataset, job_ids):
        return {}
    replaced = 0 if options.mode is WriteMode.APPEND else None
    counts = [(job_id, _count_rows(dataset, [job_id])) for job_id in sorted(job_ids)]
    version = int(dataset.version)
    return {job_id: Published(version=version, rows=rows, replaced=replaced) for job_id, rows in counts if rows}


def _count_rows(dataset: LanceDataset, job_ids: Collection[int]) -> int:
    return int(dataset.count_rows(f"`{JOB_COLUMN}` IN ({', '.join(map(str, sorted(job_ids)))})"))
