"""Reverts in the catalog, both databases: counters, later jobs, and the versions that they need."""

from __future__ import annotations

from penstock.catalog import Catalog
from penstock.catalog.db.connection import now_millis
from penstock.catalog.db.diagnostics import problems_of
from penstock.domain.collections import Collection
from penstock.domain.jobs import ImportJob, JobState
from tests.support.catalogs import CLUSTER, new_job, stored_collection


def completed(catalog: Catalog, docs: Collection, version: int, replaced: int | None = 0) -> ImportJob:
    """A job that published this version of the table, which replaced so many rows."""
    catalog.jobs.insert(new_job(docs))
    job = catalog.leases.claim("worker", 60_000)
    assert job is not None
    catalog.leases.save_plan(job := catalog.leases.move(job, JobState.PLANNING), [], [])
    job = catalog.jobs.get(CLUSTER, job.id)
    job = catalog.leases.move(job, JobState.COMMITTING)
    job = catalog.leases.move(job, JobState.INDEXING, published_version=version, replaced_rows=replaced)
    return catalog.leases.move(job, JobState.COMPLETED, progress=100)


def reverted(catalog: Catalog, job: ImportJob) -> ImportJob:
    catalog.reversals.begin(job, 1)
    leased = catalog.leases.claim("worker", 60_000)
    assert leased is not None
    assert leased.id == job.id
    return catalog.leases.move(leased, JobState.REVERTED, reason="reverted by user")


def test_a_revert_is_leased_and_counted(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    job = completed(catalog, docs, 2)
    begun = catalog.reversals.begin(job, 5)
    assert (begun.state, begun.finished_at, begun.intent_version) == (JobState.REVERTING, None, 5)
    assert catalog.jobs.is_committing(docs.id)
    assert catalog.jobs.live_jobs(docs.id) == 1
    assert problems_of(catalog.database) == []
    leased = catalog.leases.claim("worker", 60_000)
    assert leased is not None
    ended = catalog.leases.move(leased, JobState.REVERTED)
    assert ended.finished_at is not None
    assert not catalog.jobs.is_committing(docs.id)
    assert catalog.leases.claim("worker", 60_000) is None
    assert problems_of(catalog.database) == []
    # Nothing of it is left to clean up, and it goes like all ended jobs.
    assert catalog.staged_files.find(now_millis()) == []
    assert catalog.retention.forget_jobs(CLUSTER, now_millis() + 1000, 0) == 1
    assert problems_of(catalog.database) == []


def test_later_jobs_that_replaced_rows_are_found(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    first = completed(catalog, docs, 2, replaced=5)
    assert catalog.reversals.replacing_after(first) is None
    completed(catalog, docs, 3)
    assert catalog.reversals.replacing_after(first) is None
    second, third = completed(catalog, docs, 4, replaced=1), completed(catalog, docs, 5, replaced=None)
    assert catalog.reversals.replacing_after(first) == third.id
    reverted(catalog, third)
    assert catalog.reversals.replacing_after(first) == second.id
    assert catalog.reversals.replacing_after(second) is None


def test_the_version_before_the_oldest_job_with_replaced_rows_is_kept(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    past, future = now_millis() - 60_000, now_millis() + 60_000
    completed(catalog, docs, 2)
    assert catalog.reversals.version_to_keep(docs.id, past) is None
    job = completed(catalog, docs, 7, replaced=1)
    completed(catalog, docs, 9, replaced=1)
    assert catalog.reversals.version_to_keep(docs.id, past) == 6
    assert catalog.reversals.version_to_keep(docs.id, future) is None
    catalog.reversals.begin(job, 9)
    assert catalog.reversals.version_to_keep(docs.id, future) == 6, "it is being reverted"


def test_a_partition_is_not_dropped_while_a_job_is_reverted(catalog: Catalog) -> None:
    """A revert may bring rows back into any partition: the drop waits for it, and deletes its rows again."""
    docs, store = stored_collection(catalog), catalog.collections
    store.create_partition(docs.id, "p")
    job = completed(catalog, docs, 2, replaced=1)
    seen = store.jobs_of_partition(docs.id, "p")
    assert (seen.committing, seen.reverted) == (None, 0)
    catalog.reversals.begin(job, 2)
    assert store.jobs_of_partition(docs.id, "p").committing == job.id
    assert not store.drop_partition(docs.id, "p", seen)
    leased = catalog.leases.claim("worker", 60_000)
    assert leased is not None
    catalog.leases.move(leased, JobState.REVERTED)
    assert not store.drop_partition(docs.id, "p", seen), "it may have brought rows back since"
    assert store.drop_partition(docs.id, "p", store.jobs_of_partition(docs.id, "p"))
