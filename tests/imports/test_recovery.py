"""Jobs outlive what happens to the process that runs them: pauses, crashes at each step, lost workers, drops."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.domain.access import ANONYMOUS
from penstock.domain.jobs import ImportJob, JobState, SplitState
from penstock.engines.values import Staged, Table
from penstock.errors import JobStateConflict, SourceUnavailable
from penstock.imports.context import ImportContext
from penstock.imports.executor import Executor
from penstock.imports.maintenance import MaintenanceWorker
from penstock.imports.tasks import StageTask, init_worker
from penstock.runners.base import TaskHandle
from penstock.runners.fair_share import FairShareRunner
from penstock.runners.local import LocalRunner
from penstock.sources.roots import ImportRoots
from tests.support.catalogs import CLUSTER
from tests.support.doubles import HangingTask, InlineRunner
from tests.support.workers import workers_of
from tests.support.worlds import LIMIT, World, a_world, job_settings

ROWS = 4_000
SMALL_SPLITS = job_settings(split_bytes=20_000)


def write_rows(folder: Path, rows: int = ROWS) -> None:
    lines = (json.dumps({"id": number, "vector": [number, 1, 2, 3]}) + "\n" for number in range(rows))
    (folder / "a.jsonl").write_text("".join(lines))


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


def staged_splits(world: World, job: ImportJob) -> list[Staged]:
    return [
        Staged(rows=split.staged["rows"], size=split.staged["size"], note=split.staged["note"])
        for split in world.catalog.jobs.splits(job.id)
        if split.state is SplitState.STAGED
    ]


def every_row_once(world: World, job: ImportJob) -> bool:
    found = world.catalog.collections.by_id(job.collection_id)
    assert found is not None
    return bool(world.rows(found)["id"].to_pylist() == list(range(ROWS)))


def test_a_stopped_server_leaves_the_job_where_it_is_and_the_next_goes_on(
    tmp_path: Path, runner: LocalRunner
) -> None:
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        world.collection()
        write_rows(world.files)
        job = world.create(["a.jsonl"])
        wait_until(lambda: len(staged_splits(world, job)) > 1)
    with a_world(tmp_path, runner, SMALL_SPLITS, started=False) as world:
        paused = world.job(job.id)
        assert paused.state is JobState.IMPORTING
        assert 0 < len(staged_splits(world, job)) < len(world.catalog.jobs.splits(job.id))
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        before = {split.ordinal: split.attempts for split in world.catalog.jobs.splits(job.id) if split.staged}
        done = world.ended(job)
        assert (done.state, done.rows) == (JobState.COMPLETED, ROWS)
        after = {split.ordinal: split.attempts for split in world.catalog.jobs.splits(job.id)}
        assert all(after[ordinal] == attempts for ordinal, attempts in before.items()), "finished splits ran again"
        assert every_row_once(world, job)


class Crash(BaseException):
    """Stands for the end of the process: nothing of the executor's own handling runs after it."""


def crashed_before(world: World, job: ImportJob, name: str, *, after: bool = False) -> None:
    """Run a job until it is about to call (or has just called) one engine or catalog operation."""
    context = ImportContext(
        world.catalog, world.engines, world.runner, ImportRoots([str(world.files)]), world.settings
    )
    claimed = world.catalog.leases.claim("crashing", 60_000)
    assert claimed is not None
    assert claimed.id == job.id
    target: Any = world.engine if hasattr(world.engine, name) else world.catalog.collections
    original = getattr(target, name)

    def crash(*arguments: Any, **named: Any) -> None:
        if after:
            original(*arguments, **named)
        raise Crash

    setattr(target, name, crash)
    try:
        with pytest.raises(Crash):
            maintenance = MaintenanceWorker(
                context.catalog, context.engines, FairShareRunner(context.runner), context.observer, context.settings
            )
            Executor(context, maintenance).run(claimed, threading.Event())
    finally:
        delattr(target, name)


