"""Partitions and the rows in them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

import pytest

from penstock.collections import partitions
from penstock.domain.collections import Collection
from penstock.domain.jobs import ImportJob, JobState
from penstock.engines.values import Table
from penstock.errors import InvalidParameter, JobStateConflict, PartitionNotFound
from tests.collections.conftest import UseCases
from tests.support.catalogs import new_job


def test_a_number_is_never_given_again(cases: UseCases) -> None:
    docs = cases.create()
    first = cases.partitions.create(docs, "p")
    docs = cases.put(docs, rows=3, partition=first.number)
    assert cases.partitions.count(docs, "p") == 3
    cases.partitions.drop(docs, "p")
    second = cases.partitions.create(docs, "p")
    assert second.number != first.number
    assert cases.partitions.count(docs, "p") == 0


def test_names_become_numbers(cases: UseCases) -> None:
    docs = cases.create()
    made = cases.partitions.create(docs, "p")
    assert cases.partitions.numbers(docs, []) is None
    assert cases.partitions.numbers(docs, ["p", "_default"]) == [made.number, 0]
    with pytest.raises(PartitionNotFound):
        cases.partitions.numbers(docs, ["p", "x"])


def test_there_may_be_too_many(cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "MAX_PARTITIONS", 2)
    docs = cases.create()
    for _ in range(2):
        cases.partitions.create(docs, "p")
    with pytest.raises(InvalidParameter, match="partition number"):
        cases.partitions.create(docs, "q")


def test_a_drop_ends_the_jobs_that_would_write_into_it(cases: UseCases) -> None:
    docs = cases.create()
    cases.partitions.create(docs, "p")
    jobs = [cases.catalog.jobs.insert(replace(new_job(docs), partition=name)) for name in ("p", None)]
    cases.partitions.drop(docs, "p")
    ended, other = (cases.catalog.jobs.get(docs.cluster_id, job.id) for job in jobs)
    assert (ended.state, ended.reason) == (JobState.FAILED, "partition p of collection docs dropped")
    assert other.state is JobState.PENDING


def committing(cases: UseCases, docs: Collection, name: str) -> ImportJob:
    """A job that has written down its intent to commit into a partition."""
    cases.catalog.jobs.insert(replace(new_job(docs), partition=name))
    return cases.catalog.leases.move(staged(cases), JobState.COMMITTING, intent_version=docs.version)


def staged(cases: UseCases) -> ImportJob:
    job = cases.catalog.leases.claim("worker", 60_000)
    assert job is not None
    return cases.catalog.leases.save_plan(cases.catalog.leases.move(job, JobState.PLANNING), [], [])


def test_a_drop_waits_for_a_job_in_its_commit_and_takes_its_rows_along(cases: UseCases) -> None:
    docs = cases.create()
    made = cases.partitions.create(docs, "p")
    job = committing(cases, docs, "p")
    with ThreadPoolExecutor(1) as threads:
        drop = threads.submit(cases.partitions.drop, docs, "p")
        assert wait([drop], timeout=0.2).not_done
        docs = cases.put(docs, rows=3, partition=made.number)
        cases.catalog.leases.move(job, JobState.INDEXING)
        drop.result(30)
    assert cases.engine.count(Table.of(docs), partitions=[made.number]) == 0
    assert not cases.partitions.has(docs, "p")


def test_a_commit_that_never_ends_is_named(cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "_COMMIT_SECONDS", 0.1)
    docs = cases.create()
    cases.partitions.create(docs, "p")
    job = committing(cases, docs, "p")
    with pytest.raises(JobStateConflict, match=f"job {job.id} is publishing rows into the partition p"):
        cases.partitions.drop(docs, "p")
    assert cases.partitions.has(docs, "p")
