"""Imports into an engine that maintains its tables itself: the same steps, and nothing to maintain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

from penstock.catalog.db import tables
from penstock.collections.entities import EntityService
from penstock.collections.entity_requests import QueryRequest, VectorSearchRequest
from penstock.collections.index_requests import CreateIndex
from penstock.collections.indexes import IndexStatus
from penstock.collections.search_params import SearchParams
from penstock.collections.searches import SearchService
from penstock.domain.access import ANONYMOUS
from penstock.domain.collections import TTL, CollectionSettings
from penstock.domain.index import IndexSpec, Metric
from penstock.domain.jobs import JobState
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.lance import LanceEngine
from penstock.engines.registry import EngineRegistry
from penstock.errors import StorageError, Unsupported
from penstock.imports.cleanup import OrphanCleanup, delete_staged_files
from penstock.imports.context import ImportContext
from penstock.imports.requests import CreateImport
from penstock.imports.settings import JobSettings
from penstock.runners.local import LocalRunner
from penstock.sources.roots import ImportRoots
from tests.support.arrow_engine import ArrowEngine
from tests.support.catalogs import CLUSTER, SCHEMA
from tests.support.worlds import World, a_world, job_settings

ROWS = 1_000
SETTINGS = job_settings(split_bytes=10_000, orphan_age=0)
INDEX = IndexSpec(name="v", field_name="vector", metric=Metric.L2)


@pytest.fixture
def arrow(tmp_path: Path) -> ArrowEngine:
    engine = ArrowEngine(tmp_path / "arrow")
    engine.check()
    return engine


@pytest.fixture
def world(tmp_path: Path, runner: LocalRunner, arrow: ArrowEngine) -> Iterator[World]:
    lance = LanceEngine(str(tmp_path / "collections"))
    engines = EngineRegistry({"lance": lance.at, "arrow": lambda store: arrow}, default="arrow")
    with a_world(tmp_path, runner, SETTINGS, engines=engines) as world:
        yield world


def context(world: World, settings: JobSettings) -> ImportContext:
    return ImportContext(world.catalog, world.engines, world.runner, ImportRoots([str(world.files)]), settings)


def write_rows(world: World, rows: int = ROWS, first: int = 0, bad: bool = False) -> None:
    lines = [{"id": first + row, "vector": [first + row, 1, 2, 3]} for row in range(rows)]
    if bad:
        lines[-1]["vector"] = []
    (world.files / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_rows_are_staged_published_and_found(world: World, arrow: ArrowEngine) -> None:
    docs = world.collection()
    assert (docs.engine, arrow.tables()) == ("arrow", [docs.id])
    write_rows(world)
    job = world.imported(["a.jsonl"])
    assert (job.state, job.rows, job.warnings) == (JobState.COMPLETED, ROWS, ())
    assert len(world.catalog.jobs.splits(job.id)) > 1
    entities = EntityService(world.catalog, world.engines, world.partitions)
    assert entities.count(world.fresh(docs), QueryRequest(filter="id >= 990")) == 10
    found = entities.query(world.fresh(docs), QueryRequest(filter="id in [7, 3]", output_fields=["vector"]))
    assert found.table.to_pydict() == {"id": [3, 7], "vector": [[3, 1, 2, 3], [7, 1, 2, 3]]}
    queries = np.array([[500, 1, 2, 3]], np.float32)
    query = VectorSearchRequest(queries=queries, limit=3, params=SearchParams(metric="L2"))
    searches = SearchService(world.catalog, world.engines, world.partitions, entities)
    [hits] = searches.search(world.fresh(docs), query).hits
    assert hits.rows["id"].to_pylist() == [500, 499, 501]


def test_a_job_with_a_bad_row_leaves_nothing(world: World, arrow: ArrowEngine, tmp_path: Path) -> None:
    docs = world.collection()
    write_rows(world, bad=True)
    job = world.imported(["a.jsonl"])
    assert job.state is JobState.FAILED
    assert list((tmp_path / "arrow" / docs.id / "data").iterdir())
    delete_staged_files(context(world, replace(SETTINGS, staged_file_retention=0)))
    assert not list((tmp_path / "arrow" / docs.id / "data").iterdir())
    assert world.count(docs) == 0


def test_there_is_nothing_to_maintain(world: World) -> None:
    docs = world.collection()
    world.indexes.create(docs, CreateIndex(field_name="vector", index_name="v", metric="L2"))
    write_rows(world)
    assert world.imported(["a.jsonl"]).state is JobState.COMPLETED
    world.until(lambda: world.catalog.maintenance.acquire_due("test", 60_000) is None)
    assert world.indexes.status(world.fresh(docs), "v") == IndexStatus(
        spec=INDEX, rows=ROWS, pending_rows=0, is_building=False
    )
    assert OrphanCleanup(context(world, SETTINGS)).sweep(world.fresh(docs))
    assert world.count(docs) == ROWS


def test_a_partition_and_a_collection_can_be_dropped(world: World, arrow: ArrowEngine) -> None:
    docs = world.collection()
    write_rows(world)
    world.partitions.create(docs, "old")
    request = CreateImport(
        caller=ANONYMOUS, cluster_id=CLUSTER, collection="docs", groups=[["a.jsonl"]], partition="old"
    )
    assert world.ended(world.imports.create(request)).state is JobState.COMPLETED
    assert world.count(docs) == ROWS
    world.partitions.drop(docs, "old")
    assert world.count(docs) == 0
    world.collections.drop(CLUSTER, "default", docs.name)
    world.until(lambda: not world.catalog.collections.dropped())
    assert arrow.tables() == []


def test_what_the_engine_cannot_do_is_refused_at_once(world: World, arrow: ArrowEngine) -> None:
    expiring = CollectionSettings(properties={TTL: "60"})
    with pytest.raises(Unsupported, match=r"arrow of this cluster keeps rows forever: create .* without coll"):
        world.collections.create(CLUSTER, "default", "docs", SCHEMA, expiring)
    assert arrow.tables() == []
    key = Field(name="id", type=DataType.INT64, primary=True)
    binary = Field(name="vector", type=DataType.BINARY_VECTOR, dim=16)
    docs = world.collection(schema=CollectionSchema(fields=(key, binary)))
    with pytest.raises(Unsupported, match="of the collection docs can't search by HAMMING; it searches by COSINE"):
        world.indexes.create(docs, CreateIndex(field_name="vector", metric="HAMMING"))
    assert world.indexes.list(docs) == []


def test_a_job_into_a_collection_of_an_unknown_engine_says_so(world: World) -> None:
    docs = world.collection()
    with world.catalog.database.write() as connection:
        connection.execute(update(tables.collection).where(tables.collection.c.id == docs.id).values(engine="milvus"))
    write_rows(world)
    job = world.imported(["a.jsonl"])
    assert job.state is JobState.FAILED
    assert job.reason is not None
    delete_staged_files(context(world, replace(SETTINGS, staged_file_retention=0)))  # fails for none of the others
    assert "docs is kept by the engine 'milvus', which this server doesn't have; it has arrow, lance" in job.reason
    with pytest.raises(StorageError, match="Start a version of Penstock that has this engine"):
        world.collections.count(CLUSTER, "default", docs.name)
