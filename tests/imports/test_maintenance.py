"""Tables are kept quick while jobs come: indexes with progress, small parts joined, old versions forgotten."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from structlog.testing import capture_logs

from penstock.collections.index_requests import CreateIndex
from penstock.domain.access import ANONYMOUS
from penstock.domain.collections import Collection
from penstock.domain.index import IndexSpec
from penstock.domain.jobs import JobState
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.values import MaintenanceNeeds, Table
from penstock.runners.local import LocalRunner
from tests.imports.test_recovery import crashed_before
from tests.support.catalogs import CLUSTER
from tests.support.worlds import World, a_world, job_settings

WIDE = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=1024),
    )
)


def write_rows(world: World, name: str, rows: int = 100, first: int = 0) -> str:
    lines = (json.dumps({"id": first + row, "vector": [row, 1, 2, 3]}) + "\n" for row in range(rows))
    (world.files / name).write_text("".join(lines))
    return name


def fragments(world: World, collection: Collection) -> int:
    folder = world.folder / "collections" / f"{collection.id}.lance"
    return len(lance.dataset(str(folder)).get_fragments())


def test_many_small_jobs_leave_few_parts(world: World) -> None:
    docs = world.collection()
    jobs = [world.create([write_rows(world, f"{job}.jsonl", first=100 * job)]) for job in range(16)]
    for job in jobs:
        assert world.ended(job).state is JobState.COMPLETED
    world.until(lambda: fragments(world, docs) < 10)
    assert world.rows(docs)["id"].to_pylist() == list(range(1600))


def test_old_versions_go_by_age(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(old_version_retention=0.5)) as world:
        docs = world.collection()
        for job in range(10):
            world.imported([write_rows(world, f"{job}.jsonl", first=100 * job)])
        world.until(lambda: fragments(world, docs) < 8)
        data = world.folder / "collections" / f"{docs.id}.lance" / "data"

        def only_what_is_shown() -> bool:
            world.scheduler.maintenance.request(docs.id)
            time.sleep(0.1)
            return len(list(data.iterdir())) == fragments(world, docs)

        world.until(only_what_is_shown)
        assert world.count(docs) == 1000


def test_maintenance_goes_on_after_the_catalog_failed(world: World) -> None:
    """A full or damaged catalog, here one without its table, must not end the background thread."""
    docs = world.collection()
    with capture_logs() as lines:
        with world.catalog.database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE maintenance RENAME TO away")
        world.scheduler.maintenance.wake()
        world.until(lambda: any(line["event"] == "catalog.unavailable" for line in lines))
        with world.catalog.database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE away RENAME TO maintenance")
    for job in range(16):
        world.imported([write_rows(world, f"{job}.jsonl", first=100 * job)])
    world.until(lambda: fragments(world, docs) < 10)


def test_maintenance_goes_on_after_an_error_of_one_table(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that Penstock doesn't know, as of a library, must end neither the thread nor another table's turn."""
    broken, docs = world.collection("broken"), world.collection()
    due = world.engine.due

    def due_unless_broken(table: Table, specs: Sequence[IndexSpec]) -> MaintenanceNeeds:
        if table.id == broken.id:
            raise ValueError("not a Lance manifest")
        return due(table, specs)

    monkeypatch.setattr(world.engine, "due", due_unless_broken)
    with capture_logs() as lines:
        world.scheduler.maintenance.request(broken.id)
        world.until(lambda: any(line["event"] == "maintenance.failed" for line in lines))
        world.until(lambda: not world.catalog.maintenance.is_locked(broken.id))
    for job in range(16):
        world.imported([write_rows(world, f"{job}.jsonl", first=100 * job)])
    world.until(lambda: fragments(world, docs) < 10)


