"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.support.catalogs import migrated_file
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.ray_cluster import RayCluster, ray_cluster
from tests.support.s3 import S3Server, s3_server
from tests.support.servers import RunningServer, running_server

# The same examples each time: whether a commit passes must not be a matter of luck. `make test-all` tries others.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


LONG = ("runners", "server", "chaos", "attack", "imports", "cli", "bulk_writer", "engines", "sdk", "catalog")
"""The folders with tests of many seconds, which begin first: whoever has one left at the end keeps all waiting."""
RAY_FILES = ("tests/runners/test_conformance.py", "tests/runners/test_ray.py", "tests/server/test_ray.py")
"""They share a Ray cluster."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    file = item.nodeid.partition("::")[0]
    folder = Path(file).parts[1]
    if file in RAY_FILES:
        return -1
    return LONG.index(folder) if folder in LONG else len(LONG)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FileScheduling:
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """The tests of a file run in one process, which makes what they share once.

    Not by ``--dist loadgroup``: with pytest 9.2 it knows no groups (pytest-dev/pytest-xdist#1386), and every server
    of a module ran twice.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "ray" if file in RAY_FILES else file


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
def ray_nodes() -> Iterator[RayCluster]:
    """A Ray cluster of one node with two processors, for the tests in :data:`RAY_FILES`."""
    with ray_cluster(0, head_cpus=2) as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A catalog with nothing in it, once on each database that it may live in."""
    if request.param == "sqlite":
        return f"sqlite:///{migrated_file(tmp_path)}"
    url: str = request.getfixturevalue("postgres_url")
    return url
