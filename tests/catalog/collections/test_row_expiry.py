"""Which rows are expired follows from when jobs committed, however many there are, and whoever forgets the jobs."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from sqlalchemy import func, insert, select, update

from penstock.catalog import Catalog
from penstock.catalog.db import tables
from penstock.catalog.db.connection import now_millis, to_millis
from penstock.domain.collections import TTL, Collection, CollectionSettings
from penstock.domain.ids import first_id_at
from penstock.domain.jobs import JobState
from tests.support.catalogs import new_job, stored_collection

SECONDS = 100


def mortal(catalog: Catalog, ttl: str = str(SECONDS)) -> Collection:
    return replace(stored_collection(catalog), settings=CollectionSettings(properties={TTL: ttl}))


def commit(catalog: Catalog, docs: Collection, created: float, committed: float | None) -> int:
    """A job created and committed so many seconds ago."""
    job = first_id_at(now_millis() - int(1000 * created))
    catalog.row_expiry.begin(docs.id, job)
    if committed is not None:
        catalog.row_expiry.committed(docs.id, job)
        _set(catalog, job, committed)
    return job


def _set(catalog: Catalog, job: int, committed: float) -> None:
    with catalog.database.write() as connection:
        connection.execute(
            update(tables.job_commit)
            .where(tables.job_commit.c.job_id == job)
            .values(committed_at=now_millis() - int(1000 * committed))
        )


def entries(catalog: Catalog) -> int:
    with catalog.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.job_commit)).scalar_one())


@pytest.mark.parametrize("ttl", ["0", "-1", "forever", "", "1.5"])
def test_without_a_time_to_live_nothing_expires(catalog: Catalog, ttl: str) -> None:
    docs = mortal(catalog, ttl)
    assert catalog.row_expiry.of(docs) is None
    assert catalog.row_expiry.next_in(docs) is None


def test_the_time_of_a_row_is_its_jobs_commit(catalog: Catalog) -> None:
    docs = mortal(catalog)
    expired = commit(catalog, docs, 300, 150)
    late = commit(catalog, docs, 300.5, 50)
    pending = commit(catalog, docs, 301, None)
    young = commit(catalog, docs, 50, 40)
    expiry = catalog.row_expiry.of(docs)
    assert expiry is not None
    assert set(expiry.late) == {late, pending}
    assert expired < expiry.before < young
    catalog.row_expiry.committed(docs.id, late)  # of a recovery: it keeps its time
    following = catalog.row_expiry.next_in(docs)
    assert following is not None
    assert -60 < following < -45
    catalog.row_expiry.forget(docs.id, expiry)
    assert entries(catalog) == 3
    following = catalog.row_expiry.next_in(docs)
    assert following is not None
    assert 40 < following < 55


def test_a_time_to_live_that_is_set_later_counts_from_each_jobs_end(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    jobs = {}
    for state in (JobState.COMPLETED, JobState.COMMITTING, JobState.PLANNING, JobState.FAILED):
        catalog.jobs.insert(new_job(docs))
        job = catalog.leases.claim("worker", 60_000)
        assert job is not None
        jobs[state] = job.id
        job = catalog.leases.move(job, JobState.PLANNING)
        if state is JobState.FAILED:
            catalog.leases.move(job, JobState.FAILED)
        if state in (JobState.COMMITTING, JobState.COMPLETED):
            job = catalog.leases.move(catalog.leases.save_plan(job, [], []), JobState.COMMITTING, intent_version=1)
        if state is JobState.COMPLETED:
            catalog.leases.move(catalog.leases.move(job, JobState.INDEXING), JobState.COMPLETED)
    ttl = CollectionSettings(properties={TTL: str(SECONDS)})
    for _ in range(2):
        altered = catalog.collections.alter(docs.id, lambda present: replace(present, settings=ttl))
    with catalog.database.read() as connection:
        rows = connection.execute(select(tables.job_commit.c.job_id, tables.job_commit.c.committed_at)).all()
    times = {row.job_id: row.committed_at for row in rows}
    assert times.keys() == {jobs[JobState.COMPLETED], jobs[JobState.COMMITTING]}
    ended = catalog.jobs.get(docs.cluster_id, jobs[JobState.COMPLETED]).finished_at
    assert ended is not None
    assert times[jobs[JobState.COMPLETED]] == to_millis(ended)
    following = catalog.row_expiry.next_in(altered)
    assert following is not None
    assert SECONDS - 60 < following <= SECONDS


def test_a_job_that_commits_now_lives_from_now_on(catalog: Catalog) -> None:
    docs = mortal(catalog)
    waited = commit(catalog, docs, 5000, None)
    catalog.row_expiry.committed(docs.id, waited)
    expiry = catalog.row_expiry.of(docs)
    assert expiry is not None
    assert expiry.late == (waited,)


def test_of_many_jobs_few_constants_come(catalog: Catalog) -> None:
    """20,000 jobs in a day, each under way for 20 seconds; those of the last hour are visible."""
    docs = mortal(catalog, "3600")
    now, jobs = now_millis(), 20_000
    step = 24 * 3_600_000 // jobs
    with catalog.database.write() as connection:
        connection.execute(
            insert(tables.job_commit),
            [
                {
                    "collection_id": docs.id,
                    "job_id": first_id_at(now - step * number) - 1,
                    "committed_at": now - step * number + 20_000,
                }
                for number in range(jobs)
            ],
        )
    began = time.perf_counter()
    expiry = catalog.row_expiry.of(docs)
    assert expiry is not None
    assert 4 <= len(expiry.late) <= 5
    catalog.row_expiry.forget(docs.id, expiry)
    assert entries(catalog) == pytest.approx(jobs / 24, rel=0.01)
    assert time.perf_counter() - began < 5
    # What a query pays from then on: an index's few entries before the cutoff.
    asked = min(_seconds(catalog, docs) for _ in range(20))
    assert asked < 0.02


def _seconds(catalog: Catalog, docs: Collection) -> float:
    began = time.perf_counter()
    catalog.row_expiry.of(docs)
    return time.perf_counter() - began


def test_with_the_collection_its_entries_go(catalog: Catalog) -> None:
    docs = mortal(catalog)
    commit(catalog, docs, 1, 1)
    catalog.collections.drop(docs.id)
    catalog.collections.forget(docs.id)
    assert entries(catalog) == 0
