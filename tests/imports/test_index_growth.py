"""An index grows with its collection: few segments, all rows found, and no job that waits for a training."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.collections.index_requests import CreateIndex
from penstock.collections.indexes import IndexState
from penstock.domain.collections import Collection
from penstock.domain.index import Metric
from penstock.domain.jobs import JobState
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.lance.index import build, mapping, optimize
from penstock.engines.lance.index.segments import MAX_SEGMENTS
from penstock.engines.values import SearchRequest, Table
from tests.support.worlds import World, a_world, job_settings

DIM, ROWS = 64, 2_000
SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=DIM),
    )
)


class _Handle:
    """A task in a thread, with its last report."""

    def __init__(self) -> None:
        self.future: Future[Any] = Future()
        self._progress = (0, 0)

    def progress(self) -> tuple[int, int]:
        return self._progress

    def report(self, done_bytes: int, done_rows: int) -> None:
        self._progress = (done_bytes, done_rows)

    def check(self) -> None:
        """Never cancelled."""

    def cancel(self, grace: float | None = None) -> None:
        """No test cancels a task."""


class ThreadRunner:
    """Runs tasks in threads of this process, so that small indexes can stand for large ones."""

    slots = slots_per_task = 2

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(self.slots)

    def submit(self, function: Callable[[Any, Any], Any], argument: Any) -> _Handle:
        handle = _Handle()
        running = self._pool.submit(function, argument, handle)
        running.add_done_callback(lambda done: _pass_on(done, handle.future))
        return handle

    def close(self) -> None:
        self._pool.shutdown()


def _pass_on(done: Future[Any], future: Future[Any]) -> None:
    error = done.exception()
    if error is None:
        future.set_result(done.result())
    else:
        future.set_exception(error)


@pytest.fixture
def small_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "LEAST_VECTOR_BYTES", 1)
    monkeypatch.setattr(mapping, "PARTITION_ROWS", 256)
    monkeypatch.setattr(build, "MAX_UNINDEXED_ROWS", 0)
    monkeypatch.setattr(optimize, "_POLL_SECONDS", 0.02)


@pytest.fixture
def world(tmp_path: Path, small_indexes: None) -> Iterator[World]:
    runner = ThreadRunner()
    with a_world(tmp_path, runner, job_settings(old_version_min_age=0.0)) as made:
        yield made
    runner.close()


class Growing:
    """A collection that grows by imports of clustered rows."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.docs: Collection = world.collection(schema=SCHEMA)
        request = CreateIndex(field_name="vector", index_type="AUTOINDEX", metric="L2", params={})
        world.indexes.create(self.docs, request)
        self.rows: npt.NDArray[np.float32] = np.empty((0, DIM), np.float32)

    def imported(self) -> None:
        rng = np.random.default_rng(len(self.rows))
        centres = np.random.default_rng(0).normal(size=(100, DIM)) * 2
        new = (centres[rng.integers(0, 100, ROWS)] + rng.normal(size=(ROWS, DIM))).astype(np.float32)
        ids = range(len(self.rows), len(self.rows) + ROWS)
        column = pa.FixedSizeListArray.from_arrays(pa.array(new.reshape(-1)), DIM)
        name = f"{len(self.rows)}.parquet"
        pq.write_table(pa.table({"id": ids, "vector": column}), self.world.files / name)
        assert self.world.imported([name]).state is JobState.COMPLETED
        self.rows = np.concatenate([self.rows, new])

    @property
    def table(self) -> Table:
        return Table.of(self.world.fresh(self.docs))

    @property
    def segments(self) -> int:
        [index] = lance.dataset(str(self.home)).describe_indices()
        return len(index.segments)

    @property
    def home(self) -> Path:
        return self.world.folder / "collections" / f"{self.docs.id}.lance"

    @property
    def is_training(self) -> bool:
        return self.world.scheduler.maintenance._optimizing.is_alive()

    def until_quiet(self) -> None:
        specs = self.world.indexes.list(self.docs)
        self.world.until(lambda: not self.world.engine.due(self.table, specs).optimization and not self.is_training)

    def expect_all_found(self) -> None:
        """By the catalog's version of the table, as a server searches."""
        status = self.world.indexes.status(self.world.fresh(self.docs), "vector")
        assert (status.rows, status.pending_rows, status.state) == (len(self.rows), 0, IndexState.FINISHED)
        places = np.random.default_rng(1).choice(len(self.rows), 30)
        request = SearchRequest(field_name="vector", queries=self.rows[places], metric=Metric.L2, limit=10)
        shares = []
        for place, hits in zip(places, self.world.engine.search(self.table, request), strict=True):
            nearest = np.argsort(((self.rows - self.rows[place]) ** 2).sum(axis=1))[:10]
            shares.append(len(set(nearest.tolist()) & set(hits.rows["id"].to_pylist())) / 10)
        assert np.mean(shares) >= 0.95


def test_many_imports_leave_few_segments_and_little_garbage(world: World) -> None:
    growing = Growing(world)
    for _ in range(12):
        growing.imported()
        assert growing.segments <= MAX_SEGMENTS
    growing.until_quiet()
    assert growing.segments <= MAX_SEGMENTS
    growing.expect_all_found()

    def is_tidy() -> bool:
        """Old versions hold at most half of what is live, indexes included."""
        try:
            size = sum(path.stat().st_size for path in growing.home.rglob("*") if path.is_file())
        except FileNotFoundError:  # deleted meanwhile
            return False
        return size < 1.5 * 1.5 * growing.rows.nbytes

    world.until(is_tidy)
    growing.expect_all_found()


def test_no_job_waits_for_a_training(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    growing = Growing(world)
    growing.imported()
    begun, ends = threading.Event(), threading.Event()
    built = optimize._build_segment

    def slowly(*args: Any) -> Any:
        begun.set()
        assert ends.wait(60)
        return built(*args)

    monkeypatch.setattr(optimize, "_build_segment", slowly)
    growing.imported()
    assert begun.wait(60)
    for _ in range(3):
        growing.imported()
        assert growing.is_training
        assert growing.segments <= MAX_SEGMENTS
    # The jobs have waited until the old index had their rows, and the catalog knows that version.
    assert world.engine.built_rows(growing.table, world.indexes.get(growing.docs, "vector")) == len(growing.rows)
    growing.expect_all_found()
    ends.set()
    growing.until_quiet()
    growing.expect_all_found()
    assert growing.segments <= 2


def test_a_training_that_fails_is_tried_again_after_growing_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_indexes: None
) -> None:
    runner = ThreadRunner()
    built, attempts = optimize._build_segment, 0

    def fail_twice(*args: Any) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts <= 2:
            raise OSError("the store does not respond")
        return built(*args)

    monkeypatch.setattr(optimize, "_build_segment", fail_twice)
    with a_world(tmp_path, runner, job_settings(maintenance_retry_pause=0.01)) as world:
        growing = Growing(world)
        growing.imported()
        growing.imported()
        growing.until_quiet()
        assert attempts == 3
        assert growing.segments == 1
        growing.expect_all_found()
    runner.close()


def test_a_training_that_fails_is_left_for_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take minutes, and what let it fail may stay so; the old index serves, and grows."""
    growing = Growing(world)
    attempts = 0

    def fail(*args: Any) -> Any:
        nonlocal attempts
        attempts += 1
        raise OSError("it needs too much memory")

    monkeypatch.setattr(optimize, "_build_segment", fail)
    for _ in range(4):
        growing.imported()
    world.until(lambda: attempts > 0 and not growing.is_training)
    growing.imported()
    growing.expect_all_found()
    assert attempts == 1
