"""One export from its lease to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.catalog import Catalog
from penstock.catalog.exports import ExportRepository
from penstock.collections.collections import CollectionService
from penstock.collections.partitions import PartitionService
from penstock.domain.collections import Collection, CollectionSettings
from penstock.domain.exports import ExportJob, ExportRequest, ExportState
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.domain.times import parse_time
from penstock.engines.lance import LanceEngine
from penstock.engines.registry import EngineRegistry
from penstock.engines.values import Table
from penstock.errors import CatalogUnavailable
from penstock.exports.context import ExportContext
from penstock.exports.export_run import ExportRun, delete_files
from penstock.exports.tasks import write_part
from penstock.sources.roots import ImportRoots
from tests.support.catalogs import CLUSTER, new_export, opened_catalog
from tests.support.doubles import InlineRunner
from tests.support.engines import only
from tests.support.tables import fixed_lists, import_rows, plain, plain_batch, vectors
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

    def context(self, runner: InlineRunner | None = None) -> ExportContext:
        roots, settings = ImportRoots([str(self.root)]), job_settings(max_attempts=2, retry_pause=0.02)
        return ExportContext(self.catalog, self.engines, lambda _: runner or InlineRunner(), roots, settings)

    def run(self, export: ExportJob, runner: InlineRunner | None = None) -> ExportJob:
        leased = self.catalog.exports.claim("worker", 60_000)
        assert leased is not None
        ExportRun(self.context(runner), leased, threading.Event()).go()
        return self.catalog.exports.get(CLUSTER, export.id)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.root.rglob("*") if path.is_file())


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


class AbortingRunner(InlineRunner):
    """A runner during whose first part the export is aborted."""

    def __init__(self, abort: Callable[[], object]) -> None:
        self._abort = abort

    def submit(self, function: Callable[[Any, Any], Any], argument: Any) -> Any:
        handle = super().submit(function, argument)
        if function is write_part:
            self._abort()
        return handle


def test_files_of_an_export_that_is_aborted_while_it_runs_are_deleted_under_a_lease(tmp_path: Path) -> None:
    """Else one that hangs could delete what the next export writes into the same target."""
    with exporting(tmp_path) as world:
        docs = world.create(plain())
        import_rows(world.engine, Table.of(docs), plain_batch(vectors(5)))
        export = world.insert(docs, ExportRequest(target="out"))
        exports = world.catalog.exports

        def abort() -> None:
            exports.abort(exports.get(CLUSTER, export.id), "aborted by user", has_files=True)
            assert exports.claim_deletion("another", 60_000) is None, "a worker of it still writes"

        ended = world.run(export, AbortingRunner(abort))
        assert (ended.state, ended.has_files) == (ExportState.ABORTED, True)
        assert world.files() == ["part-00000-000.parquet"]
        leased = exports.claim_deletion("another", 60_000)
        assert leased is not None
        delete_files(world.context(), leased, threading.Event())
        assert world.files() == []
        assert not exports.get(CLUSTER, export.id).has_files


class UnreadableSecrets:
    """The exports of a catalog that goes away before the credentials of one are read."""

    def __init__(self, exports: ExportRepository) -> None:
        self._exports = exports

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exports, name)

    def secret(self, export_id: int) -> dict[str, str]:
        raise CatalogUnavailable(f"the catalog is away, with the secret of {export_id}")


def test_files_are_still_to_be_deleted_after_the_catalog_was_away(tmp_path: Path) -> None:
    with exporting(tmp_path) as world:
        exports = world.catalog.exports
        export = world.insert(world.create(plain()), ExportRequest(target="out"))
        exports.abort(export, "aborted by user", has_files=True)
        leased = exports.claim_deletion("worker", 60_000)
        assert leased is not None
        (world.root / "out").mkdir()
        (world.root / "out" / "part-00000-000.parquet").touch()
        context = world.context()
        away = replace(world.catalog, exports=cast(ExportRepository, UnreadableSecrets(exports)))
        with pytest.raises(CatalogUnavailable):
            delete_files(replace(context, catalog=away), leased, threading.Event())
        assert exports.get(CLUSTER, export.id).has_files
        delete_files(context, leased, threading.Event())
        assert world.files() == []
        assert not exports.get(CLUSTER, export.id).has_files
