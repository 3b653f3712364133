"""Many small jobs of one collection: they run together, share commits, and each writes little to the catalog."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from penstock.domain.access import ANONYMOUS
from penstock.domain.jobs import ImportJob, JobState, SplitState
from penstock.errors import TableDamaged
from penstock.imports.leased_job import LeasedJob
from penstock.imports.progress import PLANNED
from penstock.runners.local import LocalRunner
from tests.support.catalogs import CLUSTER
from tests.support.doubles import InlineRunner
from tests.support.worlds import World, a_world, job_settings

JOBS = 40


def write_row(world: World, number: int) -> str:
    row = {"id": number, "vector": [number, 1, 2, 3]}
    (world.files / f"{number}.jsonl").write_text(json.dumps(row) + "\n")
    return f"{number}.jsonl"


def test_jobs_that_wait_together_are_published_by_few_commits(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, started=False) as world:
        docs = world.collection()
        jobs = [world.create([write_row(world, number)]) for number in range(JOBS)]
        bad = world.create(["missing.jsonl"])
        world.scheduler.start()
        ended = [world.ended(job) for job in jobs]
        assert {job.state for job in ended} == {JobState.COMPLETED}
        assert world.ended(bad).state is JobState.FAILED
        assert world.rows(docs)["id"].to_pylist() == list(range(JOBS))
        versions = {job.published_version for job in ended}
        assert len(versions) < JOBS / 2
        # Each can still be reverted alone.
        reverted = world.revert(ended[7])
        assert (reverted.state, world.count(docs)) == (JobState.REVERTED, JOBS - 1)
        assert 7 not in world.rows(docs)["id"].to_pylist()


def test_a_large_job_among_them_waits_for_its_turn(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, started=False) as world:
        docs = world.collection()
        rows = (json.dumps({"id": number, "vector": [0.1] * 4, "text": "x" * 1000}) for number in range(5_000))
        (world.files / "large.jsonl").write_text("\n".join(rows))
        small = [world.create([write_row(world, 10_000 + number)]) for number in range(3)]
        large = world.create(["large.jsonl"])
        world.scheduler.start()
        assert {world.ended(job).state for job in [*small, large]} == {JobState.COMPLETED}
        assert world.count(docs) == 5_003
        # Its first lease was released when the size of its file was known.
        assert world.job(large.id).epoch > world.job(small[0].id).epoch


def test_where_jobs_run_one_at_a_time_none_runs_along(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(max_running_jobs=1), started=False) as world:
        world.collection()
        jobs = [world.create([write_row(world, number)]) for number in range(3)]
        world.scheduler.start()
        versions = [world.ended(job).published_version for job in jobs]
        assert None not in versions
        assert versions == sorted(set(versions), key=lambda version: version or 0)


@contextmanager
def counted(world: World) -> Iterator[list[str]]:
    """What is done in the catalog within: ``write``, ``read``, and ``statement`` for each in one of them."""
    engine, done = world.catalog.database.engine, list[str]()

    def begun(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("penstock_write"):
            done.append("read")
        elif options["penstock_durable"]:  # without progress: how often that is saved depends on the time
            done.append("write")

    def executed(*arguments: Any) -> None:
        statement: str = arguments[2]
        if not statement.startswith(("BEGIN", "PRAGMA")):
            done.append("statement")

    event.listen(engine, "begin", begun)
    event.listen(engine, "before_cursor_execute", executed)
    try:
        yield done
    finally:
        event.remove(engine, "begin", begun)
        event.remove(engine, "before_cursor_execute", executed)


def test_a_job_of_one_row_writes_to_the_catalog_five_times(tmp_path: Path) -> None:
    """Its claim, begin, plan, split with intent, and publication; as much again would halve the jobs a second."""
    with a_world(tmp_path, InlineRunner(), started=False) as world:
        world.collection()
        world.run_next(world.create([write_row(world, 0)]))
        job = world.create([write_row(world, 1)])
        with counted(world) as done:
            ended = world.run_next(job)
        assert ended.state is JobState.COMPLETED
        assert done.count("write") == 5
        assert done.count("read") <= 12
        assert done.count("statement") <= 44


def test_a_job_that_waits_for_a_worker_writes_nothing(tmp_path: Path) -> None:
    """Only its lease is checked, once a second: jobs of a large group wait for several ticks each."""
    with a_world(tmp_path, InlineRunner(), started=False) as world:
        world.collection()
        world.create([write_row(world, 0)])
        job = world.catalog.leases.claim("test", 60_000)
        assert job is not None
        leased = LeasedJob(world.context, job, threading.Event())
        leased.move(JobState.PLANNING, stage="planning", progress=PLANNED // 2)
        with counted(world) as done:
            for _ in range(5):
                leased.save_planning()
        assert done == ["read", "statement"]


@contextmanager
def before_the_intent(world: World, act: Callable[[], object]) -> Iterator[None]:
    """The last check before an intent is replaced by ``act``."""
    engine: Any = world.engine
    engine.refuse_damaged = lambda table: act()
    try:
        yield
    finally:
        del engine.refuse_damaged


def test_what_a_small_job_has_staged_is_kept_if_it_fails_before_its_intent(tmp_path: Path) -> None:
    """It is saved with the intent otherwise."""
    with a_world(tmp_path, InlineRunner(), started=False) as world:
        docs = world.collection()
        job = world.create([write_row(world, 0)])

        def refuse() -> None:
            raise TableDamaged("a file is missing", table=docs.id)

        with before_the_intent(world, refuse):
            assert world.run_next(job).state is JobState.FAILED
        (split,) = world.catalog.jobs.splits(job.id)
        assert (split.state, split.attempts, split.rows) == (SplitState.STAGED, 1, 1)
        world.retry(job)
        assert world.run_next(job).state is JobState.COMPLETED
        (split,) = world.catalog.jobs.splits(job.id)
        assert (split.attempts, world.count(docs)) == (1, 1)


def test_what_a_small_job_has_staged_is_deleted_if_it_is_aborted_before_its_intent(tmp_path: Path) -> None:
    with a_world(tmp_path, InlineRunner(), started=False) as world:
        docs = world.collection()
        job = world.create([write_row(world, 0)])
        data = tmp_path / "collections" / f"{docs.id}.lance" / "data"

        def abort() -> None:
            assert len(list(data.iterdir())) == 1
            world.imports.abort(CLUSTER, job.id, ANONYMOUS)

        with before_the_intent(world, abort):
            assert world.run_next(job).state is JobState.ABORTED
        assert list(data.iterdir()) == []


def test_a_process_that_dies_between_staging_and_intent_leaves_a_split_to_repeat(tmp_path: Path) -> None:
    class Crash(BaseException):
        """Nothing of the executor's own handling runs after it."""

    def crash() -> None:
        raise Crash

    with a_world(tmp_path, InlineRunner(), started=False) as world:
        docs = world.collection()
        job = world.create([write_row(world, 0)])
        with before_the_intent(world, crash), pytest.raises(Crash):
            world.run_next(job)
        assert world.job(job.id).state is JobState.IMPORTING
    with a_world(tmp_path, InlineRunner(), started=False) as world:
        (split,) = world.catalog.jobs.splits(job.id)
        assert (split.state, split.attempts) == (SplitState.PENDING, 0)
        assert world.run_next(job).state is JobState.COMPLETED
        assert world.rows(docs)["id"].to_pylist() == [0]


