"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import httpx
import pytest
from httpx._transports import default as httpx_transports
from hypothesis import settings

import tests.support.forked_server  # noqa: F401 - chooses what the fork server of all tests loads
from tests.support.catalogs import migrated_file
from tests.support.compiled_statements import share_compiled_statements
from tests.support.migrated_databases import MigratedDatabases
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.ray_cluster import RayCluster, ray_cluster
from tests.support.s3 import S3Server, s3_server
from tests.support.scheduling import (  # noqa: F401 - hooks
    pytest_collection,
    pytest_collection_modifyitems,
    pytest_runtest_logreport,
    pytest_terminal_summary,
    pytest_xdist_make_scheduler,
)
from tests.support.servers import RunningServer, running_server

# The same examples each time: whether a commit passes must not be a matter of luck. `make test-all` tries others.
# A slow machine is no fault: other tests measure time. `make test-all` has Hypothesis's own 100 examples, too.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("repeatable")

# Each client of httpx, and each call without one, would load all public certificates: 60 ms of processor time.
vars(httpx_transports)["create_ssl_context"] = cache(httpx.create_ssl_context)
share_compiled_statements()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server for the whole session; take a bucket of your own with ``s3.make_bucket()``."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A `penstock serve` for the whole session; take collections and file names of your own."""
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server for the whole run."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty database of that server."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_databases(postgres: PostgresServer) -> Iterator[MigratedDatabases]:
    """Databases of that server with all tables of a catalog, and nothing in them."""
    databases = MigratedDatabases(postgres)
    yield databases
    databases.close()


@pytest.fixture
def migrated_url(migrated_databases: MigratedDatabases) -> Iterator[str]:
    """One of them."""
    with migrated_databases.database() as url:
        yield url


@pytest.fixture(scope="session")
def ray_nodes() -> Iterator[RayCluster]:
    """A Ray cluster of one node with two processors, for the tests in ``tests.support.scheduling.RAY_FILES``."""
    with ray_cluster(0, head_cpus=2) as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A catalog with nothing in it, once on each database that it may live in."""
    if request.param == "sqlite":
        return f"sqlite:///{migrated_file(tmp_path)}"
    url: str = request.getfixturevalue("migrated_url")
    return url
