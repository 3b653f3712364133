"""The change feed: one thread per process reads changed jobs from the catalog once, for all subscriptions.

Commits notify it of the jobs that they change (:meth:`CatalogDatabase.notify_job`): in SQLite within this process, in
PostgreSQL across all that share the catalog. Without subscriptions and without changes nothing is read.

A subscription has the newest state of each changed job, never a queue of states: a slow reader misses states in
between, and a subscription's memory is bounded by :data:`MAX_PENDING` jobs, beyond which it ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import structlog

from penstock.catalog import Catalog
from penstock.catalog.db.connection import JOB_CHANNEL, now_millis
from penstock.catalog.db.notifications import NotificationListener
from penstock.catalog.jobs.listing import JobFilter
from penstock.domain.jobs import ImportJob
from penstock.errors import CatalogUnavailable, QuotaExceeded
from penstock.imports.requests import JobDetails

log = structlog.get_logger(__name__)

MAX_PENDING = 10_000
"""Jobs whose changes one subscription holds until they are taken."""
SNAPSHOT_JOBS = 1_000
"""Jobs that a new subscription to many gets at its beginning: the newest."""

_PAUSE = 0.1
"""Seconds between two reads: changes in between are read together. Progress is saved every 0.2 s."""
_RETRY_SECONDS = 1.0
_LISTEN_SECONDS = 5.0
"""Seconds to wait for PostgreSQL's notifications before the first read, which doesn't depend on them."""
_CHUNK = 500
"""Jobs read by one query."""
_MISSED_MILLIS = 60_000
"""Jobs that ended up to this long before a subscription's ``since`` are sent again: clocks of servers differ."""
_RETRY_AFTER = 5
"""Seconds after which a refused subscription may be tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChange:
    """A job as it was read at ``at``, in milliseconds since 1970; its files if the subscription wants them.

    ``cache`` is for what readers make of it: all subscriptions get the same change.
    """

    details: JobDetails
    at: int
    cache: dict[Any, bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def job(self) -> ImportJob:
        return self.details.job


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a subscription is of: one job, or the jobs of a filter.

    ``since`` resumes an earlier subscription to a filter: jobs that ended after it are sent, too. ``files`` are read
    for subscriptions to one job only.
    """

    org_id: str
    job_id: int | None = None
    filter: JobFilter | None = None
    since: int | None = None
    files: bool = False


class Subscription:
    """The changes of the jobs of one scope. Thread-safe. Close it."""

    def __init__(self, scope: Scope, close: Callable[[Subscription], None]) -> None:
        self.scope = scope
        self._close = close
        self._lock = threading.Lock()
        self._pending: dict[int, JobChange] = {}
        self._sent_in_states: set[int] = set()
        self._wake: Callable[[], None] = lambda: None
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether no further changes come: the server stops, or the reader was too slow."""
        return self._is_over

    def listen(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called, from any thread, when there are changes to take or the subscription is over."""
        with self._lock:
            self._wake = wake
        wake()

    def take(self) -> Sequence[JobChange]:
        """The newest change of each job that has changed since the last call, in the order of their reads."""
        with self._lock:
            changes = list(self._pending.values())
            self._pending.clear()
        return changes

    def close(self) -> None:
        self._close(self)

    def offer(self, change: JobChange, *, any_state: bool = False) -> None:
        """Add a change if it is in the scope.

        A job that leaves the states of the filter is sent once more. ``any_state`` sends it as if it did.
        """
        job, job_filter = change.job, self.scope.filter
        if job_filter is not None and not _is_in_scope(job, job_filter):
            return
        with self._lock:
            if job_filter is not None and job_filter.states:
                is_in_states = job.state in job_filter.states
                if not (is_in_states or any_state or job.id in self._sent_in_states):
                    return
                (self._sent_in_states.add if is_in_states else self._sent_in_states.discard)(job.id)
            self._pending.pop(job.id, None)
            self._pending[job.id] = change
            if max(len(self._pending), len(self._sent_in_states)) > MAX_PENDING:
                log.warning("events.reader_too_slow", org_id=self.scope.org_id, pending=len(self._pending))
                self._is_over = True
                self._pending.clear()
            wake = self._wake
        wake()

    def end(self) -> None:
        """Let no further changes come; those that are pending can be taken."""
        with self._lock:
            self._is_over = True
            wake = self._wake
        wake()


