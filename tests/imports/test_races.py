"""Calls that meet: of commit, abort, retry and drop at the same moment, one wins and everybody sees the same end."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from penstock.domain.access import ANONYMOUS
from penstock.domain.jobs import ImportJob, JobState
from penstock.errors import CollectionNotFound, JobStateConflict, LeaseLost
from penstock.runners.local import LocalRunner
from tests.support.catalogs import CLUSTER, input_file, new_split
from tests.support.worlds import World, a_world

TIMES = 60


def at_once(*calls: Callable[[], object]) -> list[bool]:
    """Make calls at the same moment; whether each was let through (the others were refused for the job's state)."""
    barrier = threading.Barrier(len(calls))

    def one(call: Callable[[], object]) -> bool:
        barrier.wait()
        try:
            call()
        except (JobStateConflict, LeaseLost):
            return False
        return True

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(one, calls))


def claimed(world: World, **options: str) -> ImportJob:
    """A job at work, with everything staged."""
    created = world.create(["a.jsonl"], **options)
    job = world.catalog.leases.claim("worker", 60_000)
    while job is not None and job.id != created.id:
        job = world.catalog.leases.claim("worker", 60_000)  # one that was committed before waits for a worker, too
    assert job is not None
    job = world.catalog.leases.move(job, JobState.PLANNING)
    return world.catalog.leases.save_plan(job, [input_file()], [new_split()])


def waiting(world: World) -> ImportJob:
    return world.catalog.leases.move(claimed(world, auto_commit="false"), JobState.UNCOMMITTED)


@pytest.fixture
def idle(tmp_path: Path, runner: LocalRunner) -> Iterator[World]:
    """A world in which nobody works on jobs but the test."""
    with a_world(tmp_path, runner, started=False) as world:
        world.collection()
        yield world


def until_uncommitted(world: World, job: ImportJob) -> None:
    world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)


def counters_are_right(world: World) -> bool:
    with world.catalog.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT state, count(*) FROM job GROUP BY state").all()
    counted = {state: number for state, number in world.catalog.jobs.count_by_state(CLUSTER).items() if number}
    return counted == {JobState(state): number for state, number in rows}


def test_commit_or_abort_wins_never_both(idle: World) -> None:
    for _ in range(TIMES):
        job = waiting(idle)
        committed, aborted = at_once(
            partial(idle.imports.commit, CLUSTER, job.id, ANONYMOUS),
            partial(idle.imports.abort, CLUSTER, job.id, ANONYMOUS),
        )
        assert committed != aborted
        assert idle.job(job.id).state is (JobState.COMMITTING if committed else JobState.ABORTED)
    assert counters_are_right(idle)


def test_an_abort_meets_the_intent_of_an_auto_commit_job(idle: World) -> None:
    for _ in range(TIMES):
        job = claimed(idle)
        intended, aborted = at_once(
            partial(idle.catalog.leases.move, job, JobState.COMMITTING, intent_version=1),
            partial(idle.imports.abort, CLUSTER, job.id, ANONYMOUS),
        )
        assert intended != aborted
        assert idle.job(job.id).state is (JobState.COMMITTING if intended else JobState.ABORTED)
    assert counters_are_right(idle)


def test_two_commits_and_two_aborts_are_each_one(idle: World) -> None:
    for _ in range(TIMES):
        one, other = waiting(idle), waiting(idle)
        assert at_once(*[partial(idle.imports.commit, CLUSTER, one.id, ANONYMOUS)] * 3) == [True] * 3
        assert at_once(*[partial(idle.imports.abort, CLUSTER, other.id, ANONYMOUS)] * 3) == [True] * 3
        assert idle.job(one.id).epoch == one.epoch + 1
        assert idle.job(other.id).epoch == other.epoch + 1
    assert counters_are_right(idle)


def test_one_of_two_retries_wins(idle: World) -> None:
    (idle.files / "a.jsonl").write_text("")
    for _ in range(TIMES):
        job = idle.catalog.leases.move(claimed(idle), JobState.FAILED, reason="bad")
        won = at_once(*[partial(idle.retry, job)] * 3)
        assert sum(won) == 1
        assert idle.job(job.id).state is JobState.PENDING
        idle.imports.abort(CLUSTER, job.id, ANONYMOUS)
    assert counters_are_right(idle)


def test_a_retry_races_with_the_cleanup(idle: World) -> None:
    """Either the retry finds the staged parts and they stay, or they are gone and it knows."""
    for _ in range(TIMES):
        job = claimed(idle)
        note = {"rows": 1, "size": 1, "note": {"files": {}}}
        idle.catalog.leases.save_split(job, 0, rows=[1], staged=note, warnings=[])
        job = idle.catalog.leases.move(job, JobState.FAILED, reason="bad")
        taken: list[object] = []

        def tidy(id: int = job.id, taken: list[object] = taken) -> None:
            taken += idle.catalog.staged_files.take(id)

        at_once(partial(idle.retry, job), tidy)
        (split,) = idle.catalog.jobs.splits(job.id)
        assert (split.staged is None) == bool(taken)
        idle.imports.abort(CLUSTER, job.id, ANONYMOUS)


def test_jobs_end_as_they_were_told_while_they_run(tmp_path: Path, runner: LocalRunner) -> None:
    """Real jobs, aborted at any moment: rows are visible if and only if the abort came too late."""
    chance = random.Random(4)
    with a_world(tmp_path, runner) as world:
        docs = world.collection()
        (world.files / "a.jsonl").write_text("".join(f'{{"id": {n}, "vector": [1, 2, 3, 4]}}\n' for n in range(10)))
        completed = 0
        for _ in range(25):
            job = world.create(["a.jsonl"])
            threading.Event().wait(chance.uniform(0, 0.25))
            (aborted,) = at_once(partial(world.imports.abort, CLUSTER, job.id, ANONYMOUS))
            ended = world.ended(job)
            assert ended.state is (JobState.ABORTED if aborted else JobState.COMPLETED)
            completed += not aborted
            assert world.count(docs) == 10 * completed
        world.until(lambda: counters_are_right(world))


def test_dropping_the_collection_meets_create_and_commit(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner) as world:
        (world.files / "a.jsonl").write_text('{"id": 1, "vector": [1, 2, 3, 4]}\n')
        for _ in range(8):
            world.collection()
            job = world.create(["a.jsonl"], auto_commit="false")
            until_uncommitted(world, job)

            def drop() -> None:
                world.collections.drop(CLUSTER, "default", "docs")

            def create() -> None:
                try:
                    world.create(["a.jsonl"])
                except CollectionNotFound:
                    raise JobStateConflict("too late") from None

            at_once(drop, partial(world.imports.commit, CLUSTER, job.id, ANONYMOUS), create)
            ended = world.ended(job)
            assert ended.state in (JobState.COMPLETED, JobState.FAILED)
            if ended.state is JobState.FAILED:
                assert ended.reason == "collection docs dropped"
        world.until(lambda: counters_are_right(world))
