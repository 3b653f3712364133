"""Many threads and processes on one catalog: each job to one of them, and every count right."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import func, select

from penstock.catalog import Catalog, open_catalog
from penstock.catalog.db import notifications, tables
from penstock.catalog.db.notifications import NotificationListener
from penstock.catalog.jobs.listing import JobFilter
from penstock.domain.jobs import TRANSITIONS, ImportJob, JobState
from penstock.errors import CatalogUnavailable, CollectionExists, JobStateConflict, LeaseLost
from tests.support.catalogs import CLUSTER, new_job, opened_catalog, stored_collection
from tests.support.postgres import PostgresServer

KEY = b"A" * 43 + b"="
SHARERS = 4


@pytest.fixture
def sharers(catalog_url: str) -> Iterator[list[Catalog]]:
    """Several openings of one catalog, each with connections of its own, as processes have."""
    with ExitStack() as stack:
        yield [stack.enter_context(opened_catalog(catalog_url, KEY)) for _ in range(SHARERS)]


def test_processes_that_begin_on_an_empty_database_at_once_make_one_catalog(postgres_url: str) -> None:
    def begin(_: int) -> list[str]:
        catalog = open_catalog(postgres_url, KEY)
        catalog.clusters.ensure(CLUSTER, "local")
        names = [each.name for each in catalog.databases.list(CLUSTER)]
        catalog.close()
        return names

    with ThreadPoolExecutor(SHARERS) as threads:
        assert list(threads.map(begin, range(SHARERS))) == [["default"]] * SHARERS


def test_no_job_is_claimed_twice(sharers: list[Catalog]) -> None:
    docs = stored_collection(sharers[0])
    jobs = {sharers[0].jobs.insert(new_job(docs)).id for _ in range(40)}

    def work(catalog: Catalog) -> list[int]:
        mine = []
        while (job := catalog.leases.claim(f"worker-{id(catalog)}", 60_000)) is not None:
            mine.append(job.id)
        return mine

    with ThreadPoolExecutor(SHARERS) as threads:
        claimed = [job_id for mine in threads.map(work, sharers) for job_id in mine]
    assert sorted(claimed) == sorted(jobs)


def test_together_they_work_on_no_more_jobs_than_may_run(sharers: list[Catalog]) -> None:
    most, docs = 3, stored_collection(sharers[0])
    jobs = [sharers[0].jobs.insert(new_job(docs)).id for _ in range(60)]
    held = select(func.count()).where(tables.job.c.owner.is_not(None))
    seen: list[int] = []

    def work(catalog: Catalog) -> list[int]:
        mine = []
        while len(seen) < len(jobs):
            if (job := catalog.leases.claim("worker", 60_000, most)) is None:
                continue
            with catalog.database.read() as connection:
                seen.append(connection.execute(held).scalar_one())
            mine.append(job.id)
            catalog.leases.move(job, JobState.FAILED, reason="done")
        return mine

    with ThreadPoolExecutor(2 * SHARERS) as threads:
        done = [job_id for mine in threads.map(work, 2 * sharers) for job_id in mine]
    assert sorted(done) == sorted(jobs)
    assert max(seen) <= most


@pytest.mark.parametrize("seed", range(3))
def test_whoever_moves_jobs_the_counters_are_right_and_each_state_follows_the_last(
    sharers: list[Catalog], seed: int
) -> None:
    """Workers with claims and users who intervene race for the same few jobs."""
    collections = [stored_collection(sharers[0], name) for name in ("docs", "images")]
    moves: list[tuple[int, JobState, JobState]] = []

    def live(catalog: Catalog, chance: random.Random) -> None:
        for _ in range(25):
            what = chance.random()
            if what < 0.3:
                catalog.jobs.insert(new_job(chance.choice(collections)))
            elif what < 0.7:
                claimed = catalog.leases.claim("worker", chance.choice([-1, 60_000]))
                if claimed is not None:
                    work(catalog, claimed, chance)
            else:
                request_transition(catalog, chance)

    def work(catalog: Catalog, job: ImportJob, chance: random.Random) -> None:
        try:
            while TRANSITIONS[job.state] and chance.random() < 0.8:
                catalog.leases.save_progress(job, progress=1, rows=1, total_rows=1, stage="importing")
                then = chance.choice(sorted(TRANSITIONS[job.state]))
                before, job = job, catalog.leases.move(job, then)
                moves.append((job.id, before.state, job.state))
        except LeaseLost:
            return

    def request_transition(catalog: Catalog, chance: random.Random) -> None:
        page = catalog.job_list.page(JobFilter(cluster_id=CLUSTER), limit=5)
        for job in page[:1]:
            onward = sorted(TRANSITIONS[job.state])
            if onward:
                try:
                    moved = catalog.jobs.request_transition(job, chance.choice(onward))
                except JobStateConflict:
                    continue
                moves.append((job.id, job.state, moved.state))

    with ThreadPoolExecutor(SHARERS) as threads:
        for each in [threads.submit(live, one, random.Random(seed * 100 + n)) for n, one in enumerate(sharers)]:
            each.result()
    with sharers[0].database.read() as connection:
        states = Counter(connection.execute(select(tables.job.c.state)).scalars())
        counter = tables.job_counter.c
        rows = connection.execute(select(counter.state, func.sum(counter.jobs).label("jobs")).group_by(counter.state))
        counted = {row.state: int(row.jobs) for row in rows if row.jobs}
    assert counted == dict(states)
    # No job left the same state twice: each move was somebody's alone.
    assert not [each for each, times in Counter((job, before) for job, before, _ in moves).items() if times > 1]


def test_a_worker_that_lost_its_job_writes_nothing_even_at_the_same_moment(sharers: list[Catalog]) -> None:
    """While one writes under its claim, the takeover waits; afterwards the first finds its claim gone."""
    one, other = sharers[:2]
    one.jobs.insert(new_job(stored_collection(one)))
    stalled = one.leases.claim("stalled", -1)
    assert stalled is not None
    taken: list[ImportJob | None] = []
    with one.database.write() as connection:
        connection.execute(select(tables.job.c.epoch).where(tables.job.c.id == stalled.id).with_for_update())
        thread = threading.Thread(target=lambda: taken.append(other.leases.claim("other", 60_000)))
        thread.start()
        time.sleep(0.2)
    thread.join()
    # PostgreSQL skips what another has locked; SQLite lets one write after the other.
    job = taken[0] or other.leases.claim("other", 60_000)
    assert job is not None
    assert job.epoch == stalled.epoch + 1
    for write in (
        lambda: one.leases.save_progress(stalled, progress=99, rows=9, total_rows=9, stage="importing"),
        lambda: one.leases.save_split(stalled, 0, rows=[1], staged={}, warnings=[]),
        lambda: one.leases.count_attempt(stalled, 0),
        lambda: one.leases.move(stalled, JobState.PLANNING),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert one.jobs.get(CLUSTER, job.id) == other.jobs.get(CLUSTER, job.id) == job


@pytest.mark.slow
def test_a_process_that_stalls_in_the_middle_of_a_write_holds_nobody_up_for_long(migrated_url: str) -> None:
    """It holds its job's lock and the one that all claims wait for; PostgreSQL ends it before they give up."""
    with opened_catalog(migrated_url, KEY) as stalled, opened_catalog(migrated_url, KEY) as other:
        other.jobs.insert(new_job(stored_collection(other)))
        job = stalled.leases.claim("stalled", -1)
        assert job is not None
        with pytest.raises(CatalogUnavailable), stalled.database.write() as connection:
            stalled.leases._wait_for_turn(connection)
            stalled.leases._check_claim(connection, job)
            taken = other.leases.claim("other", 60_000)
            assert taken is not None
            assert (taken.id, taken.epoch) == (job.id, job.epoch + 1)