def test_a_job_completes_whose_index_fails_for_an_unknown_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are visible: it must not be tried again for ever."""
    docs = world.collection()

    def fail(table: Table, specs: Sequence[IndexSpec]) -> MaintenanceNeeds:
        raise ValueError(f"not a Lance manifest: {table.id}, {len(specs)} indexes")

    monkeypatch.setattr(world.engine, "due", fail)
    job = world.imported([write_rows(world, "a.jsonl")])
    assert (job.state, [warning.code for warning in job.warnings]) == (JobState.COMPLETED, ["index_failed"])
    assert world.count(docs) == 100


def a_slow_index(world: World, docs: Collection) -> IndexSpec:
    request = CreateIndex(field_name="vector", index_type="HNSW", metric="L2", params={"M": 8})
    world.indexes.create(docs, request)
    return world.indexes.get(docs, "vector")


def test_the_progress_of_an_index_shows_on_its_job(world: World) -> None:
    docs = world.collection(schema=WIDE)
    spec = a_slow_index(world, docs)
    rows = 8_400
    values = np.random.default_rng(0).normal(size=(rows, 1024)).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 1024)
    pq.write_table(pa.table({"id": range(rows), "vector": column}), world.files / "a.parquet")
    job = world.create(["a.parquet"])
    seen: list[tuple[int, str]] = []
    while not (now := world.job(job.id)).state.is_final:
        seen.append((now.progress, now.stage))
        time.sleep(0.02)
    assert now.state is JobState.COMPLETED
    shares = [progress for progress, _ in seen]
    assert shares == sorted(shares)
    indexing = {progress for progress, stage in seen if stage == "indexing"}
    assert len(indexing) > 2
    assert all(90 <= progress <= 99 for progress in indexing)
    assert world.indexes.status(world.fresh(docs), spec.name).indexed_rows == rows


@pytest.mark.parametrize(
    ("step", "after"),
    [("publish_group", False), ("publish_group", True), ("raise_version", True)],
    ids=["before the publish", "after the publish", "after the catalog knows"],
)
def test_a_crash_around_the_commit_and_then_maintenance(
    tmp_path: Path, runner: LocalRunner, step: str, after: bool
) -> None:
    """The table is compacted and its history forgotten before the job is taken up again: by no rule that holds now,
    as neither happens while a job stands between intent and commit, and still nothing is doubled."""
    with a_world(tmp_path, runner) as world:
        docs = world.collection()
        for number in range(7):
            world.imported([write_rows(world, f"{number}.jsonl", first=100 * number)])
    with a_world(tmp_path, runner, started=False) as world:
        table = Table.of(world.fresh(docs))
        job = world.create([write_rows(world, "7.jsonl", first=700)])
        crashed_before(world, job, step, after=after)
        assert world.job(job.id).state is JobState.COMMITTING
        version = world.engine.compact(table)
        world.engine.expire_versions(replace(table, version=version), -60.0)
    with a_world(tmp_path, runner) as world:
        assert world.ended(job).state is JobState.COMPLETED
        assert world.rows(docs)["id"].to_pylist() == list(range(800))


def test_maintenance_waits_for_jobs_between_intent_and_commit(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, started=False) as world:
        docs = world.collection()
        job = world.create([write_rows(world, "a.jsonl")])
        crashed_before(world, job, "publish_group")
        maintenance = world.scheduler.maintenance
        lease = world.catalog.maintenance.take(docs.id, "test", 60_000)
        assert lease is not None
        assert not maintenance._maintain(lease)
        world.catalog.maintenance.done(lease)
    with a_world(tmp_path, runner) as world:
        assert world.ended(job).state is JobState.COMPLETED
        lease = world.catalog.maintenance.take(docs.id, "test", 60_000)
        assert lease is not None
        assert world.scheduler.maintenance._maintain(lease)


def test_a_job_that_waits_for_its_commit_outlives_maintenance(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(old_version_retention=0.0)) as world:
        docs = world.collection()
        waiting = world.create([write_rows(world, "waiting.jsonl", first=10_000)], auto_commit="false")
        world.until(lambda: world.job(waiting.id).state is JobState.UNCOMMITTED)
        for job in range(12):
            world.imported([write_rows(world, f"{job}.jsonl", first=100 * job)])
        world.until(lambda: fragments(world, docs) < 8)
        world.imports.commit(CLUSTER, waiting.id, ANONYMOUS)
        assert world.ended(waiting).state is JobState.COMPLETED
        assert world.rows(docs)["id"].to_pylist() == [*range(1200), *range(10_000, 10_100)]
