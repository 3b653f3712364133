"""Whose job is begun next: orgs take turns, and none has more jobs running than it may."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.catalog import Catalog
from penstock.domain.jobs import ImportJob, JobState
from penstock.domain.quotas import Quota
from tests.catalog.conftest import FreshCatalog
from tests.support.catalogs import new_job, tenant
from tests.support.examples import examples

LEASE = 60_000
NAMES = ("ann", "bob", "cid")


def insert(catalog: Catalog, org: str, cluster: str = "") -> ImportJob:
    return catalog.jobs.insert(new_job(tenant(catalog, org, cluster or f"in01-{org}")))


def claim(catalog: Catalog, most: int | None = None, quota: Quota | None = None) -> ImportJob | None:
    return catalog.leases.claim("worker", LEASE, most, quota or Quota())


def end(catalog: Catalog, job: ImportJob) -> None:
    catalog.leases.move(job, JobState.FAILED, reason="done")


def test_behind_a_hundred_jobs_of_one_org_the_job_of_another_is_next(catalog: Catalog) -> None:
    first = tenant(catalog, "ann", "in01-ann")
    for _ in range(100):
        catalog.jobs.insert(new_job(first))
    assert claim(catalog) is not None
    late = insert(catalog, "bob")
    taken = claim(catalog)
    assert taken is not None
    assert taken.id == late.id


def test_the_clusters_of_one_org_share_its_turn(catalog: Catalog) -> None:
    for cluster in ("in01-a", "in01-b", "in01-c"):
        for _ in range(2):
            insert(catalog, "ann", cluster)
    for _ in range(3):
        insert(catalog, "bob")
    owners = [job.cluster_id for job in iter(lambda: claim(catalog), None)]
    assert [owner == "in01-bob" for owner in owners] == [False, True] * 3 + [False] * 3


def test_within_an_org_the_oldest_job_comes_first(catalog: Catalog) -> None:
    jobs = [insert(catalog, "ann", cluster).id for cluster in ("in01-b", "in01-a", "in01-b", "in01-a")]
    assert [job.id for job in iter(lambda: claim(catalog), None)] == jobs


def test_an_org_has_no_more_jobs_running_than_the_server_allows_in_all_of_its_clusters(catalog: Catalog) -> None:
    for cluster in ("in01-a", "in01-b", "in01-c"):
        insert(catalog, "ann", cluster)
    other = insert(catalog, "bob")
    quota = Quota(running_jobs=2)
    begun = list(iter(lambda: claim(catalog, 1, quota), None))
    assert sorted(each.cluster_id for each in begun) == ["in01-a", "in01-b", "in01-bob"]
    end(catalog, next(each for each in begun if each.id != other.id))
    third = claim(catalog, 1, quota)
    assert third is not None
    assert third.cluster_id == "in01-c"


@pytest.mark.parametrize(("own", "running"), [(1, 1), (0, 4), (None, 2)])
def test_an_orgs_own_limit_counts_before_the_servers(catalog: Catalog, own: int | None, running: int) -> None:
    for _ in range(4):
        insert(catalog, "ann")
    catalog.quotas.set("org-ann", Quota(running_jobs=own))
    assert len(list(iter(lambda: claim(catalog, 10, Quota(running_jobs=2)), None))) == running
    assert catalog.quotas.usage("org-ann").running_jobs == running


def test_jobs_of_a_process_that_died_hold_no_place_of_the_org(catalog: Catalog) -> None:
    insert(catalog, "ann")
    assert catalog.leases.claim("dead", -1, None, Quota(running_jobs=1)) is not None
    assert catalog.quotas.usage("org-ann").running_jobs == 0
    assert claim(catalog, None, Quota(running_jobs=1)) is not None


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("arrives"), st.sampled_from(NAMES)),
        st.tuples(st.just("begins"), st.none()),
        st.tuples(st.just("ends"), st.integers(0, 5)),
    ),
    max_size=40,
)


@settings(max_examples=examples(5, 30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, most=st.sampled_from([None, 2]), running=st.sampled_from([0, 1, 2]))
def test_nobody_with_work_and_a_free_place_waits_for_two_jobs_of_another(
    fresh_catalog: FreshCatalog, events: list[tuple[str, object]], most: int | None, running: int
) -> None:
    """Against a model that knows only who waits, who runs what, and who was served since."""
    quota = Quota(running_jobs=running)
    waiting: dict[str, list[int]] = defaultdict(list)
    held: dict[str, list[ImportJob]] = defaultdict(list)
    passed_over: dict[str, dict[str, int]] = {name: defaultdict(int) for name in NAMES}
    with fresh_catalog() as catalog:

        def could(name: str) -> bool:
            full = (most is not None and len(held[name]) >= most) or 0 < running <= len(held[name])
            return bool(waiting[name]) and not full

        for what, value in events:
            if what == "arrives":
                waiting[str(value)].append(insert(catalog, str(value)).id)
            elif what == "ends":
                jobs = [job for each in held.values() for job in each]
                if jobs:
                    ended = jobs[int(str(value)) % len(jobs)]
                    end(catalog, ended)
                    held[ended.cluster_id.removeprefix("in01-")].remove(ended)
            else:
                able = {name for name in NAMES if could(name)}
                job = claim(catalog, most, quota)
                assert (job is not None) == bool(able)
                if job is None:
                    continue
                served = job.cluster_id.removeprefix("in01-")
                assert served in able
                assert job.id == waiting[served].pop(0)
                held[served].append(job)
                passed_over[served].clear()
                for name in able - {served}:
                    passed_over[name][served] += 1
                    assert passed_over[name][served] <= 1
            for name in NAMES:
                if not could(name):
                    passed_over[name].clear()


def test_servers_that_claim_at_once_never_give_an_org_or_a_cluster_more_than_it_may_have(
    servers: list[Catalog],
) -> None:
    quota, most = Quota(running_jobs=3), 2
    left = {
        insert(servers[0], org, cluster).id
        for org in NAMES
        for cluster in (f"in01-{org}", f"in02-{org}")
        for _ in range(4)
    }
    seen: list[tuple[int, int]] = []

    def work(catalog: Catalog) -> None:
        while left:
            job = claim(catalog, most, quota)
            if job is None:
                continue
            org = f"org-{job.cluster_id[5:]}"
            with catalog.database.read() as connection:
                rows = (
                    connection.exec_driver_sql("SELECT cluster_id FROM job WHERE owner IS NOT NULL").scalars().all()
                )
            seen.append((catalog.quotas.usage(org).running_jobs, max(map(rows.count, rows), default=0)))
            end(catalog, job)
            left.discard(job.id)

    with ThreadPoolExecutor(8) as threads:
        for each in [threads.submit(work, servers[number % 3]) for number in range(8)]:
            each.result()
    assert max(running for running, _ in seen) <= 3
    assert max(of_cluster for _, of_cluster in seen) <= most


def test_an_org_with_a_running_job_may_be_left_out(catalog: Catalog) -> None:
    """A process with many jobs in hand begins only those of orgs that have none."""
    ann, bob = (tenant(catalog, name, f"in01-{name}") for name in ("ann", "bob"))
    for docs in (ann, ann, bob):
        catalog.jobs.insert(new_job(docs))
    claimed = [catalog.leases.claim("worker", LEASE, None, Quota(), one_each=True) for _ in range(3)]
    assert [job and job.cluster_id for job in claimed] == ["in01-ann", "in01-bob", None]
    assert catalog.leases.claim("worker", LEASE) is not None
