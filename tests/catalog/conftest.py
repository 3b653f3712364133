from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from penstock.catalog import Catalog, open_catalog
from tests.support.catalogs import opened_catalog
from tests.support.migrated_databases import MigratedDatabases

FreshCatalog = Callable[[], AbstractContextManager[Catalog]]


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    with opened_catalog(catalog_url) as opened:
        yield opened


@pytest.fixture
def servers(catalog_url: str) -> Iterator[list[Catalog]]:
    """Several openings of one catalog, each with connections of its own, as processes have."""
    key = Fernet.generate_key()
    with ExitStack() as stack:
        yield [stack.enter_context(closing(open_catalog(catalog_url, key))) for _ in range(3)]


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh_catalog(request: pytest.FixtureRequest) -> FreshCatalog:
    """Opens an empty catalog each time, for tests that need many."""

    @contextmanager
    def in_a_file() -> Iterator[Catalog]:
        with tempfile.TemporaryDirectory() as folder, opened_catalog(Path(folder)) as catalog:
            yield catalog

    if request.param == "sqlite":
        return in_a_file
    databases: MigratedDatabases = request.getfixturevalue("migrated_databases")

    @contextmanager
    def in_a_database() -> Iterator[Catalog]:
        with databases.database() as url, opened_catalog(url) as catalog:
            yield catalog

    return in_a_database