@pytest.mark.parametrize(
    ("step", "after"),
    [("publish_group", False), ("publish_group", True), ("raise_version", False), ("raise_version", True)],
    ids=["before the publish", "after the publish", "before the catalog knows", "after the catalog knows"],
)
def test_a_crash_around_the_commit_loses_nothing_and_doubles_nothing(
    tmp_path: Path, runner: LocalRunner, step: str, after: bool
) -> None:
    with a_world(tmp_path, runner, started=False) as world:
        docs = world.collection()
        write_rows(world.files)
        job = world.create(["a.jsonl"])
        crashed_before(world, job, step, after=after)
        assert world.job(job.id).state is JobState.COMMITTING
        # Meanwhile another job of the same collection commits: the first must still be found where it was.
        if after:
            world.engine.publish(Table.of(world.fresh(docs)), 1, 1, [])
    with a_world(tmp_path, runner) as world:
        done = world.ended(job)
        assert (done.state, done.rows) == (JobState.COMPLETED, ROWS)
        assert every_row_once(world, job)


def test_a_killed_worker_costs_an_attempt_and_not_the_job(tmp_path: Path) -> None:
    runner = LocalRunner(2, init_worker)
    victim = workers_of(runner)[0]
    try:
        with a_world(tmp_path, runner, SMALL_SPLITS) as world:
            world.collection()
            write_rows(world.files)
            job = world.create(["a.jsonl"])
            wait_until(lambda: len(staged_splits(world, job)) > 0)
            victim.kill()
            done = world.ended(job)
            assert (done.state, done.rows) == (JobState.COMPLETED, ROWS)
            assert every_row_once(world, job)
            assert runner.restarts == 1
    finally:
        runner.close()


