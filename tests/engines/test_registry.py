"""Which engine keeps the table of a collection: by the name that the catalog records, in its cluster's store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock.domain.collections import Cluster, Collection, CollectionSettings, LoadState
from penstock.engines.lance import LanceEngine
from penstock.engines.registry import EngineRegistry
from penstock.errors import StorageError
from tests.support.arrow_engine import ArrowEngine
from tests.support.tables import new_table, plain

DOCS = Collection(
    id="0123456789abcdef",
    number=1,
    cluster_id="in01-local",
    database_id=1,
    database="sales",
    name="docs",
    schema=plain(),
    settings=CollectionSettings(),
    load_state=LoadState.NEVER,
    version=1,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    updated_at=datetime(2026, 1, 1, tzinfo=UTC),
    engine="lance",
)
CLUSTER = Cluster(id="in01-local", org_id="default", region="local", name="local")


@pytest.fixture
def engines(tmp_path: Path) -> EngineRegistry:
    own = LanceEngine(str(tmp_path / "own"))
    return EngineRegistry(
        {"lance": own.at, "arrow": lambda store: ArrowEngine(Path(store or tmp_path / "arrow"))}, default="lance"
    )


def test_the_name_and_the_store_choose_the_engine(engines: EngineRegistry, tmp_path: Path) -> None:
    lance = engines.for_collection(DOCS)
    arrow = engines.for_collection(replace(DOCS, engine="arrow"))
    elsewhere = engines.for_collection(replace(DOCS, store=str(tmp_path / "acme")))
    assert [engine.name for engine in (lance, arrow, elsewhere)] == ["lance", "arrow", "lance"]
    for engine in (lance, arrow, elsewhere):
        engine.check()
    tables = [new_table(engine).id for engine in (lance, arrow, elsewhere)]
    assert [engine.tables() for engine in (lance, arrow, elsewhere)] == [[table_id] for table_id in tables]


def test_an_engine_is_opened_once_for_each_store(engines: EngineRegistry, tmp_path: Path) -> None:
    assert engines.for_collection(DOCS) is engines.for_collection(DOCS) is engines.for_cluster(CLUSTER)
    acme = replace(CLUSTER, store=str(tmp_path / "acme"))
    assert engines.for_cluster(acme) is engines.for_collection(replace(DOCS, store=acme.store))
    assert engines.for_cluster(acme) is not engines.for_cluster(CLUSTER)


def test_only_some_engines_are_maintained(engines: EngineRegistry) -> None:
    assert engines.maintainable(DOCS) is engines.for_collection(DOCS)
    assert engines.maintainable(replace(DOCS, engine="arrow")) is None


def test_an_engine_that_this_server_does_not_have(engines: EngineRegistry) -> None:
    message = "sales.docs is kept by the engine 'milvus', which this server doesn't have; it has arrow, lance. Start"
    with pytest.raises(StorageError, match=message) as caught:
        engines.for_collection(replace(DOCS, engine="milvus"))
    assert caught.value.details == {"engine": "milvus", "collection": "docs"}
