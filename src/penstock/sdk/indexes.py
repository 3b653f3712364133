"""``client.indexes``: create, list, describe, wait for and drop the indexes of collections."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from penstock.sdk.connection import Connection
from penstock.sdk.errors import IndexUnfinished
from penstock.sdk.polling import poll_until

__all__ = ["IndexDescription", "Indexes"]

_FINISHED = "Finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexDescription:
    """An index of a collection, and how far it is built.

    Attributes:
        state: ``Finished`` when no work is due, ``InProgress`` while it is built, ``Unissued`` before that.
        rows: rows of the collection.
        pending_rows: rows that wait to be indexed.
        built_rows: rows in the built index; a search compares all others exactly. None if the server doesn't say.
        raw: the server's own answer.
    """

    name: str
    field: str
    type: str
    metric: str = ""
    params: Mapping[str, str] = dataclasses.field(default_factory=dict)
    state: str = ""
    rows: int = 0
    pending_rows: int = 0
    built_rows: int | None = None
    reason: str | None = None
    raw: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @property
    def is_finished(self) -> bool:
        """Whether no work is due: all rows are in the index, or few enough to be compared exactly."""
        return self.state == _FINISHED

    @property
    def progress(self) -> int:
        """Percent of the rows that don't wait to be indexed; 100 only when no work is due."""
        if self.is_finished:
            return 100
        return min(99, 100 * (self.rows - self.pending_rows) // self.rows) if self.rows else 0


class Indexes:
    """Indexes of the collections of the client's database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        collection: str,
        field: str,
        *,
        name: str | None = None,
        type: str | None = None,
        metric: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """Create an index on a field; it is built in the background. An identical one that exists is no error.

        Args:
            name: of the index; None for the field's name.
            type: such as ``HNSW`` or ``IVF_FLAT``; None for ``AUTOINDEX``.
            metric: of a vector field; None for the default of its type. A type other than AUTOINDEX needs one.
            params: of the type, e.g. ``{"M": 16, "efConstruction": 200}``.
        """
        entry = {"fieldName": field, "indexName": name, "indexType": type, "metricType": metric, "params": params}
        body = self._body(collection) | {"indexParams": [{key: value for key, value in entry.items() if value}]}
        self._connection.post("/indexes/create", body)

    def list(self, collection: str) -> tuple[str, ...]:
        """List the names of a collection's indexes."""
        return self._connection.read("/indexes/list", self._body(collection), tuple)

    def describe(self, collection: str, name: str) -> IndexDescription:
        body = self._body(collection, name) | {"verbose": True}
        return self._connection.read("/indexes/describe", body, lambda data: _description(data[0]))

    def drop(self, collection: str, name: str) -> None:
        """Drop an index; one that doesn't exist is no error. The vector index of a loaded collection stays."""
        self._connection.post("/indexes/drop", self._body(collection, name))

    def wait(
        self,
        collection: str,
        name: str,
        *,
        timeout: float | None = None,
        progress: bool | Callable[[IndexDescription], object] = False,
    ) -> IndexDescription:
        """Wait until no work is due for an index, and return its description.

        Args:
            timeout: seconds to wait at most; None for as long as it takes.
            progress: True draws a progress bar; a function is called with every polled state.

        Raises:
            IndexUnfinished: the timeout is over; the index is still built.
        """
        if callable(progress):
            watching: AbstractContextManager[Callable[[IndexDescription], object]] = nullcontext(progress)
        elif progress:
            from penstock.sdk.progress import index_bar  # click takes a while to import

            watching = index_bar()
        else:
            watching = nullcontext(lambda index: None)
        with watching as show:
            return poll_until(
                lambda: self.describe(collection, name),
                lambda index: index.is_finished,
                lambda index, seconds: IndexUnfinished(collection, index, seconds),
                timeout=timeout,
                show=show,
            )

    def _body(self, collection: str, name: str | None = None) -> dict[str, Any]:
        body = {"collectionName": collection, "dbName": self._connection.database}
        return body if name is None else {**body, "indexName": name}


def _description(data: Mapping[str, Any]) -> IndexDescription:
    named = {"index_type", "metric_type"}
    built = data.get("builtRows")
    return IndexDescription(
        name=data["indexName"],
        field=data["fieldName"],
        type=data.get("indexType") or "",
        metric=data.get("metricType") or "",
        params={
            str(item["key"]): str(item["value"]) for item in data.get("indexParams") or () if item["key"] not in named
        },
        state=data["indexState"],
        rows=int(data.get("totalRows") or 0),
        pending_rows=int(data.get("pendingRows") or 0),
        built_rows=None if built is None else int(built),
        reason=data.get("failReason") or None,
        raw=data,
    )
