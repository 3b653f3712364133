"""Jobs that are created: what is returned, and what calls that come together share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from penstock.catalog import Catalog
from penstock.catalog.db.connection import now_millis
from penstock.catalog.db.diagnostics import problems_of
from penstock.catalog.jobs.idempotency import IdempotencyRecord
from penstock.catalog.jobs.jobs import NewJob
from penstock.domain.audit import AuditEntry
from penstock.domain.jobs import ImportJob, JobState
from penstock.domain.quotas import JobLimits, Quota
from penstock.errors import ClusterNotFound, LimitExceeded, PenstockError, QuotaExceeded
from tests.support.catalogs import CLUSTER, new_job, opened_catalog, stored_collection, tenant, writer_held

CALLS = 8
ENTRY = AuditEntry(caller="ann", address="10.0.0.1", action="import.create", outcome="ok")


def inserted_together(catalog: Catalog, jobs: Sequence[NewJob]) -> list[ImportJob | PenstockError]:
    """What each of the calls gets that come while another transaction is written: they share a group commit."""

    def outcome(call: Future[ImportJob]) -> ImportJob | PenstockError:
        error = call.exception()
        if error is None:
            return call.result()
        assert isinstance(error, PenstockError)
        return error

    with ThreadPoolExecutor(len(jobs)) as threads:
        with writer_held(catalog.database):
            calls = [threads.submit(catalog.jobs.insert, job) for job in jobs]
            time.sleep(0.3)  # until all of them wait
        return [outcome(call) for call in calls]


def test_a_job_is_returned_as_it_is_stored(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    plain = new_job(docs)
    full = replace(
        new_job(docs, token="t"),
        partition="p",
        options={"dry_run": "true", "description": "ä 'quoted'"},
        auto_commit=False,
        deadline=now_millis() + 1000,
        trace="00-1-2-01",
        roots=["s3://bucket/a"],
        limits=JobLimits(collection=10, cluster=10),
        quota=Quota(jobs=10, daily_bytes=100),
        field_count=2,
        replay_of=7,
        replays_rows=True,
        audit=ENTRY,
    )
    for new in (plain, full):
        job = catalog.jobs.insert(new)
        assert job.state is JobState.PENDING
        assert catalog.jobs.get(CLUSTER, job.id) == job
    assert catalog.jobs.history(job.id).created_by == "ann"
    assert [entry.job_id for entry in catalog.audit.newest(10)] == [job.id]


def test_calls_that_come_together_share_their_statements(tmp_path: Path) -> None:
    statements = list[str]()

    def executed(*arguments: Any) -> None:
        statements.append(arguments[2])

    with opened_catalog(tmp_path) as catalog:
        docs = stored_collection(catalog)
        catalog.jobs.insert(new_job(docs))
        event.listen(catalog.database.engine, "before_cursor_execute", executed)
        limits = JobLimits(collection=100, cluster=100)
        jobs = inserted_together(catalog, [replace(new_job(docs), limits=limits, audit=ENTRY)] * CALLS)
        event.remove(catalog.database.engine, "before_cursor_execute", executed)
        assert {job.state for job in jobs if isinstance(job, ImportJob)} == {JobState.PENDING}
        assert catalog.jobs.live_jobs(docs.id) == len(catalog.audit.newest(100)) + 1 == CALLS + 1
        assert problems_of(catalog.database) == []
    # The first one may have a transaction of its own, as it came before the others.
    assert len([text for text in statements if text.startswith("INSERT INTO job ")]) <= 2
    assert len(statements) < 3 * CALLS


@pytest.mark.parametrize(
    ("limits", "quota", "refusal"),
    [
        (JobLimits(collection=5), Quota(), LimitExceeded),
        (JobLimits(cluster=5), Quota(), LimitExceeded),
        (JobLimits(), Quota(jobs=5), QuotaExceeded),
    ],
    ids=["collection", "cluster", "org"],
)
def test_jobs_that_are_not_written_yet_count_towards_limits(
    tmp_path: Path, limits: JobLimits, quota: Quota, refusal: type
) -> None:
    with opened_catalog(tmp_path) as catalog:
        docs, theirs = stored_collection(catalog), tenant(catalog, "ann", "in01-ann")
        jobs = [replace(new_job(each), limits=limits, quota=quota) for each in (docs, theirs) for _ in range(CALLS)]
        outcomes = inserted_together(catalog, jobs)
        for start, collection in ((0, docs), (CALLS, theirs)):
            of_collection = outcomes[start : start + CALLS]
            assert sum(isinstance(outcome, ImportJob) for outcome in of_collection) == 5
            assert sum(isinstance(outcome, refusal) for outcome in of_collection) == CALLS - 5
            assert catalog.jobs.live_jobs(collection.id) == 5
        for outcome in outcomes:
            if isinstance(outcome, ImportJob):
                assert catalog.jobs.get(outcome.cluster_id, outcome.id) == outcome
        assert problems_of(catalog.database) == []


def test_an_ended_job_makes_room_in_the_same_group(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog:
        docs, limits = stored_collection(catalog), JobLimits(collection=1)
        catalog.jobs.insert(new_job(docs))
        job = catalog.leases.claim("worker", 60_000)
        assert job is not None
        with ThreadPoolExecutor(3) as threads:
            with writer_held(catalog.database):
                first = threads.submit(catalog.audit.add, ENTRY)
                time.sleep(0.1)  # it has a transaction of its own, for which the two others wait
                ended = threads.submit(catalog.leases.move, job, JobState.FAILED, reason="no")
                time.sleep(0.1)
                created = threads.submit(catalog.jobs.insert, replace(new_job(docs), limits=limits))
                time.sleep(0.1)
            first.result()
            assert ended.result().state is JobState.FAILED
            assert created.result().state is JobState.PENDING
        assert problems_of(catalog.database) == []


def test_one_that_cannot_be_stored_fails_alone(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog:
        docs = stored_collection(catalog)
        jobs = [new_job(docs)] * CALLS
        jobs[3] = replace(jobs[3], cluster_id="in01-dropped")
        outcomes = inserted_together(catalog, jobs)
        assert isinstance(outcomes[3], ClusterNotFound)
        del outcomes[3]
        stored = [outcome for outcome in outcomes if isinstance(outcome, ImportJob)]
        assert [catalog.jobs.get(CLUSTER, job.id) for job in stored] == outcomes
        assert catalog.jobs.live_jobs(docs.id) == CALLS - 1
        assert problems_of(catalog.database) == []


def test_the_same_call_in_one_group_makes_one_job(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog:
        docs = stored_collection(catalog)
        again = IdempotencyRecord(key="k", fingerprint="f", lifetime=60_000)
        jobs = inserted_together(catalog, [replace(new_job(docs), repeated=again)] * CALLS)
        assert len({job.id for job in jobs if isinstance(job, ImportJob)}) == 1
        assert catalog.jobs.live_jobs(docs.id) == 1
        assert problems_of(catalog.database) == []
