"""What an org may have: jobs that have not ended, and bytes in a day."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from penstock.catalog import Catalog
from penstock.catalog.db import tables
from penstock.catalog.jobs.idempotency import IdempotencyRecord
from penstock.catalog.jobs.jobs import NewJob
from penstock.domain.jobs import ImportJob, JobState
from penstock.domain.quotas import Quota, Usage
from penstock.errors import OrgNotFound, QuotaExceeded
from tests.support.catalogs import input_file, new_job, tenant


def job_of(
    catalog: Catalog, org: str = "ann", quota: Quota | None = None, cluster: str = "", size: int = 0
) -> NewJob:
    docs = tenant(catalog, org, cluster or f"in01-{org}")
    return replace(new_job(docs), quota=quota or Quota(), size=size)


def planned(catalog: Catalog, size: int, quota: Quota | None = None, org: str = "ann") -> ImportJob:
    """A job whose files have been found, and have so many bytes."""
    return plan(catalog, catalog.jobs.insert(job_of(catalog, org)), size, quota)


def plan(catalog: Catalog, job: ImportJob, size: int, quota: Quota | None = None) -> ImportJob:
    claimed = catalog.leases.claim("worker", 60_000)
    assert claimed is not None
    assert claimed.id == job.id
    moved = catalog.leases.move(claimed, JobState.PLANNING)
    file = input_file(size=size)
    try:
        return catalog.leases.save_plan(moved, [file], [], quota=quota or Quota())
    except QuotaExceeded as error:
        catalog.leases.move(moved, JobState.FAILED, reason=str(error))
        raise


def test_an_org_has_so_many_live_jobs_in_all_of_its_clusters_and_no_more(catalog: Catalog) -> None:
    quota = Quota(jobs=2)
    first = catalog.jobs.insert(job_of(catalog, quota=quota))
    catalog.jobs.insert(job_of(catalog, quota=quota, cluster="in01-second"))
    with pytest.raises(QuotaExceeded, match="Try again when one has finished") as caught:
        catalog.jobs.insert(job_of(catalog, quota=quota))
    assert caught.value.details == {"limit": "max_jobs_per_org", "value": 2, "present": 2}
    assert "2 jobs of the org ann are unfinished, the limit is 2 (max_jobs_per_org)" in str(caught.value)
    catalog.jobs.insert(job_of(catalog, "bob", quota=quota))
    catalog.jobs.request_transition(first, JobState.ABORTED)
    assert catalog.jobs.insert(job_of(catalog, quota=quota)).state is JobState.PENDING
    assert catalog.quotas.usage("org-ann") == Usage(jobs=2, running_jobs=0, daily_bytes=0)


@pytest.mark.parametrize(("own", "fit"), [(1, 1), (0, 4), (None, 2)])
def test_an_orgs_own_limit_counts_before_the_servers(catalog: Catalog, own: int | None, fit: int) -> None:
    tenant(catalog, "ann", "in01-ann")
    catalog.quotas.set("org-ann", Quota(jobs=own))
    assert catalog.quotas.get("org-ann") == Quota(jobs=own)
    made = 0
    for _ in range(4):
        try:
            catalog.jobs.insert(job_of(catalog, quota=Quota(jobs=2)))
            made += 1
        except QuotaExceeded:
            break
    assert made == fit


def test_a_retry_is_one_more_live_job(catalog: Catalog) -> None:
    failed = catalog.jobs.request_transition(catalog.jobs.insert(job_of(catalog)), JobState.FAILED)
    catalog.jobs.insert(job_of(catalog))
    with pytest.raises(QuotaExceeded, match="max_jobs_per_org"):
        catalog.jobs.retry(failed, {}, None, quota=Quota(jobs=1))
    assert catalog.jobs.retry(failed, {}, None, quota=Quota(jobs=2)).state is JobState.PENDING


def test_a_refused_call_leaves_nothing_behind_and_its_key_is_free(catalog: Catalog) -> None:
    again = IdempotencyRecord(key="k", fingerprint="f", lifetime=60_000)
    there = catalog.jobs.insert(job_of(catalog))
    with pytest.raises(QuotaExceeded):
        catalog.jobs.insert(replace(job_of(catalog, quota=Quota(jobs=1)), repeated=again))
    catalog.jobs.request_transition(there, JobState.ABORTED)
    made = catalog.jobs.insert(replace(job_of(catalog, quota=Quota(jobs=1)), repeated=again))
    # The same call again is the same job, not one more.
    assert catalog.jobs.insert(replace(job_of(catalog, quota=Quota(jobs=1)), repeated=again)).id == made.id


def test_the_bytes_of_planned_jobs_are_counted_by_day(catalog: Catalog) -> None:
    quota = Quota(daily_bytes=100)
    planned(catalog, 60, quota)
    with pytest.raises(QuotaExceeded) as caught:
        planned(catalog, 41, quota)
    details = dict(caught.value.details)
    midnight = (datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert 0 < details.pop("seconds") <= (midnight - datetime.now(UTC)).total_seconds() + 5
    assert details == {"limit": "max_daily_bytes_per_org", "value": 100, "present": 60}
    assert f"Try again at {midnight:%Y-%m-%dT%H:%MZ}" in str(caught.value)
    assert catalog.quotas.usage("org-ann").daily_bytes == 60, "what is refused doesn't count"
    planned(catalog, 41, quota, "bob")
    planned(catalog, 40, quota)
    assert catalog.quotas.usage("org-ann").daily_bytes == 100


def test_with_no_bytes_left_nothing_more_is_accepted_until_the_next_day(catalog: Catalog) -> None:
    quota = Quota(daily_bytes=100)
    planned(catalog, 100, quota)
    with pytest.raises(QuotaExceeded, match="has imported 100 bytes today, the limit per day is 100"):
        catalog.jobs.insert(job_of(catalog, quota=quota))
    yesterday(catalog)
    assert catalog.jobs.insert(job_of(catalog, quota=quota)).state is JobState.PENDING


def test_where_sizes_are_known_at_create_the_call_is_refused(catalog: Catalog) -> None:
    quota = Quota(daily_bytes=100)
    planned(catalog, 60, quota)
    with pytest.raises(QuotaExceeded, match="the files of this job have 41"):
        catalog.jobs.insert(job_of(catalog, quota=quota, size=41))
    assert catalog.jobs.insert(job_of(catalog, quota=quota, size=40)).state is JobState.PENDING
    assert catalog.quotas.usage("org-ann").daily_bytes == 60


def test_a_job_larger_than_a_day_is_never_told_to_come_back(catalog: Catalog) -> None:
    with pytest.raises(QuotaExceeded, match="exceeds the quota of a whole day: split the job") as caught:
        planned(catalog, 101, Quota(daily_bytes=100))
    assert "seconds" not in caught.value.details


def test_a_retried_job_is_charged_once_on_whichever_day(catalog: Catalog) -> None:
    quota = Quota(daily_bytes=100)
    job = planned(catalog, 60, quota)
    failed = catalog.leases.move(job, JobState.FAILED, reason="row 3 is bad")
    again = plan(catalog, catalog.jobs.retry(failed, {}, None), 60, quota)
    assert catalog.quotas.usage("org-ann").daily_bytes == 60
    yesterday(catalog)
    failed = catalog.leases.move(again, JobState.FAILED, reason="row 3 is bad")
    # Its file has grown meanwhile: only the difference is new.
    plan(catalog, catalog.jobs.retry(failed, {}, None), 70, quota)
    assert catalog.quotas.usage("org-ann").daily_bytes == 10


def test_a_limit_set_at_noon_counts_the_morning(catalog: Catalog) -> None:
    planned(catalog, 60)
    catalog.quotas.set("org-ann", Quota(daily_bytes=50))
    with pytest.raises(QuotaExceeded):
        catalog.jobs.insert(job_of(catalog))


def test_an_org_that_is_not_there(catalog: Catalog) -> None:
    for call in (lambda: catalog.quotas.get("org-x"), lambda: catalog.quotas.set("org-x", Quota())):
        with pytest.raises(OrgNotFound):
            call()


def test_calls_that_come_at_once_never_make_more_jobs_than_the_org_may_have(servers: list[Catalog]) -> None:
    new = [job_of(servers[0], quota=Quota(jobs=5), cluster=f"in01-{number}") for number in range(2)]

    def create(number: int) -> bool:
        try:
            servers[number % 3].jobs.insert(new[number % 2])
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(create, range(24))) == 5


def test_jobs_that_are_planned_at_once_never_take_more_than_the_day_has(servers: list[Catalog]) -> None:
    quota = Quota(daily_bytes=50)
    for _ in range(12):
        servers[0].jobs.insert(job_of(servers[0]))

    def work(number: int) -> bool:
        catalog = servers[number % 3]
        job = catalog.leases.claim("worker", 60_000)
        assert job is not None
        job = catalog.leases.move(job, JobState.PLANNING)
        try:
            catalog.leases.save_plan(job, [input_file()], [], quota=quota)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(work, range(12))) == 5
    assert servers[0].quotas.usage("org-ann").daily_bytes == 50


def yesterday(catalog: Catalog) -> None:
    """Let a day pass."""
    day = tables.org_usage.c.day
    with catalog.database.write() as connection:
        assert connection.execute(select(day)).scalars().all()
        connection.execute(update(tables.org_usage).values(day=day - 1))
