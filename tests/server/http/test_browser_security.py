"""Web pages of others can't use a reader's browser against a server that asks nobody who calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from penstock.access.accounts import AccountService
from penstock.access.authentication import Authenticator
from penstock.catalog.access.clusters import DEFAULT_ORG
from penstock.domain.access import Grant, Role
from penstock.server.services import Services
from tests.support.catalogs import opened_catalog
from tests.support.http import http_server, make_services
from tests.support.wire import V2


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with make_services(tmp_path_factory.mktemp("data")) as services:
        yield services


@pytest.fixture(scope="module")
def url(services: Services) -> Iterator[str]:
    with http_server(services) as url:
        yield url


def call(url: str, **headers: str) -> httpx.Response:
    return httpx.post(f"{url}{V2}/list", content="{}", headers=headers)


def test_the_servers_own_pages_and_programs_may_call(url: str) -> None:
    own = url.removeprefix("http://")
    assert call(url).json()["code"] == 0
    assert call(url, origin=url).json()["code"] == 0
    for host in ("localhost:19530", "penstock", "db.localhost", "[::1]:19530", "10.0.0.7", own):
        assert call(url, host=host).json()["code"] == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://evil.example:19530", "host": "evil.example:19530"},
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "controller.api.local.zillizcloud.com.evil.example"},
        {"host": "[::"},
        {"host": ""},
    ],
)
def test_pages_of_others_may_not(url: str, headers: dict[str, str]) -> None:
    reply = call(url, **headers)
    assert (reply.status_code, reply.json()["code"]) == (403, 65535)
    assert "penstock keys create" in reply.json()["message"]


def test_no_page_of_others_may_read(url: str) -> None:
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    assert not [name for name in httpx.options(f"{url}{V2}/list", headers=asked).headers if "access-control" in name]


def test_with_keys_any_host_name_will_do(tmp_path: Path, services: Services) -> None:
    with opened_catalog(tmp_path) as catalog:
        with_keys = replace(
            services,
            authentication=Authenticator(catalog.accounts, optional=True, fresh=0),
            registry=CollectorRegistry(),
        )
        with http_server(with_keys) as url:
            assert call(url, host="penstock.example.org").status_code == 403
            key = AccountService(catalog).create_key(DEFAULT_ORG, "ops", [Grant(role=Role.READER)]).secret
            assert call(url, host="penstock.example.org").json()["code"] == 1800
            assert call(url, host="penstock.example.org", authorization=key).status_code == 200