def test_a_name_that_many_create_at_once_is_given_once(sharers: list[Catalog]) -> None:
    def create(catalog: Catalog) -> str | None:
        try:
            return stored_collection(catalog).id
        except CollectionExists:
            return None

    with ThreadPoolExecutor(SHARERS) as threads:
        made = [each for each in threads.map(create, sharers) if each is not None]
    assert len(made) == 1
    partitions = ["a", "b", "a", "c"]
    with ThreadPoolExecutor(SHARERS) as threads:
        list(
            threads.map(
                lambda pair: pair[0].collections.create_partition(made[0], pair[1]),
                zip(sharers, partitions, strict=True),
            )
        )
    numbers = [partition.number for partition in sharers[0].collections.partitions(made[0])]
    assert len(set(numbers)) == len(numbers) == 4


@pytest.mark.parametrize("page_size", [1, 3, 7])
def test_a_scan_sees_each_job_once_while_jobs_are_being_added(sharers: list[Catalog], page_size: int) -> None:
    docs = stored_collection(sharers[0])
    there = {sharers[0].jobs.insert(new_job(docs)).id for _ in range(20)}
    done = threading.Event()

    def add(catalog: Catalog) -> None:
        while not done.is_set():
            catalog.jobs.insert(new_job(docs))

    def scan(catalog: Catalog) -> list[int]:
        seen: list[int] = []
        before = None
        while page := catalog.job_list.page(JobFilter(cluster_id=CLUSTER, before=before), limit=page_size):
            seen += [each.id for each in page]
            before = seen[-1]
        return seen

    with ThreadPoolExecutor(2) as threads:
        adding = [threads.submit(add, sharer) for sharer in sharers[1:3]]
        try:
            scans = [scan(sharers[0]) for _ in range(5)]
        finally:
            done.set()
        for each in adding:
            each.result()
    for seen in scans:
        assert seen == sorted(set(seen), reverse=True)
        assert there <= set(seen)


# News


def test_what_one_process_does_another_hears_at_once(migrated_url: str) -> None:
    with opened_catalog(migrated_url) as one, opened_catalog(migrated_url) as other:
        docs = stored_collection(one)
        heard = threading.Event()
        news = NotificationListener(other.database, lambda _: heard.set())
        news.start()
        try:
            assert heard.wait(10), "a listener that begins looks once"
            heard.clear()
            one.jobs.insert(new_job(docs))
            assert heard.wait(10)
        finally:
            news.stop()


def test_a_listener_whose_connection_is_cut_listens_again(postgres: PostgresServer, migrated_url: str) -> None:
    with opened_catalog(migrated_url) as catalog:
        heard = threading.Semaphore(0)
        news = NotificationListener(catalog.database, lambda _: heard.release())
        news.start()
        try:
            assert heard.acquire(timeout=10)
            postgres.disconnect(migrated_url)
            assert heard.acquire(timeout=20)
        finally:
            news.stop()


def test_a_listener_goes_on_after_an_error_of_what_it_calls(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "_RECONNECT_SECONDS", 0.05)
    errors = [RuntimeError("can't start new thread")]
    heard = threading.Event()

    def hear(_: str) -> None:
        if errors:
            raise errors.pop()
        heard.set()

    with opened_catalog(migrated_url) as catalog:
        news = NotificationListener(catalog.database, hear)
        news.start()
        try:
            assert heard.wait(10)
        finally:
            news.stop()


def test_sqlite_has_nobody_to_listen_to(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog:
        news = NotificationListener(catalog.database, lambda _: None)
        news.start()
        news.stop()