def test_a_dropped_collection_ends_its_jobs_and_its_files_go(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        docs = world.collection()
        write_rows(world.files)
        job = world.create(["a.jsonl"])
        wait_until(lambda: len(staged_splits(world, job)) > 0)
        world.collections.drop(CLUSTER, "default", "docs")
        assert world.job(job.id).state is JobState.FAILED
        assert world.job(job.id).reason == "collection docs dropped"
        wait_until(lambda: not (tmp_path / "collections" / f"{docs.id}.lance").exists())
        assert world.collection().id != docs.id


def test_staged_files_of_a_failed_job_are_removed_when_nobody_may_retry_it(
    tmp_path: Path, runner: LocalRunner
) -> None:
    with a_world(tmp_path, runner, replace(SMALL_SPLITS, staged_file_retention=0)) as world:
        docs = world.collection()
        write_rows(world.files)
        with (world.files / "a.jsonl").open("a") as file:
            file.write('{"id": "x"}\n')
        job = world.imported(["a.jsonl"])
        assert job.state is JobState.FAILED
        assert f"row {ROWS}," in (job.reason or "")
        data = tmp_path / "collections" / f"{docs.id}.lance" / "data"
        wait_until(lambda: not data.exists() or not list(data.iterdir()))


def test_a_job_waits_for_its_commit_and_publishes_once(world: World) -> None:
    docs = world.collection()
    write_rows(world.files)
    job = world.create(["a.jsonl"], auto_commit="false")
    wait_until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
    assert world.job(job.id).progress == 99
    assert world.count(docs) == 0
    world.imports.commit(CLUSTER, job.id, ANONYMOUS)
    world.imports.commit(CLUSTER, job.id, ANONYMOUS)
    assert world.ended(job).state is JobState.COMPLETED
    assert world.count(docs) == ROWS
    with pytest.raises(JobStateConflict, match="abort not allowed"):
        world.imports.abort(CLUSTER, job.id, ANONYMOUS)


class SlowStart(InlineRunner):
    """The first attempt of the first split lasts until ``first`` ends; the other splits end at once."""

    slots = 8

    def __init__(self) -> None:
        self.first = HangingTask()
        self.began: list[float] = []
        """When the attempts of the first split began."""
        self.has_failed = threading.Event()
        """Set once another split has failed."""

    def submit(self, function: Callable[[Any, Any], Any], argument: Any) -> TaskHandle[Any]:
        if isinstance(argument, StageTask) and argument.split.ordinal == 0:
            self.began.append(time.monotonic())
            if len(self.began) == 1:
                return self.first
        handle = super().submit(function, argument)
        if isinstance(argument, StageTask) and handle.future.exception() is not None:
            self.has_failed.set()
        return handle


@contextmanager
def last_row_is_bad(folder: Path, **settings: Any) -> Iterator[tuple[World, SlowStart, ImportJob]]:
    """A job of four splits, the last of which is to fail for its last row, while the first one is still read."""
    runner = SlowStart()
    with a_world(folder, runner, replace(SMALL_SPLITS, **settings), started=False) as world:
        world.collection()
        write_rows(world.files, 2_000)
        with (world.files / "a.jsonl").open("a") as file:
            file.write('{"id": 2000, "vector": [1]}\n')
        yield world, runner, world.create(["a.jsonl"])


def test_a_failed_job_waits_for_earlier_splits_until_the_server_stops(tmp_path: Path) -> None:
    """An earlier one may fail for an earlier row; then that is the job's reason."""
    stop = threading.Event()
    with last_row_is_bad(tmp_path) as (world, runner, job), ThreadPoolExecutor(1) as threads:
        running = threads.submit(world.run_next, job, stop)
        try:
            assert runner.has_failed.wait(LIMIT)
            stop.set()
            assert running.result(10).state is JobState.IMPORTING
        finally:
            runner.first.cancel()
        again = world.run_next(job)
        assert (again.state, len(runner.began)) == (JobState.FAILED, 2)
        assert "row 2000" in str(again.reason)


def test_a_failed_job_waits_for_earlier_splits_until_it_is_aborted(tmp_path: Path) -> None:
    with last_row_is_bad(tmp_path) as (world, runner, job), ThreadPoolExecutor(1) as threads:
        running = threads.submit(world.run_next, job)
        try:
            assert runner.has_failed.wait(LIMIT)
            world.imports.abort(CLUSTER, job.id, ANONYMOUS)
            assert running.result(10).state is JobState.ABORTED
        finally:
            runner.first.cancel()


def test_an_earlier_split_of_a_failed_job_pauses_before_it_is_tried_again(tmp_path: Path) -> None:
    with last_row_is_bad(tmp_path, retry_pause=0.3) as (world, runner, job), ThreadPoolExecutor(1) as threads:
        running = threads.submit(world.run_next, job)
        assert runner.has_failed.wait(LIMIT)
        time.sleep(0.1)  # the job has halted its later splits
        failed = time.monotonic()
        runner.first.future.set_exception(SourceUnavailable("the store is away"))
        assert running.result(LIMIT).state is JobState.FAILED
        assert len(runner.began) == 2
        assert runner.began[1] - failed >= 0.3
        assert "row 2000" in str(world.job(job.id).reason)


def test_an_abort_ends_a_running_job_and_may_be_repeated(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        docs = world.collection()
        write_rows(world.files)
        job = world.create(["a.jsonl"])
        wait_until(lambda: len(staged_splits(world, job)) > 0)
        for _ in range(2):
            assert world.imports.abort(CLUSTER, job.id, ANONYMOUS).state is JobState.ABORTED
        ended = world.job(job.id)
        assert (ended.reason, ended.state) == ("aborted by user", JobState.ABORTED)
        assert ended.finished_at is not None
        wait_until(lambda: world.scheduler.running == 0)
        assert world.count(docs) == 0


def test_progress_never_falls(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        world.collection()
        write_rows(world.files, 40_000)
        job = world.create(["a.jsonl"])
        seen: list[tuple[int, int]] = []
        while not (now := world.job(job.id)).state.is_final:
            seen.append((now.progress, now.rows))
            time.sleep(0.005)
        assert seen == sorted(seen)
        assert len({progress for progress, _ in seen}) > 3
