"""The use cases over a real catalog and engine, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from penstock.catalog import Catalog
from penstock.collections.aliases import AliasService
from penstock.collections.alterations import AlterationService
from penstock.collections.collections import CollectionService
from penstock.collections.databases import DatabaseService
from penstock.collections.entities import EntityService
from penstock.collections.indexes import IndexService
from penstock.collections.partitions import PartitionService
from penstock.collections.search_iterators import SearchIteratorService
from penstock.collections.searches import SearchService
from penstock.domain.collections import Collection, CollectionSettings
from penstock.domain.schema import CollectionSchema
from penstock.engines.lance import LanceEngine
from penstock.engines.values import Table
from tests.support.catalogs import CLUSTER, opened_catalog
from tests.support.engines import only
from tests.support.tables import import_rows, plain, plain_batch, vectors


@dataclass
class UseCases:
    """``woken`` counts calls of the background work's wake, ``built`` the collections whose indexes are due,
    ``maintained`` those whose tables are."""

    catalog: Catalog
    engine: LanceEngine
    woken: list[None] = field(default_factory=list)
    built: list[str] = field(default_factory=list)
    maintained: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engines = engines = only(self.engine)
        self.databases = DatabaseService(self.catalog)
        self.collections = CollectionService(self.catalog, engines, lambda: self.woken.append(None))
        self.aliases = AliasService(self.catalog, engines)
        self.alterations = AlterationService(self.catalog, engines, self.maintained.append)
        self.partitions = PartitionService(self.catalog, engines)
        self.indexes = IndexService(self.catalog, engines, self.built.append)
        self.entities = EntityService(self.catalog, engines, self.partitions)
        self.searches = SearchService(self.catalog, engines, self.partitions, self.entities)
        self.search_iterators = SearchIteratorService(engines, self.entities, self.searches)

    def create(self, name: str = "docs", schema: CollectionSchema | None = None) -> Collection:
        return self.collections.create(CLUSTER, "default", name, schema or plain(), CollectionSettings())

    def put(self, collection: Collection, rows: int, partition: int = 0, first_id: int = 0) -> Collection:
        """The collection with ``rows`` more rows of :func:`tests.support.tables.plain`."""
        batch = plain_batch(vectors(rows), first_id=first_id, partitions=partition)
        _, published = import_rows(self.engine, Table.of(collection), batch)
        self.catalog.collections.raise_version(collection.id, published.version)
        return self.collections.get(CLUSTER, "default", collection.name)


@pytest.fixture
def cases(tmp_path: Path) -> Iterator[UseCases]:
    with opened_catalog(tmp_path) as catalog:
        engine = LanceEngine(str(tmp_path / "collections"))
        engine.check()
        yield UseCases(catalog, engine)
