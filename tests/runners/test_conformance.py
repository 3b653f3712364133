"""What every runner does alike, each with real workers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from penstock.errors import DataError, MemoryExceeded, TaskCancelled, WorkerLost
from penstock.runners.base import Runner
from tests.runners.tasks import (
    Build,
    Hoard,
    allocate,
    double,
    hoard,
    kill_self,
    refuse,
    report_until_told,
    stumble,
    wait_for_file,
)

LIMIT = 60


def test_a_task_returns_its_result(runner: Runner) -> None:
    assert runner.submit(double, 21).future.result(LIMIT) == 42
    assert runner.slots == runner.slots_per_task == 2


def test_an_error_of_a_task_arrives_with_its_facts(runner: Runner) -> None:
    with pytest.raises(DataError) as caught:
        runner.submit(refuse, 7).future.result(LIMIT)
    assert (caught.value.file, caught.value.row, caught.value.field) == ("a.csv", 7, "vector")


def test_an_unexpected_error_arrives_as_it_is(runner: Runner) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug"):
        runner.submit(stumble, None).future.result(LIMIT)


def test_progress_is_seen_while_a_task_runs_and_it_stops_when_told(runner: Runner) -> None:
    handle = runner.submit(report_until_told, 100_000)
    while handle.progress() == (0, 0):
        time.sleep(0.01)
    handle.cancel()
    with pytest.raises(TaskCancelled):
        handle.future.result(LIMIT)
    assert handle.progress() > (0, 0)


def test_a_task_that_does_not_stop_within_the_grace_given_is_ended(runner: Runner, tmp_path: Path) -> None:
    """A shorter one than the runner's own."""
    handle = runner.submit(wait_for_file, tmp_path / "never")
    while not (tmp_path / "never.began").exists():
        time.sleep(0.01)
    began = time.monotonic()
    handle.cancel(1.0)
    with pytest.raises((WorkerLost, TaskCancelled)):
        handle.future.result(LIMIT)
    assert time.monotonic() - began < 15
    assert runner.submit(double, 4).future.result(LIMIT) == 8


def test_a_killed_worker_costs_its_task_and_not_the_runner(runner: Runner) -> None:
    with pytest.raises(WorkerLost):
        runner.submit(kill_self, None).future.result(LIMIT)
    assert runner.submit(double, 4).future.result(LIMIT) == 8


def test_a_worker_that_takes_too_much_memory_is_ended_and_the_task_says_so(runner: Runner) -> None:
    with pytest.raises(MemoryExceeded, match="more than a worker may use"):
        runner.submit(hoard, Hoard(memory_limit=512 << 20)).future.result(LIMIT)
    assert runner.submit(double, 4).future.result(LIMIT) == 8


def test_a_task_that_reserves_slots_is_refused_no_memory_and_ended_for_what_it_fills(runner: Runner) -> None:
    limit = 512 << 20
    assert runner.submit(allocate, Build(limit, slots=2)).future.result(LIMIT) == 2 * limit
    with pytest.raises(OSError, match="Cannot allocate memory"):
        runner.submit(allocate, Hoard(limit)).future.result(LIMIT)
    with pytest.raises(MemoryExceeded):
        runner.submit(hoard, Build(limit, slots=2)).future.result(LIMIT)


def test_more_tasks_than_slots_wait_their_turn(runner: Runner) -> None:
    handles = [runner.submit(double, number) for number in range(20)]
    assert [handle.future.result(LIMIT) for handle in handles] == [2 * number for number in range(20)]
