"""The data plane over HTTP, with a real catalog and engine behind it, and rows put in without the jobs between.

::

    with data_plane(tmp_path) as plane:
        plane.call("collections/create", collectionName="docs", dimension=2)
        plane.put("docs", [{"id": 1, "vector": [0.5, 1]}])
        rows = plane.call("entities/query", collectionName="docs")
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from pymilvus import MilvusClient

from penstock.catalog import Catalog, open_catalog
from penstock.catalog.db.encryption import load_key
from penstock.domain.ids import new_id
from penstock.engines.lance import LanceEngine
from penstock.engines.values import Table
from penstock.readers.base import plan_at_once
from penstock.readers.json.lines_reader import JSON_LINES
from penstock.validation import Conformer
from tests.support.grpc import grpc_port
from tests.support.http import http_server, make_services
from tests.support.reading import request_for

__all__ = ["DataPlane", "data_plane", "grpc_data_plane"]

CLUSTER = "in01-local"


class DataPlane:
    """A client of a server's data plane that can also put rows into its collections."""

    def __init__(self, client: httpx.Client, folder: Path, catalog: Catalog, engine: LanceEngine) -> None:
        self._client = client
        self._folder = folder
        self._catalog = catalog
        self._engine = engine
        self._numbers = itertools.count()

    @property
    def address(self) -> str:
        """The server's host and port."""
        return self._client.base_url.netloc.decode()

    def name(self, prefix: str = "c") -> str:
        """A name that nobody else has."""
        return f"{prefix}_{next(self._numbers)}"

    def post(self, action: str, body: Any = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The HTTP answer itself; ``body`` is JSON, or bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps({} if body is None else body)
        return self._client.post(f"/v2/vectordb/{action}", content=content, headers=dict(headers or {}))

    def reply(self, action: str, body: Any = None, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The whole answer of a route; application errors come with HTTP 200, too."""
        answer = self.post(action, body, headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        told: dict[str, Any] = answer.json()
        assert type(told["code"]) is int
        return told

    def call(self, action: str, headers: Mapping[str, str] | None = None, /, **body: Any) -> Any:
        """What a call that succeeds has under ``data``."""
        told = self.reply(action, body, headers)
        assert told["code"] == 0, told
        assert told["data"] is not None
        return told["data"]

    def error(self, action: str, headers: Mapping[str, str] | None = None, /, **body: Any) -> tuple[int, str]:
        """Code and message of a call that fails."""
        told = self.reply(action, body, headers)
        assert told["code"] != 0, told
        assert told.keys() == {"code", "message"}
        return told["code"], told["message"]

    def quick(self, dimension: int | None = 2, **more: Any) -> str:
        """The name of a new collection of the quick form."""
        name = self.name()
        self.call("collections/create", collectionName=name, dimension=dimension, **more)
        return name

    def collection(self, *fields: Mapping[str, Any], dynamic: bool = False, **more: Any) -> str:
        """The name of a new collection with an Int64 key ``id`` and these fields."""
        name = self.name()
        key = {"fieldName": "id", "dataType": "Int64", "isPrimary": True}
        schema = {"fields": [key, *fields], "enableDynamicField": dynamic}
        self.call("collections/create", collectionName=name, schema=schema, **more)
        return name

    def put(
        self,
        collection: str,
        rows: Iterable[Mapping[str, Any]],
        partition: str = "_default",
        database: str = "default",
    ) -> None:
        """Rows as a JSON Lines file has them, visible when this returns."""
        file = self._folder / f"{next(self._numbers)}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        home = self._catalog.databases.get(CLUSTER, database)
        found = self._catalog.collections.get(home, collection)
        numbers = [partition.number for partition in self._catalog.collections.partitions(found.id)]
        if not found.schema.partition_key:
            numbers = [self._catalog.collections.partition(found.id, partition).number]
        conformer = Conformer(found.schema, numbers, auto_id_start=1 if found.schema.auto_id else None)
        request = request_for([file], found.schema)
        (plan,) = plan_at_once(JSON_LINES.reader, request, 1 << 30)
        batches = (conformer.conform(each) for each in JSON_LINES.reader.read(request, plan.spec))
        job = new_id()
        staged = self._engine.stage(Table.of(found), job, batches)
        published = self._engine.publish(Table.of(found), job, 1, [staged])
        self._catalog.collections.raise_version(found.id, published.version)

    def index(self, collection: str) -> None:
        """Build the collection's indexes, as the background does."""
        found = self._catalog.collections.get(self._catalog.databases.get(CLUSTER, "default"), collection)
        version = self._engine.index(Table.of(found), self._catalog.collections.indexes(found.id))
        self._catalog.collections.raise_version(found.id, version)

    @contextmanager
    def maintained(self, collection: str) -> Iterator[None]:
        """While somebody holds the lease on the collection's table."""
        found = self._catalog.collections.get(self._catalog.databases.get(CLUSTER, "default"), collection)
        lease = self._catalog.maintenance.take(found.id, "test", 60_000)
        assert lease is not None
        yield
        self._catalog.maintenance.release(lease)


@contextmanager
def data_plane(folder: Path) -> Iterator[DataPlane]:
    """A server of HTTP on ``folder``."""
    with make_services(folder / "data") as services, http_server(services) as url, _plane(folder, url) as plane:
        yield plane


@contextmanager
def grpc_data_plane(folder: Path) -> Iterator[tuple[DataPlane, MilvusClient]]:
    """A server of HTTP and gRPC on ``folder``, and pymilvus's client of it."""
    with (
        make_services(folder / "data") as services,
        grpc_port(services) as address,
        _plane(folder, f"http://{address}") as plane,
    ):
        client = MilvusClient(f"http://{address}", timeout=30)
        try:
            yield plane, client
        finally:
            client.close()


@contextmanager
def _plane(folder: Path, url: str) -> Iterator[DataPlane]:
    # A handle of its own, as another server on the same folder would have.
    catalog = open_catalog(f"sqlite:///{folder / 'data' / 'catalog.db'}", load_key(folder / "data" / "secret.key"))
    try:
        with httpx.Client(base_url=url) as client:
            yield DataPlane(client, folder, catalog, LanceEngine(str(folder / "data" / "collections")))
    finally:
        catalog.close()