def test_jobs_that_wait_together_need_fewer_statements_each(tmp_path: Path) -> None:
    """They are claimed and begin together, and what they write at the same time is one statement for all."""
    with a_world(tmp_path, InlineRunner(), started=False) as world:
        world.collection()
        world.run_next(world.create([write_row(world, 0)]))
        jobs = [world.create([write_row(world, number)]) for number in range(1, 33)]
        with counted(world) as done:
            world.scheduler.start()
            world.until(lambda: world.scheduler.running > 0)
            world.until(lambda: world.scheduler.running == 0)
            world.scheduler.stop()
        assert {world.job(job.id).state for job in jobs} == {JobState.COMPLETED}
        assert done.count("write") < 5 * len(jobs) / 2
        assert done.count("statement") < 40 * len(jobs)


def test_a_create_call_writes_to_the_catalog_once(tmp_path: Path) -> None:
    """What it looks up is read by the first one, also while jobs are created and run."""
    with a_world(tmp_path, InlineRunner(), started=False) as world:
        world.collection()
        world.create([write_row(world, 0)])
        name = write_row(world, 1)
        with counted(world) as done:
            job: ImportJob = world.create([name])
        assert job.state is JobState.PENDING
        assert done.count("write") == 1
        assert done.count("read") == 0
        assert done.count("statement") <= 6
