"""Read the changes of import jobs: server-sent events where the server has them, polls elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import orjson
import requests

from penstock.sdk.connection import Connection
from penstock.sdk.errors import ApiError, ConnectionFailed, InvalidResponse
from penstock.sdk.jobs import ImportJob, job_from_wire
from penstock.sdk.polling import LONGEST_OUTAGE, may_pass

__all__ = ["EventsUnsupported", "polled_changes", "streamed_changes"]

_PATH = "/jobs/import/events"
_NO_SUCH_CALL = frozenset({404, 405, 501})
_RECONNECT_SECONDS = 1.0


class EventsUnsupported(Exception):
    """The server has no event streams."""


def streamed_changes(connection: Connection, query: Mapping[str, str], *, of_one: bool) -> Iterator[ImportJob]:
    """The jobs of a stream's events; connects again with Last-Event-ID when the connection ends.

    Args:
        query: the parameters of the call.
        of_one: the stream is of one job, and ends with it.

    Raises:
        EventsUnsupported: before the first job.
        ImportCallError: the server refuses the stream, or can't be reached for a minute.
    """
    last_id = ""
    has_connected = False
    last_answer = time.monotonic()
    while True:
        try:
            with connection.stream(_PATH, query, {"Last-Event-ID": last_id} if last_id else {}) as response:
                if response.status_code == requests.codes.no_content:
                    return
                has_connected = True
                for event_id, data in _events(response):
                    last_id, last_answer = event_id, time.monotonic()
                    job = _parse(connection, data)
                    yield job
                    if of_one and job.is_finished:
                        return
            last_answer = time.monotonic()
        except ApiError as error:
            if not has_connected and error.http_status in _NO_SUCH_CALL and error.code is None:
                raise EventsUnsupported from error
            is_restarting = has_connected and may_pass(error, last_answer)
            if not is_restarting and (error.retry_after is None or time.monotonic() - last_answer > LONGEST_OUTAGE):
                raise
        except ConnectionFailed:
            if not has_connected or time.monotonic() - last_answer > LONGEST_OUTAGE:
                raise
        except requests.RequestException:
            # The connection broke while it was read. A silent one lasted: the outage begins now.
            last_answer = time.monotonic()
        time.sleep(_RECONNECT_SECONDS)


def _events(response: requests.Response) -> Iterator[tuple[str, str]]:
    """Id and data of each ``job`` event."""
    fields: dict[str, str] = {}
    for line in response.iter_lines(decode_unicode=False):
        name, _, value = line.decode().partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
            continue
        if not line and fields.get("event") == "job":
            yield fields.get("id", ""), fields.get("data", "")
        if not line:
            fields = {}


def _parse(connection: Connection, data: str) -> ImportJob:
    try:
        return job_from_wire(orjson.loads(data))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidResponse(
            f"an event is not valid: {error}",
            url=f"{connection.url}/v2/vectordb{_PATH}",
            method="GET",
            http_status=200,
        ) from error


def polled_changes(poll: Callable[[], Sequence[ImportJob]], seconds: float, *, of_one: bool) -> Iterator[ImportJob]:
    """The jobs of polls that differ from the polls before."""
    last: dict[str, ImportJob] = {}
    last_answer: float | None = None
    while True:
        try:
            jobs = poll()
        except (ConnectionFailed, ApiError) as error:
            if not may_pass(error, last_answer):
                raise
            time.sleep(seconds)
            continue
        for job in jobs:
            if last.get(job.id) != job:
                yield job
        if of_one and all(job.is_finished for job in jobs):
            return
        last = {job.id: job for job in jobs}
        last_answer = time.monotonic()  # whatever time the caller has taken for them is no outage
        time.sleep(seconds)
