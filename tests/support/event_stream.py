"""Read a stream of server-sent events, as a browser's EventSource does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

__all__ = ["EVENTS", "Event", "EventReader", "event_stream"]

EVENTS = "/v2/vectordb/jobs/import/events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A ``job`` event; ``data`` is the job as describe has it."""

    id: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventReader:
    """The events of an open stream, one after the other; the iterator ends when the server ends the stream."""

    response: httpx.Response
    lines: Iterator[str]

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        fields: dict[str, str] = {}
        for line in self.lines:
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
            elif fields.get("event") == "job":
                return Event(id=fields["id"], data=json.loads(fields["data"]))
            else:
                fields = {}
        raise StopIteration


@contextmanager
def event_stream(
    client: httpx.Client, headers: dict[str, str] | None = None, last: str = "", **query: str
) -> Iterator[EventReader]:
    """An open stream; ``last`` is sent as Last-Event-ID."""
    resumed = {"Last-Event-ID": last} if last else {}
    with client.stream("GET", EVENTS, params=query, headers={**(headers or {}), **resumed}, timeout=30) as response:
        yield EventReader(response, response.iter_lines())
