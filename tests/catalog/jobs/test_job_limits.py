"""How many unfinished jobs a collection and a cluster may have."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from penstock.catalog import Catalog
from penstock.catalog.jobs.idempotency import IdempotencyRecord
from penstock.catalog.jobs.jobs import NewJob
from penstock.domain.collections import Collection
from penstock.domain.jobs import JobState
from penstock.domain.quotas import JobLimits
from penstock.errors import LimitExceeded
from tests.support.catalogs import CLUSTER, new_job, stored_collection, tenant


def job_of(collection: Collection, limits: JobLimits) -> NewJob:
    return replace(new_job(collection), limits=limits)


def test_a_collection_has_so_many_live_jobs_and_no_more(catalog: Catalog) -> None:
    docs, other = stored_collection(catalog), stored_collection(catalog, "other")
    limits = JobLimits(collection=2)
    first = catalog.jobs.insert(job_of(docs, limits))
    catalog.jobs.insert(job_of(docs, limits))
    with pytest.raises(LimitExceeded, match="2 jobs of collection docs are unfinished") as caught:
        catalog.jobs.insert(job_of(docs, limits))
    assert caught.value.details == {"limit": "max_jobs_per_collection", "value": 2}
    assert catalog.jobs.live_jobs(docs.id) == 2, "what is refused doesn't count"
    catalog.jobs.insert(job_of(other, limits))
    catalog.jobs.request_transition(first, JobState.ABORTED)
    assert catalog.jobs.insert(job_of(docs, limits)).state is JobState.PENDING


def test_a_cluster_has_so_many_live_jobs_in_all_of_its_collections(catalog: Catalog) -> None:
    limits = JobLimits(cluster=2)
    for name in ("one", "two"):
        catalog.jobs.insert(job_of(stored_collection(catalog, name), limits))
    with pytest.raises(LimitExceeded, match="2 jobs of the cluster are unfinished") as caught:
        catalog.jobs.insert(job_of(stored_collection(catalog, "three"), limits))
    assert caught.value.details == {"limit": "max_jobs_per_cluster", "value": 2}
    assert catalog.jobs.insert(job_of(tenant(catalog, "ann", "in01-ann"), limits)).state is JobState.PENDING


@pytest.mark.parametrize("limits", [JobLimits(collection=1), JobLimits(cluster=1)], ids=["collection", "cluster"])
def test_a_retry_is_one_more_live_job(catalog: Catalog, limits: JobLimits) -> None:
    docs = stored_collection(catalog)
    failed = catalog.jobs.request_transition(catalog.jobs.insert(job_of(docs, limits)), JobState.FAILED)
    other = catalog.jobs.insert(job_of(docs, limits))
    with pytest.raises(LimitExceeded):
        catalog.jobs.retry(failed, {}, None, limits=limits)
    assert catalog.jobs.get(CLUSTER, failed.id) == failed
    catalog.jobs.request_transition(other, JobState.ABORTED)
    assert catalog.jobs.retry(failed, {}, None, limits=limits).state is JobState.PENDING


def test_the_same_call_again_is_no_further_job(catalog: Catalog) -> None:
    again = IdempotencyRecord(key="k", fingerprint="f", lifetime=60_000)
    new = replace(job_of(stored_collection(catalog), JobLimits(collection=1, cluster=1)), repeated=again)
    assert catalog.jobs.insert(new).id == catalog.jobs.insert(new).id


@pytest.mark.parametrize("limits", [JobLimits(collection=5), JobLimits(cluster=5)], ids=["collection", "cluster"])
def test_calls_that_come_at_once_never_make_more_jobs_than_there_may_be(
    servers: list[Catalog], limits: JobLimits
) -> None:
    servers[0].clusters.ensure(CLUSTER, "local")
    collections = [stored_collection(servers[0], "docs")]
    if limits.cluster is not None:
        collections += [stored_collection(servers[0], name) for name in ("other", "third")]

    def insert(number: int) -> bool:
        try:
            servers[number % 3].jobs.insert(job_of(collections[number % len(collections)], limits))
        except LimitExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(insert, range(24))) == 5
    assert sum(servers[0].jobs.live_jobs(collection.id) for collection in collections) == 5