class ChangeFeed:
    """Reads changed jobs and offers them to the subscriptions; its thread starts with the first one.

    ``max_streams`` limits the subscriptions, ``max_streams_per_org`` those of one org.
    """

    def __init__(self, catalog: Catalog, *, max_streams: int, max_streams_per_org: int) -> None:
        self._catalog = catalog
        self._max_streams, self._max_streams_per_org = max_streams, max_streams_per_org
        self._condition = threading.Condition()
        self._subscriptions: set[Subscription] = set()
        self._by_job: dict[int, set[Subscription]] = {}
        self._by_cluster: dict[str, set[Subscription]] = {}
        self._new: list[Subscription] = []
        self._changed: set[int] = set()
        self._missed = False
        """Whether notifications may have been lost, so that all subscriptions must be read again."""
        self._last: dict[int, tuple[object, ...]] = {}
        self._read_at: int | None = None
        self._is_listening = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="change-feed", daemon=True)
        self._listener = NotificationListener(catalog.database, self._on_notification, JOB_CHANNEL)

    def subscribe(self, scope: Scope) -> Subscription:
        """Subscribe to a job, or to those of a filter. The first changes are their present states.

        Raises:
            QuotaExceeded: there are as many subscriptions as allowed.
        """
        subscription = Subscription(scope, self._remove)
        with self._condition:
            self._check_limits(scope.org_id)
            if self._stop.is_set():
                subscription.end()
            elif self._thread.ident is None:
                # Before the subscription counts: where there is no thread free, nobody would close it.
                self._listener.start()
                self._thread.start()
                self._catalog.database.listen_to_jobs(self._on_change)
            self._subscriptions.add(subscription)
            self._sets_of(scope).add(subscription)
            self._new.append(subscription)
            self._condition.notify()
        return subscription

    @property
    def streams(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscriptions)

    def end(self) -> None:
        """End all subscriptions, and those to come; the catalog must stay open until :meth:`close`."""
        self._is_listening.set()
        with self._condition:
            self._stop.set()
            self._condition.notify()
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.end()

    def close(self) -> None:
        """End, and wait for the threads."""
        self.end()
        self._listener.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def _check_limits(self, org_id: str) -> None:
        of_org = sum(subscription.scope.org_id == org_id for subscription in self._subscriptions)
        limits = (
            (len(self._subscriptions), self._max_streams, "this server has", "max_event_streams"),
            (of_org, self._max_streams_per_org, "your org has on this server", "max_event_streams_per_org"),
        )
        for number, limit, whose, setting in limits:
            if number >= limit:
                raise QuotaExceeded(
                    f"{whose} {number} event streams, its limit. Close some, try again in {_RETRY_AFTER} s, or have "
                    f"the operator raise the setting {setting}",
                    limit=limit,
                    seconds=_RETRY_AFTER,
                )

    def _sets_of(self, scope: Scope) -> set[Subscription]:
        if scope.filter is not None:
            return self._by_cluster.setdefault(scope.filter.cluster_id, set())
        assert scope.job_id is not None
        return self._by_job.setdefault(scope.job_id, set())

    def _remove(self, subscription: Subscription) -> None:
        scope = subscription.scope
        with self._condition:
            self._subscriptions.discard(subscription)
            index: dict[Any, set[Subscription]] = self._by_job if scope.filter is None else self._by_cluster
            key = scope.job_id if scope.filter is None else scope.filter.cluster_id
            if (subscriptions := index.get(key)) is not None:
                subscriptions.discard(subscription)
                if not subscriptions:
                    del index[key]
            if not self._subscriptions:
                self._changed.clear()
                self._last.clear()

    def _on_notification(self, payload: str) -> None:
        if payload.isdecimal():
            self._on_change(int(payload))
        else:
            with self._condition:
                self._missed = self._read_at is not None  # what was never read wasn't missed
                self._condition.notify()
            self._is_listening.set()

    def _on_change(self, job_id: int) -> None:
        if self._by_cluster or job_id in self._by_job:
            with self._condition:
                self._changed.add(job_id)
                self._condition.notify()

    def _work(self) -> None:
        if self._catalog.database.is_shared:
            self._is_listening.wait(_LISTEN_SECONDS)  # what is read after it misses no notification
        while True:
            with self._condition:
                while not (self._new or self._changed or self._missed or self._stop.is_set()):
                    self._condition.wait()
                if self._stop.is_set():
                    return
                new, self._new = self._new, []
                changed, self._changed = self._changed, set()
                missed, self._missed = self._missed, False
            try:
                self._read(new, changed, missed=missed)
            except Exception as error:
                if isinstance(error, CatalogUnavailable):
                    log.warning("catalog.unavailable", component="change feed", error=str(error))
                else:
                    log.exception("change_feed.error")
                with self._condition:
                    self._new = [*new, *self._new]
                    self._changed |= changed
                    self._missed |= missed
                self._stop.wait(_RETRY_SECONDS)
            self._stop.wait(_PAUSE)

    def _read(self, new: Sequence[Subscription], changed: Iterable[int], *, missed: bool) -> None:
        read_at = now_millis()
        if missed:
            with self._condition:
                subscriptions = list(self._subscriptions)
            scopes = (replace(subscription.scope, since=self._read_at) for subscription in subscriptions)
            for scope in dict.fromkeys(map(_shared, scopes)):
                for change in self._snapshot(scope):
                    self._publish(change)
        ids = iter(sorted(changed))
        published: set[int] = set()
        while chunk := list(islice(ids, _CHUNK)):
            for job in self._catalog.jobs.by_ids(chunk):
                if self._publish(self._change(job)):
                    published.add(job.id)
        equal_scopes: dict[Scope, list[Subscription]] = {}
        for subscription in new:
            equal_scopes.setdefault(_shared(subscription.scope), []).append(subscription)
        # In this thread as all other reads: an older state never follows a newer one.
        for scope, subscriptions in equal_scopes.items():
            resumes = scope.since is not None
            for change in self._snapshot(scope):
                if change.job.id in published and not resumes:
                    continue  # the new subscriptions have it, too; what has changed since comes in the next round
                if change.job.id in self._last:
                    self._publish(change)  # it may be newer than what the others have
                for subscription in subscriptions:
                    subscription.offer(change, any_state=resumes)
        self._read_at = read_at

    def _snapshot(self, scope: Scope) -> Sequence[JobChange]:
        """The jobs of new subscriptions: one, or the unfinished ones and those that ended ``since``."""
        if scope.filter is None:
            assert scope.job_id is not None
            return [self._change(job, files=scope.files) for job in self._catalog.jobs.by_ids([scope.job_id])]
        now = now_millis()
        finished_since = now if scope.since is None else min(scope.since, now) - _MISSED_MILLIS
        job_filter = replace(scope.filter, finished_since=finished_since)
        if scope.since is not None:
            job_filter = replace(job_filter, states=())  # some may have left the states meanwhile
        jobs = self._catalog.job_list.page(job_filter, limit=SNAPSHOT_JOBS)
        return [self._change(job) for job in jobs]

    def _change(self, job: ImportJob, *, files: bool | None = None) -> JobChange:
        at = now_millis()
        if files is None:
            with self._condition:
                files = any(subscription.scope.files for subscription in self._by_job.get(job.id, ()))
        return JobChange(details=JobDetails(job=job, files=self._catalog.jobs.files(job.id) if files else ()), at=at)

    def _publish(self, change: JobChange) -> bool:
        """Offer a change to all subscriptions with the job in their scope; False if it shows nothing new."""
        job = change.job
        visible = _visible(change)
        if self._last.get(job.id) == visible:
            return False
        if job.state.is_final:
            self._last.pop(job.id, None)
        else:
            self._last[job.id] = visible
            if len(self._last) > 2 * MAX_PENDING:
                self._last.clear()
        with self._condition:
            # Subscriptions that came since this round began get the job with the snapshot of the next one.
            later = set(self._new)
            subscriptions = {*self._by_job.get(job.id, ()), *self._by_cluster.get(job.cluster_id, ())} - later
        for subscription in subscriptions:
            subscription.offer(change)
        return True


def _shared(scope: Scope) -> Scope:
    """The scope to read for all subscriptions that want the same jobs.

    After a restart of the server all of them come back at the same time, with the time of the last change they had.
    """
    since = None if scope.since is None else scope.since - scope.since % _MISSED_MILLIS
    return replace(scope, org_id="", since=since)


def _is_in_scope(job: ImportJob, job_filter: JobFilter) -> bool:
    return (
        job.cluster_id == job_filter.cluster_id
        and job_filter.database_id in (None, job.database_id)
        and (job_filter.database_ids is None or job.database_id in job_filter.database_ids)
        and job_filter.collection_id in (None, job.collection_id)
    )


def _visible(change: JobChange) -> tuple[object, ...]:
    """What subscribers see of a change; a claim or a heartbeat changes none of it."""
    job = change.job
    figures = (job.progress, job.size, job.rows, job.total_rows)
    return (job.state, *figures, job.stage, job.reason, job.warnings, job.finished_at, tuple(change.details.files))
