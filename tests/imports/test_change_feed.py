"""The change feed: what a commit changes reaches the subscriptions, in this process and in others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import event

from penstock.catalog import Catalog, open_catalog
from penstock.catalog.jobs.listing import JobFilter
from penstock.domain.jobs import ImportJob, JobState
from penstock.errors import QuotaExceeded
from penstock.imports import change_feed
from penstock.imports.change_feed import ChangeFeed, JobChange, Scope, Subscription
from penstock.imports.requests import JobDetails
from tests.support.catalogs import CLUSTER, new_job, opened_catalog, stored_collection
from tests.support.imports import make_job

LIMIT = 10.0
ALL = Scope(org_id="o", filter=JobFilter(cluster_id=CLUSTER))


@pytest.fixture
def catalogs(catalog_url: str) -> Iterator[tuple[Catalog, Catalog]]:
    """Two servers' catalogs, one and the same where it isn't shared."""
    key = Fernet.generate_key()
    with closing(open_catalog(catalog_url, key)) as one:
        one.clusters.ensure(CLUSTER, "local")
        if not one.database.is_shared:
            yield one, one
            return
        with closing(open_catalog(catalog_url, key)) as other:
            yield one, other


@contextmanager
def running_feed(catalog: Catalog, streams: int = 10, per_org: int = 10) -> Iterator[ChangeFeed]:
    with closing(ChangeFeed(catalog, max_streams=streams, max_streams_per_org=per_org)) as feed:
        yield feed


def next_changes(subscription: Subscription) -> list[JobChange]:
    """The changes that come next."""
    ready = threading.Event()
    subscription.listen(ready.set)
    while not (changes := subscription.take()) and not subscription.is_over:
        ready.clear()
        assert ready.wait(LIMIT), "no change"
    return list(changes)


def until(subscription: Subscription, state: JobState, progress: int = 0) -> ImportJob:
    """The job once a change shows it so."""
    while True:
        for change in next_changes(subscription):
            if change.job.state is state and change.job.progress >= progress:
                return change.job


def test_what_one_server_writes_reaches_the_subscriptions_of_another(catalogs: tuple[Catalog, Catalog]) -> None:
    writer, reader = catalogs
    docs = stored_collection(writer)
    with running_feed(reader) as feed, closing(feed.subscribe(ALL)) as everything:
        job = writer.jobs.insert(new_job(docs))
        assert until(everything, JobState.PENDING).id == job.id
        with closing(feed.subscribe(Scope(org_id="o", job_id=job.id, files=True))) as one:
            assert until(one, JobState.PENDING) == writer.jobs.get(CLUSTER, job.id)
            claimed = writer.leases.claim("worker", 10_000)
            assert claimed is not None
            moved = writer.leases.move(claimed, JobState.PLANNING, stage="planning")
            writer.leases.save_progress(moved, progress=7, rows=3, total_rows=9, stage="importing")
            assert until(everything, JobState.PLANNING, 7).rows == until(one, JobState.PLANNING, 7).rows == 3
            writer.leases.save_reason(moved, "the store is busy")
            assert next_changes(one)[-1].job.reason == "the store is busy"
            writer.leases.move(moved, JobState.FAILED, reason="broken")
            assert until(everything, JobState.FAILED).reason == until(one, JobState.FAILED).reason == "broken"
            writer.jobs.retry(writer.jobs.get(CLUSTER, job.id), {}, None)
            assert until(one, JobState.PENDING).reason is None


def test_a_subscription_begins_with_unfinished_jobs_and_resumes_with_those_that_ended(
    catalogs: tuple[Catalog, Catalog],
) -> None:
    writer, reader = catalogs
    docs = stored_collection(writer)
    ended, live = (writer.jobs.insert(new_job(docs)) for _ in range(2))
    writer.jobs.request_transition(ended, JobState.ABORTED)
    now = int(datetime.now(UTC).timestamp() * 1000)
    resumed_scope = Scope(org_id="o", filter=JobFilter(cluster_id=CLUSTER, states=(JobState.PENDING,)), since=now)
    with (
        running_feed(reader) as feed,
        closing(feed.subscribe(ALL)) as fresh,
        closing(feed.subscribe(resumed_scope)) as resumed,
    ):
        assert [change.job.id for change in next_changes(fresh)] == [live.id]
        ids: set[int] = set()
        while ids != {live.id, ended.id}:
            ids |= {change.job.id for change in next_changes(resumed)}


def test_a_filter_by_state_shows_a_job_once_more_when_it_leaves_the_state(
    catalogs: tuple[Catalog, Catalog],
) -> None:
    writer, reader = catalogs
    docs = stored_collection(writer)
    pending = Scope(org_id="o", filter=JobFilter(cluster_id=CLUSTER, states=(JobState.PENDING,)))
    with running_feed(reader) as feed, closing(feed.subscribe(pending)) as subscription:
        job = writer.jobs.insert(new_job(docs))
        until(subscription, JobState.PENDING)
        writer.jobs.request_transition(job, JobState.ABORTED)
        until(subscription, JobState.ABORTED)


def test_subscriptions_are_limited_per_org_and_in_all(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog, running_feed(catalog, streams=3, per_org=2) as feed:
        first = feed.subscribe(Scope(org_id="a", job_id=1))
        feed.subscribe(Scope(org_id="a", job_id=1))
        with pytest.raises(QuotaExceeded, match="your org has on this server 2 event streams"):
            feed.subscribe(Scope(org_id="a", job_id=1))
        feed.subscribe(Scope(org_id="b", job_id=1))
        with pytest.raises(QuotaExceeded, match=r"this server has 3 event streams.*max_event_streams"):
            feed.subscribe(Scope(org_id="c", job_id=1))
        first.close()
        assert not feed.subscribe(Scope(org_id="c", job_id=1)).is_over


def test_a_reader_that_takes_nothing_holds_the_newest_states_and_is_ended_beyond_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(change_feed, "MAX_PENDING", 2)
    subscription = Subscription(ALL, lambda subscription: None)

    def offer(id: int, progress: int) -> None:
        job = make_job(id=id, cluster_id=CLUSTER, progress=progress)
        subscription.offer(JobChange(details=JobDetails(job=job, files=()), at=0))

    for progress in range(50):
        offer(1, progress)
        offer(2, progress)
    assert [(change.job.id, change.job.progress) for change in subscription.take()] == [(1, 49), (2, 49)]
    for id in range(3):
        offer(id, 1)
    assert subscription.is_over
    assert subscription.take() == []


def test_a_job_that_is_created_while_a_subscription_begins_is_offered_once(catalogs: tuple[Catalog, Catalog]) -> None:
    catalog, _ = catalogs
    offered: list[int] = []

    class Recording(Subscription):
        def offer(self, change: JobChange, *, any_state: bool = False) -> None:
            offered.append(change.job.id)

    job = catalog.jobs.insert(new_job(stored_collection(catalog)))
    with running_feed(catalog) as feed:
        subscription = Recording(ALL, lambda _: None)
        feed._sets_of(ALL).add(subscription)
        feed._new.append(subscription)  # it came when a round had begun
        feed._read([], [job.id], missed=False)
        assert offered == []
        feed._new.clear()
        feed._last.clear()
        feed._read([subscription], [job.id], missed=False)
        feed._read([], [job.id], missed=False)
    assert offered == [job.id]


@pytest.mark.parametrize("ago", [None, 0], ids=["begins", "resumes"])
def test_subscriptions_that_come_at_once_and_want_the_same_share_one_read(tmp_path: Path, ago: int | None) -> None:
    reads: list[str] = []

    def count(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM job" in statement:
            reads.append(statement)

    with opened_catalog(tmp_path) as catalog, running_feed(catalog, 100, 100) as feed:
        job = catalog.jobs.insert(new_job(stored_collection(catalog)))
        event.listen(catalog.database.engine, "before_cursor_execute", count)
        now = int(datetime.now(UTC).timestamp() * 1000)
        scopes = [replace(ALL, org_id=f"o{org}", since=None if ago is None else now - org) for org in range(50)]
        subscriptions = [feed.subscribe(scope) for scope in scopes]
        for subscription in subscriptions:
            assert [change.job.id for change in next_changes(subscription)] == [job.id]
        assert len(reads) < 10


def test_a_subscription_without_a_thread_takes_no_place(
    catalogs: tuple[Catalog, Catalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = catalogs
    job = writer.jobs.insert(new_job(stored_collection(writer)))
    start, left = threading.Thread.start, ["notifications", "change-feed"]

    def start_later(thread: threading.Thread) -> None:
        if thread.name in left:
            left.remove(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_later)
    with running_feed(reader, 1) as feed:
        while left if reader.database.is_shared else len(left) > 1:
            with pytest.raises(RuntimeError, match="can't start new thread"):
                feed.subscribe(ALL)
            assert feed.streams == 0
        with closing(feed.subscribe(ALL)) as subscription:
            assert until(subscription, JobState.PENDING).id == job.id
            writer.jobs.request_transition(job, JobState.ABORTED)
            assert until(subscription, JobState.ABORTED).id == job.id
