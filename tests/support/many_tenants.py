"""A running server with tenants: each org has a cluster ``in01-<org>`` with a collection ``docs`` and keys."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from penstock.access.accounts import AccountService
from penstock.catalog import Catalog, open_catalog
from penstock.catalog.db.encryption import load_key
from penstock.domain.access import Grant, Role
from penstock.server.assembly import build_services
from tests.support.http import http_server, make_settings

__all__ = ["Tenants", "tenants"]


@dataclass
class Tenants:
    """``files`` is the import root. Callers are ``ann`` or ``ann:reader``: an org, and a role other than writer."""

    url: str
    client: httpx.Client
    catalog: Catalog
    files: Path
    secrets: dict[str, str] = field(default_factory=dict)

    def add(self, *orgs: str) -> None:
        """An org each, with its cluster, its collection and a key for each role."""
        for name in orgs:
            owner = self.catalog.orgs.ensure(name).id
            self.catalog.clusters.create(f"in01-{name}", "local", "", owner)
            for role in Role:
                grant = Grant(role=role, cluster_id=f"in01-{name}")
                key = AccountService(self.catalog).create_key(owner, f"{name}-{role}", [grant])
                self.secrets[name if role is Role.WRITER else f"{name}:{role}"] = key.secret
            assert self.v2(name, "collections/create", collectionName="docs", dimension=2).json()["code"] == 0

    def v2(self, who: str, path: str, **body: Any) -> httpx.Response:
        return self.client.post(f"/v2/vectordb/{path}", json=body, headers=self.headers(who))

    def v1(self, who: str, **body: Any) -> httpx.Response:
        place = {"clusterId": f"in01-{who.partition(':')[0]}", "collectionName": "docs"}
        return self.client.post("/v1/vector/collections/import", json={**place, **body}, headers=self.headers(who))

    def create(self, who: str, *files: str, **body: Any) -> httpx.Response:
        groups = [[file] for file in files]
        return self.v2(who, "jobs/import/create", collectionName="docs", files=groups, **body)

    def ended(self, who: str, job_id: str) -> Mapping[str, Any]:
        """What describe tells of a job that has ended."""
        while True:
            told: dict[str, Any] = self.v2(who, "jobs/import/describe", jobId=job_id).json()["data"]
            if told["state"] in ("Completed", "Failed"):
                return told
            time.sleep(0.02)

    def headers(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets.get(who, who)}"} if who else {}


@contextmanager
def tenants(folder: Path, catalog_url: str, *, started: bool = True, **flags: object) -> Iterator[Tenants]:
    """A server on ``catalog_url``; unless it is ``started``, it answers calls and runs no jobs."""
    data, files = folder / "data", folder / "files"
    for each in (data, files):
        each.mkdir(exist_ok=True)
    services = build_services(
        make_settings(data, catalog=catalog_url, import_root=[str(files)], auth="on", workers=1, **flags)
    )
    catalog = open_catalog(catalog_url, load_key(data / "secret.key"))
    try:
        if started:
            services.start()
        with http_server(services) as url, httpx.Client(base_url=url, timeout=60) as client:
            yield Tenants(url, client, catalog, files)
    finally:
        catalog.close()
        services.stop()
