"""Faults that meet one job again and again: a commit that fails, a split that kills its worker or hangs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from penstock.domain.access import ANONYMOUS
from penstock.domain.jobs import JobState, SplitState
from penstock.engines.values import Publication, Published
from penstock.errors import PenstockError, StorageFull, StorageUnavailable, TaskCancelled
from penstock.imports.tasks import init_worker, stage_split
from penstock.runners.base import TaskContext, TaskHandle
from penstock.runners.local import LocalRunner
from tests.support.catalogs import CLUSTER
from tests.support.deadly import stage_or_die
from tests.support.worlds import World, a_world, job_settings

ROWS = 200
QUICK = job_settings(max_attempts=2, retry_pause=0.02, split_bytes=2_000)


def write_rows(folder: Path, name: str, first: int = 0, rows: int = ROWS) -> None:
    lines = (json.dumps({"id": first + row, "vector": [row, 1, 2, 3]}) + "\n" for row in range(rows))
    (folder / name).write_text("".join(lines))


# The commit


@contextmanager
def failing_commits(world: World, job_id: int, *errors: Exception) -> Iterator[list[Exception]]:
    """The next publishes of a job fail so; gives those to come."""
    left = list(errors)
    engine: Any = world.engine
    publish = world.engine.publish_group

    def fail(table: Any, jobs: Sequence[Publication]) -> Mapping[int, Published | PenstockError]:
        if left and job_id in [job.job_id for job in jobs]:
            raise left.pop(0)
        return publish(table, jobs)

    engine.publish_group = fail
    try:
        yield left
    finally:
        del engine.publish_group


def test_a_commit_that_meets_a_passing_fault_is_made_again_under_the_same_claim(
    tmp_path: Path, runner: LocalRunner
) -> None:
    with a_world(tmp_path, runner, QUICK) as world:
        docs = world.collection()
        write_rows(world.files, "a.jsonl")
        job = world.create(["a.jsonl"], auto_commit="false")
        world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
        with failing_commits(world, job.id, StorageUnavailable("no answer")):
            committed = world.imports.commit(job.cluster_id, job.id, ANONYMOUS)
            done = world.ended(job)
        assert (done.state, done.epoch) == (JobState.COMPLETED, committed.epoch + 1)
        assert world.count(docs) == ROWS


@pytest.mark.parametrize("error", [StorageFull("no space left"), StorageUnavailable("no answer")])
def test_a_commit_that_does_not_get_through_waits_and_keeps_nobody_from_working(
    tmp_path: Path, runner: LocalRunner, error: Exception
) -> None:
    settings = job_settings(max_attempts=2, retry_pause=0.02, max_running_jobs=1)
    with a_world(tmp_path, runner, settings) as world:
        docs = world.collection()
        for name, first in (("a.jsonl", 0), ("b.jsonl", ROWS)):
            write_rows(world.files, name, first)
        job = world.create(["a.jsonl"], auto_commit="false")
        world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
        with failing_commits(world, job.id, error, error) as left:
            world.imports.commit(job.cluster_id, job.id, ANONYMOUS)
            world.until(lambda: world.scheduler.running == 0 and len(left) < 2)
            assert world.job(job.id).state is JobState.COMMITTING
            assert world.imported(["b.jsonl"]).state is JobState.COMPLETED
            assert world.job(job.id).state is JobState.COMMITTING
            assert world.job(job.id).reason == f"trying again after: {error}"
        with world.catalog.database.write() as connection:
            connection.exec_driver_sql("UPDATE job SET run_after = 0")  # the pause is over
        assert world.ended(job).state is JobState.COMPLETED
        assert world.rows(docs)["id"].to_pylist() == list(range(2 * ROWS))


# A split that kills its worker


@dataclass
class DeadlyRunner:
    """A runner whose worker dies of each split of a file that is called so."""

    inner: LocalRunner

    @property
    def slots(self) -> int:
        return self.inner.slots

    @property
    def slots_per_task(self) -> int:
        return self.inner.slots

    def submit(self, function: Callable[[Any, TaskContext], Any], argument: Any) -> TaskHandle[Any]:
        return self.inner.submit(stage_or_die if function is stage_split else function, argument)

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def deadly() -> Iterator[DeadlyRunner]:
    local = LocalRunner(2, init_worker)
    local.warm()
    yield DeadlyRunner(local)
    local.close()


def test_a_split_that_kills_its_worker_fails_its_own_job_and_costs_no_neighbour_an_attempt(
    tmp_path: Path, deadly: DeadlyRunner
) -> None:
    with a_world(tmp_path, deadly, QUICK) as world:
        docs = world.collection()
        write_rows(world.files, "deadly.jsonl", ROWS, rows=3)
        write_rows(world.files, "a.jsonl")
        guilty, innocent = world.create(["deadly.jsonl"]), world.create(["a.jsonl"])
        done, failed = world.ended(innocent), world.ended(guilty)
        assert failed.state is JobState.FAILED
        for words in ("a worker process was killed", "tried 2 times", "Retry the job"):
            assert words in (failed.reason or ""), failed.reason
        assert done.state is JobState.COMPLETED
        splits = world.catalog.jobs.splits(innocent.id)
        assert len(splits) > 2
        assert [(split.state, split.attempts) for split in splits] == [(SplitState.STAGED, 1)] * len(splits)
        assert world.rows(docs)["id"].to_pylist() == list(range(ROWS))


# A split that hangs


@dataclass
class Hanging:
    """The handle of a task that gets nowhere until it is told to stop."""

    future: Future[Any] = field(default_factory=Future)

    def progress(self) -> tuple[int, int]:
        return (0, 0)

    def cancel(self, grace: float | None = None) -> None:
        if not self.future.done():
            self.future.set_exception(TaskCancelled("the task was cancelled"))


@dataclass
class HangingRunner(DeadlyRunner):
    """A runner whose splits wait for a store that doesn't answer; all else goes on."""

    begun: list[Hanging] = field(default_factory=list)

    def submit(self, function: Callable[[Any, TaskContext], Any], argument: Any) -> TaskHandle[Any]:
        if function is not stage_split:
            return self.inner.submit(function, argument)
        self.begun.append(Hanging())
        return self.begun[-1]


def test_an_abort_is_heard_while_nothing_moves(tmp_path: Path, runner: LocalRunner) -> None:
    hanging = HangingRunner(runner)
    with a_world(tmp_path, hanging, QUICK) as world:
        world.collection()
        write_rows(world.files, "a.jsonl")
        job = world.create(["a.jsonl"])
        world.until(lambda: bool(hanging.begun))
        world.imports.abort(CLUSTER, job.id, ANONYMOUS)
        world.until(lambda: world.scheduler.running == 0)
        assert world.job(job.id).state is JobState.ABORTED
        assert all(each.future.done() for each in hanging.begun)
