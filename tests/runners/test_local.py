"""The local runner, with real worker processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from penstock.errors import DataError, TaskCancelled, WorkerLost
from penstock.runners.base import TaskContext
from penstock.runners.local import LocalRunner

LIMIT = 60


@pytest.fixture(scope="module")
def runner() -> Iterator[LocalRunner]:
    local = LocalRunner(2)
    local.warm()
    yield local
    local.close()


def double(number: int, context: TaskContext) -> int:
    context.report(number, 1)
    return 2 * number


def refuse(row: int, context: TaskContext) -> None:
    raise DataError("the vector is too short", file="a.csv", row=row, field="vector")


def report_until_told(steps: int, context: TaskContext) -> None:
    for step in range(steps):
        context.report(step, step)
        context.check()
        time.sleep(0.01)


def kill_self(_: Any, context: TaskContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def pid_of(_: Any, context: TaskContext) -> int:
    return os.getpid()


def test_a_task_returns_its_result(runner: LocalRunner) -> None:
    assert runner.submit(double, 21).future.result(LIMIT) == 42
    assert runner.slots == 2


def test_an_error_of_a_task_arrives_with_its_facts(runner: LocalRunner) -> None:
    with pytest.raises(DataError) as caught:
        runner.submit(refuse, 7).future.result(LIMIT)
    assert (caught.value.file, caught.value.row, caught.value.field) == ("a.csv", 7, "vector")


def test_progress_is_seen_while_a_task_runs_and_it_stops_when_told(runner: LocalRunner) -> None:
    handle = runner.submit(report_until_told, 100_000)
    while handle.progress() == (0, 0):
        time.sleep(0.01)
    handle.cancel()
    with pytest.raises(TaskCancelled):
        handle.future.result(LIMIT)
    assert handle.progress() > (0, 0)


def test_a_killed_worker_costs_its_task_and_not_the_runner(runner: LocalRunner) -> None:
    with pytest.raises(WorkerLost):
        runner.submit(kill_self, None).future.result(LIMIT)
    assert runner.submit(double, 4).future.result(LIMIT) == 8


def test_closing_ends_the_workers() -> None:
    local = LocalRunner(1)
    worker = psutil.Process(local.submit(pid_of, None).future.result(LIMIT))
    local.close()
    assert not worker.is_running()
    with pytest.raises(TaskCancelled):
        local.submit(double, 1)
