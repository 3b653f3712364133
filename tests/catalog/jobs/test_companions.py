"""Small jobs that run along with another one of their collection: which are claimed, and what they count towards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.catalog import Catalog
from penstock.domain.jobs import ImportJob, JobState
from penstock.domain.quotas import Quota
from penstock.errors import LeaseLost
from tests.support.catalogs import CLUSTER, new_job, stored_collection

LEASE = 60_000


def insert(catalog: Catalog, count: int, collection: str = "docs", **options: str) -> list[int]:
    found = catalog.collections.find(catalog.databases.get(CLUSTER, "default"), collection)
    of = found or stored_collection(catalog, collection)
    return [catalog.jobs.insert(replace(new_job(of), options=options)).id for _ in range(count)]


def claim(catalog: Catalog, most: int | None = 1) -> ImportJob | None:
    return catalog.leases.claim("worker", LEASE, most)


def companions(catalog: Catalog, job: ImportJob | None, most: int = 10, quota: Quota | None = None) -> list[int]:
    assert job is not None
    return [each.id for each in catalog.leases.claim_companions(job, "worker", LEASE, most, quota or Quota())]


def test_the_oldest_waiting_jobs_of_the_collection_run_along(catalog: Catalog) -> None:
    first, second, third, _ = insert(catalog, 4)
    insert(catalog, 2, "other")
    job = claim(catalog)
    assert job is not None
    assert job.id == first
    assert companions(catalog, job, most=2) == [second, third]


def test_jobs_that_replace_rows_wait_for_their_turn(catalog: Catalog) -> None:
    (first,) = insert(catalog, 1)
    insert(catalog, 1, write_mode="upsert")
    (append,) = insert(catalog, 1, write_mode="append")
    job = claim(catalog)
    assert job is not None
    assert (job.id, companions(catalog, job)) == (first, [append])


def test_they_count_towards_no_limit_of_running_jobs(catalog: Catalog) -> None:
    insert(catalog, 3)
    (other,) = insert(catalog, 1, "other")
    job = claim(catalog)
    assert len(companions(catalog, job)) == 2
    assert claim(catalog) is None, "the place of the cluster is taken"
    assert job is not None
    catalog.leases.move(job, JobState.FAILED, reason="done")
    following = claim(catalog)
    assert following is not None
    assert following.id == other


def test_an_org_with_a_limit_of_its_own_has_none(catalog: Catalog) -> None:
    insert(catalog, 3)
    job = claim(catalog)
    assert companions(catalog, job, quota=Quota(running_jobs=2)) == []


def test_their_leases_are_renewed_with_the_others_and_expire_alike(catalog: Catalog) -> None:
    insert(catalog, 2)
    job = catalog.leases.claim("worker", -1)
    assert job is not None
    (companion,) = catalog.leases.claim_companions(job, "worker", LEASE, 10)
    catalog.leases.renew("worker", LEASE, [(each.id, each.epoch) for each in (job, companion)])
    assert catalog.leases.claim("another", LEASE) is None
    catalog.leases.renew("worker", -1, [(each.id, each.epoch) for each in (job, companion)])
    taken = [catalog.leases.claim("another", LEASE) for _ in range(2)]
    assert [each and each.id for each in taken] == [job.id, companion.id]
    with pytest.raises(LeaseLost):
        catalog.leases.move(companion, JobState.PLANNING)


def test_they_begin_to_be_planned_together(catalog: Catalog) -> None:
    insert(catalog, 4)
    job = claim(catalog)
    assert job is not None
    waiting = catalog.leases.claim_companions(job, "worker", LEASE, 10)
    lost = catalog.jobs.request_transition(waiting[1], JobState.ABORTED, reason="aborted by user")
    started = catalog.leases.start_planning(waiting, stage="planning", progress=1)
    assert sorted(each.id for each in started) == sorted(each.id for each in waiting if each.id != lost.id)
    assert {(each.state, each.stage, each.progress) for each in started} == {(JobState.PLANNING, "planning", 1)}
    assert [catalog.jobs.get(CLUSTER, each.id) for each in started] == list(started)
    assert catalog.jobs.get(CLUSTER, lost.id).state is JobState.ABORTED
    counts = {state: jobs for state, jobs in catalog.jobs.count_by_state(CLUSTER).items() if jobs}
    assert counts == {JobState.PENDING: 1, JobState.PLANNING: 2, JobState.ABORTED: 1}
