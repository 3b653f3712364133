"""A partition's name goes only when no job can have brought rows into it unseen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.catalog import Catalog
from penstock.domain.collections import Collection
from penstock.domain.jobs import ImportJob, JobState
from penstock.errors import PartitionNotFound
from tests.support.catalogs import new_job, stored_collection


def staged(catalog: Catalog, docs: Collection, partition: str) -> ImportJob:
    """A job that is about to commit."""
    catalog.jobs.insert(replace(new_job(docs), partition=partition))
    job = catalog.leases.claim("worker", 60_000)
    assert job is not None
    return catalog.leases.save_plan(catalog.leases.move(job, JobState.PLANNING), [], [])


def test_the_name_stays_while_rows_may_have_come_after_the_others_went(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    store = catalog.collections
    store.create_partition(docs.id, "p")
    seen = store.jobs_of_partition(docs.id, "p")
    job = staged(catalog, docs, "p")
    assert not store.drop_partition(docs.id, "p", seen)
    job = catalog.leases.move(job, JobState.COMMITTING, intent_version=1)
    assert store.jobs_of_partition(docs.id, "p").committing == job.id
    assert not store.drop_partition(docs.id, "p", seen)
    catalog.leases.move(job, JobState.INDEXING)
    assert not store.drop_partition(docs.id, "p", seen)
    assert store.partition(docs.id, "p").name == "p"
    assert store.drop_partition(docs.id, "p", store.jobs_of_partition(docs.id, "p"))


def test_no_job_commits_into_a_partition_that_is_gone(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.collections.create_partition(docs.id, "p")
    assert catalog.collections.drop_partition(docs.id, "p", catalog.collections.jobs_of_partition(docs.id, "p"))
    job = staged(catalog, docs, "p")
    with pytest.raises(PartitionNotFound, match="partition p of collection docs dropped"):
        catalog.leases.move(job, JobState.COMMITTING, intent_version=1)
    waiting = catalog.leases.move(job, JobState.UNCOMMITTED)
    with pytest.raises(PartitionNotFound, match="partition p of collection docs dropped"):
        catalog.jobs.request_transition(waiting, JobState.COMMITTING, intent_version=1)
