"""One export from its lease to its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from penstock.catalog import Catalog
from penstock.collections.collections import CollectionService
from penstock.collections.partitions import PartitionService
from penstock.domain.collections import Collection, CollectionSettings
from penstock.domain.exports import ExportJob, ExportRequest, ExportState
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.domain.times import parse_time
from penstock.engines.lance import LanceEngine
from penstock.engines.registry import EngineRegistry
from penstock.engines.values import Table
from penstock.exports.context import ExportContext
from penstock.exports.export_run import ExportRun
from penstock.sources.roots import ImportRoots
from tests.support.catalogs import CLUSTER, new_export, opened_catalog
from tests.support.doubles import InlineRunner
from tests.support.engines import only
from tests.support.tables import fixed_lists, import_rows, plain, vectors
from tests.support.worlds import job_settings


@dataclass
class Exporting:
    """Collections, and exports of them below the folder ``root``."""

    root: Path
    catalog: Catalog
    engine: LanceEngine
    engines: EngineRegistry

    def create(self, schema: CollectionSchema, **properties: str) -> Collection:
        collections = CollectionService(self.catalog, self.engines, lambda: None)
        return collections.create(CLUSTER, "default", "docs", schema, CollectionSettings(properties=properties))

    def insert(self, docs: Collection, request: ExportRequest) -> ExportJob:
        return self.catalog.exports.insert(replace(new_export(docs), request=request), {}, 16)

    def run(self, export: ExportJob) -> ExportJob:
        leased = self.catalog.exports.claim("worker", 60_000)
        assert leased is not None
        roots = ImportRoots([str(self.root)])
        context = ExportContext(self.catalog, self.engines, lambda _: InlineRunner(), roots, job_settings())
        ExportRun(context, leased, threading.Event()).go()
        return self.catalog.exports.get(CLUSTER, export.id)


@contextmanager
def exporting(folder: Path) -> Iterator[Exporting]:
    engine = LanceEngine(str(folder / "store"))
    engine.check()
    (folder / "root").mkdir()
    with opened_catalog(folder) as catalog:
        yield Exporting(folder / "root", catalog, engine, only(engine))


def test_a_partition_that_was_dropped_meanwhile_is_not_left_out(tmp_path: Path) -> None:
    with exporting(tmp_path) as world:
        docs = world.create(plain())
        partitions = PartitionService(world.catalog, world.engines)
        for name in ("old", "new"):
            partitions.create(docs, name)
        export = world.insert(docs, ExportRequest(target="out", partitions=("old", "new")))
        partitions.drop(docs, "old")
        ended = world.run(export)
    assert ended.state is ExportState.FAILED
    assert "old" in (ended.reason or "")


def test_times_in_a_filter_are_in_the_time_zone_of_the_collection(tmp_path: Path) -> None:
    schema = CollectionSchema(
        fields=(
            Field(name="id", type=DataType.INT64, primary=True),
            Field(name="v", type=DataType.FLOAT_VECTOR, dim=2),
            Field(name="ts", type=DataType.TIMESTAMPTZ),
        )
    )
    times = [parse_time(f"2024-12-31T{hour}:00:00Z") for hour in (14, 15, 16)]
    batch = pa.record_batch(
        [pa.array(range(3)), fixed_lists(vectors(3, 2)), pa.array(times), pa.array([0] * 3)],
        names=[*schema.names, "__part"],
    )
    with exporting(tmp_path) as world:
        docs = world.create(schema, timezone="Asia/Tokyo")
        import_rows(world.engine, Table.of(docs), batch)
        ended = world.run(world.insert(docs, ExportRequest(target="out", filter="ts >= ISO '2025-01-01T00:00:00'")))
        assert ended.state is ExportState.COMPLETED, ended.reason
        [file] = world.root.glob("out/*.parquet")
        assert pq.read_table(file)["id"].to_pylist() == [1, 2]
