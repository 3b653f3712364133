"""What only the local runner does: it owns its workers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from penstock.errors import TaskCancelled, WorkerLost
from penstock.runners.local import LocalRunner
from tests.runners.tasks import double, kill_self, pid_of, report_until_told, wait_for_file

LIMIT = 60


@pytest.fixture
def runner() -> Iterator[LocalRunner]:
    local = LocalRunner(2)
    yield local
    local.close()


def test_a_dying_worker_takes_no_other_task_with_it(runner: LocalRunner) -> None:
    """Neither the one that another worker runs nor those that wait, however often it dies."""
    beside = runner.submit(report_until_told, 100_000)
    while beside.progress() == (0, 0):
        time.sleep(0.01)
    before = runner.restarts
    tasks = [runner.submit(*task) for task in [(kill_self, None), (double, 1), (kill_self, None), (double, 2)]]
    for lost in tasks[0::2]:
        with pytest.raises(WorkerLost):
            lost.future.result(LIMIT)
    assert [each.future.result(LIMIT) for each in tasks[1::2]] == [2, 4]
    assert runner.restarts == before + 2
    assert not beside.future.done()
    beside.cancel()
    with pytest.raises(TaskCancelled):
        beside.future.result(LIMIT)


def test_a_worker_that_stands_still_is_ended_and_its_task_lost() -> None:
    local = LocalRunner(1, silence=2.0)
    worker = psutil.Process(local.submit(pid_of, None).future.result(LIMIT))
    still = local.submit(report_until_told, 100_000)
    while still.progress() == (0, 0):
        time.sleep(0.01)
    worker.suspend()
    with pytest.raises(WorkerLost, match="gave no sign of life for 2 s, and was ended"):
        still.future.result(LIMIT)
    assert local.submit(double, 4).future.result(LIMIT) == 8
    local.close()


def test_a_task_that_does_not_stop_is_ended(tmp_path: Path) -> None:
    local = LocalRunner(1, grace=2.0)
    deaf = local.submit(wait_for_file, tmp_path / "never")
    while not (tmp_path / "never.began").exists():
        time.sleep(0.01)
    deaf.cancel()
    with pytest.raises(WorkerLost, match="did not stop within 2 s when it was told to"):
        deaf.future.result(LIMIT)
    assert local.submit(double, 4).future.result(LIMIT) == 8
    local.close()


def test_closing_ends_a_worker_that_stands_still() -> None:
    local = LocalRunner(1, silence=2.0)
    worker = psutil.Process(local.submit(pid_of, None).future.result(LIMIT))
    worker.suspend()
    local.close()
    assert not worker.is_running()


def test_closing_waits_for_no_task_that_does_not_listen(tmp_path: Path) -> None:
    local = LocalRunner(1)
    deaf = local.submit(wait_for_file, tmp_path / "never")
    while not (tmp_path / "never.began").exists():
        time.sleep(0.01)
    local.close()
    with pytest.raises(WorkerLost):
        deaf.future.result(0)


def test_a_worker_that_died_with_nothing_to_do_costs_no_task() -> None:
    local = LocalRunner(1)
    worker = psutil.Process(local.submit(pid_of, None).future.result(LIMIT))
    worker.kill()
    worker.wait(LIMIT)
    while local.restarts == 0:
        # The pool learns of it a moment later: until then a task may be given to the dead.
        try:
            assert local.submit(double, 3).future.result(LIMIT) == 6
        except WorkerLost:
            continue
    local.close()


def test_tasks_that_wait_when_the_runner_closes_are_cancelled() -> None:
    local = LocalRunner(1)
    tasks = [local.submit(report_until_told, 100_000) for _ in range(3)]
    local.close()
    for each in tasks:
        with pytest.raises(TaskCancelled):
            each.future.result(LIMIT)


def test_closing_ends_the_workers() -> None:
    local = LocalRunner(1)
    worker = psutil.Process(local.submit(pid_of, None).future.result(LIMIT))
    local.close()
    assert not worker.is_running()
    with pytest.raises(TaskCancelled):
        local.submit(double, 1)
