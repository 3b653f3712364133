"""Encode changes of import jobs as server-sent events: one ``job`` event per change, with the job as describe has it.

The id of an event is the time of its read, in milliseconds since 1970; that of a job's final state, in the stream of
that job, has :data:`END` behind it. A client that connects again sends it as ``Last-Event-ID``.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from penstock.access.admission import Admission
from penstock.catalog.db.connection import to_millis
from penstock.domain.access import Caller
from penstock.domain.collections import Cluster
from penstock.domain.jobs import ImportJob
from penstock.domain.parse_int import number_of_digits
from penstock.errors import PermissionDenied
from penstock.imports.change_feed import JobChange, Scope, Subscription
from penstock.imports.job_events import JobEvents
from penstock.wire.http import Call, Reply
from penstock.wire.milvus_v2.dialect import Request
from penstock.wire.milvus_v2.import_views import Profile

END = "-end"
NOTHING_MORE = Reply(content=b"", status=204)
"""Ends the reconnects of a browser's EventSource."""

_LAST_EVENT_ID = "last-event-id"


def resumed_at(call: Call) -> int | None:
    """The time of the last event that the client has, in milliseconds since 1970; None if it begins."""
    at = number_of_digits(call.headers.get(_LAST_EVENT_ID, "").removesuffix(END))
    return None if at is None or at < 0 else at


def is_after_end(call: Call, job: ImportJob) -> bool:
    """Whether the client has the event of the job's end."""
    at = resumed_at(call)
    return (
        at is not None
        and call.headers[_LAST_EVENT_ID].endswith(END)
        and job.finished_at is not None
        and to_millis(job.finished_at) <= at
    )


def open_stream(
    events: JobEvents,
    admission: Admission,
    request: Request,
    profile: Profile,
    scope_of: Callable[[Cluster, Caller], Scope],
) -> Reply:
    """The reply with the stream of an admitted call; ``scope_of`` authorizes, now and at each renewal.

    Raises:
        QuotaExceeded: there are too many streams.
    """
    scope = scope_of(request.cluster, request.caller)

    def renew() -> None:
        call = request.call
        with admission.call(
            "import.events", authorization=call.authorization, address=call.address, stores_entry=True
        ) as admitted:
            cluster = admitted.enter(request.cluster_id)
            if scope_of(cluster, admitted.caller) != scope:
                # The client connects again, and gets what it may see now.
                raise PermissionDenied("the databases that the caller may read have changed")

    stream = JobEventStream(events.subscribe(scope), profile, renew)
    return Reply(content=b"", media_type="text/event-stream", stream=stream)


class JobEventStream:
    """The events of a subscription; an :class:`penstock.wire.http.EventStream`.

    The stream of one job ends with its final state. ``renew`` checks the caller's permission again.
    """

    def __init__(self, subscription: Subscription, profile: Profile, renew: Callable[[], object]) -> None:
        self._subscription = subscription
        self._profile = profile
        self._renew = renew
        self._has_ended = False

    @property
    def is_over(self) -> bool:
        return self._has_ended or self._subscription.is_over

    def listen(self, wake: Callable[[], None]) -> None:
        self._subscription.listen(wake)

    def take(self) -> bytes:
        if self._has_ended:
            return b""
        is_of_one = self._subscription.scope.job_id is not None
        changes = self._subscription.take()
        self._has_ended = is_of_one and any(change.job.state.is_final for change in changes)
        return b"".join(self._encoded(change, ends=self._has_ended) for change in changes)

    def renew(self) -> None:
        self._renew()

    def close(self) -> None:
        self._subscription.close()

    def _encoded(self, change: JobChange, *, ends: bool) -> bytes:
        files = self._subscription.scope.files
        key = (id(self._profile), files, ends)
        if key not in change.cache:
            data = orjson.dumps(self._profile.event(change.details, files=files))
            end = END if ends else ""
            change.cache[key] = b"id: %d%s\nevent: job\ndata: %s\n\n" % (change.at, end.encode(), data)
        return change.cache[key]
