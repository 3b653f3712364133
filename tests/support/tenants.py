"""A real server with two tenants, and callers of all kinds.

| who | may |
|---|---|
| ``ops`` | everything in the org of the server's own cluster, :data:`LOCAL` |
| ``acme`` | write in :data:`ACME`, a cluster of another org |
| ``owner`` | everything in that other org, which has a cluster in another region, too, :data:`ABROAD` |
| ``clerk`` | a user: read the database ``sales`` of :data:`ACME` |
| ``nobody`` | nothing: a key that nobody made |
| ``nonsense`` | nothing: no key at all |

There are collections ``docs``: in ``default`` of both clusters, and in ``sales`` of :data:`ACME`. The server runs
no jobs: those that are created stay pending.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from penstock.access.accounts import AccountService
from penstock.catalog import Catalog, open_catalog
from penstock.catalog.db.encryption import load_key
from penstock.domain.access import Grant, Role
from penstock.server.assembly import build_services
from tests.support.catalogs import migrated_file
from tests.support.http import http_server, make_settings

__all__ = ["ABROAD", "ACME", "LOCAL", "Callers", "two_tenants"]

LOCAL, ACME, ABROAD = "in01-local", "in01-acme", "in01-abroad"


@dataclass
class Callers:
    """A client, what each caller sends, and the server's catalog."""

    client: httpx.Client
    secrets: dict[str, str]
    catalog: Catalog

    def post(self, who: str, path: str, **body: Any) -> tuple[int, int, Any]:
        """HTTP status, code, and data or message."""
        reply = self.client.post(path, content=json.dumps(body), headers=self.headers(who))
        return _told(reply)

    def get(self, who: str, path: str, **query: str) -> tuple[int, int, Any]:
        return _told(self.client.get(path, params=query, headers=self.headers(who)))

    def headers(self, who: str) -> dict[str, str]:
        """``who`` may be somebody of the table, "" for nobody at all, or ``user:password``."""
        return {"Authorization": f"Bearer {self.secrets.get(who, who)}"} if who else {}


def _told(reply: httpx.Response) -> tuple[int, int, Any]:
    told = reply.json()
    return reply.status_code, told["code"], told.get("data", told.get("message"))


@contextmanager
def two_tenants(folder: Path, catalog_url: str | None = None, **flags: object) -> Iterator[Callers]:
    """``flags`` are settings of the server."""
    (folder / "files").mkdir()
    (folder / "data").mkdir()
    if catalog_url is None:
        migrated_file(folder / "data")
    else:
        flags["catalog"] = catalog_url
    services = build_services(make_settings(folder / "data", import_root=[str(folder / "files")], **flags))
    url = catalog_url or f"sqlite:///{folder}/data/catalog.db"
    catalog = open_catalog(url, load_key(folder / "data" / "secret.key"))
    secrets = _populate(catalog)
    try:
        with http_server(services) as url, httpx.Client(base_url=url) as client:
            callers = Callers(client, secrets, catalog)
            for who, database in (("ops", "default"), ("acme", "default"), ("acme", "sales")):
                create = "/v2/vectordb/collections/create"
                assert callers.post(who, create, collectionName="docs", dimension=2, dbName=database)[1] == 0
            yield callers
    finally:
        catalog.close()
        services.stop()


def _populate(catalog: Catalog) -> dict[str, str]:
    accounts = AccountService(catalog)
    acme = catalog.orgs.ensure("acme").id
    catalog.clusters.create(ACME, "local", "", acme)
    catalog.clusters.create(ABROAD, "far", "", acme)
    catalog.databases.create(ACME, "sales", {})
    accounts.create_user(acme, "clerk", "correct horse", [Grant(role=Role.READER, cluster_id=ACME, database="sales")])
    return {
        "ops": accounts.create_key("org-default", "ops", [Grant(role=Role.ADMIN)]).secret,
        "acme": accounts.create_key(acme, "acme", [Grant(role=Role.WRITER, cluster_id=ACME)]).secret,
        "owner": accounts.create_key(acme, "owner", [Grant(role=Role.ADMIN)]).secret,
        "clerk": "clerk:correct horse",
        "nobody": "psk_" + "x" * 43,
        "nonsense": "nonsense",
    }
