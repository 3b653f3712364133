"""An index grows with its collection: few segments, all rows found, and no job that waits for a training."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from penstock.engines.lance.index import build, mapping, optimize
from penstock.engines.lance.index.segments import MAX_SEGMENTS
from tests.support.growing_collections import GrowingCollection
from tests.support.worlds import World, a_world, job_settings

DIM, ROWS = 64, 2_000


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


def growing_in(world: World) -> GrowingCollection:
    return GrowingCollection(world, dim=DIM, rows=ROWS)


def test_many_imports_leave_few_segments_and_little_garbage(world: World) -> None:
    growing = growing_in(world)
    for _ in range(12):
        growing.imported()
        assert growing.segments <= MAX_SEGMENTS
    growing.until_optimized()
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
    growing = growing_in(world)
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
    growing.until_optimized()
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
        growing = growing_in(world)
        growing.imported()
        growing.imported()
        growing.until_optimized()
        assert attempts == 3
        assert growing.segments == 1
        growing.expect_all_found()
    runner.close()


def test_a_training_that_fails_is_left_for_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take minutes, and what let it fail may stay so; the old index serves, and grows."""
    growing = growing_in(world)
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
