"""A server with an import service in memory."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from penstock.server.services import Services
from tests.support.http import http_server, make_services
from tests.support.imports import MemoryImports
from tests.support.wire import Server


@pytest.fixture(scope="module", params=[0, 200], ids=["code-0", "code-200"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Services, httpx.Client]]:
    with (
        make_services(tmp_path_factory.mktemp("data"), v2_success_code=request.param) as services,
        http_server(services) as url,
        httpx.Client(base_url=url) as client,
    ):
        yield services, client


@pytest.fixture
def server(running: tuple[Services, httpx.Client]) -> Server:
    """A server without jobs, once for each success code of the v2 dialect."""
    services, client = running
    assert isinstance(services.imports, MemoryImports)
    services.imports.clear()
    return Server(services.imports, client, services.settings.v2_success_code)
