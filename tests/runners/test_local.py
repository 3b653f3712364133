"""What only the local runner does: it owns its workers."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from penstock.errors import TaskCancelled, WorkerLost
from penstock.runners.local import LocalRunner
from penstock.runners.memory import tune_malloc_reuse
from tests.runners.tasks import (
    Build,
    Fill,
    Wait,
    append_line,
    compute,
    double,
    fill,
    kill_self,
    pid_of,
    report_until_told,
    stall,
    wait_for_file,
)
from tests.support.cgroups import command_in, memory_group

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
    assert [task.future.result(LIMIT) for task in tasks[1::2]] == [2, 4]
    assert runner.restarts == before + 2
    assert not beside.future.done()
    beside.cancel()
    with pytest.raises(TaskCancelled):
        beside.future.result(LIMIT)


def test_as_many_tasks_wait_as_the_workers_of_a_large_machine_take(runner: LocalRunner) -> None:
    tasks = [runner.submit(double, number) for number in range(400)]
    assert [task.future.result(LIMIT) for task in tasks] == [2 * number for number in range(400)]


def test_a_worker_that_stands_still_is_ended_and_its_task_lost() -> None:
    local = LocalRunner(1, silence=2.0)
    worker = psutil.Process(local.submit(pid_of, None).future.result(LIMIT))
    still = local.submit(report_until_told, 100_000)
    while still.progress() == (0, 0):
        time.sleep(0.01)
    worker.suspend()
    with pytest.raises(WorkerLost, match="sent no heartbeat for 2 s, and was killed"):
        still.future.result(LIMIT)
    assert local.submit(double, 4).future.result(LIMIT) == 8
    local.close()


@pytest.mark.parametrize("memory_limit", [None, 1 << 30])
def test_a_task_whose_threads_wait_for_each_other_is_ended(memory_limit: int | None) -> None:
    local = LocalRunner(1, stall=2.0)
    with pytest.raises(WorkerLost, match="used no processor for 2 s, and was killed"):
        local.submit(stall, Wait(LIMIT, memory_limit)).future.result(LIMIT)
    local.close()


def test_a_task_that_computes_and_a_worker_without_a_task_are_not_ended() -> None:
    local = LocalRunner(1, stall=2.0)
    assert local.submit(compute, 4.0).future.result(LIMIT) == "was not killed"
    time.sleep(3.0)  # longer than a task may be idle
    assert local.submit(double, 4).future.result(LIMIT) == 8
    assert local.restarts == 0
    local.close()


def test_a_task_that_does_not_stop_is_ended(tmp_path: Path) -> None:
    local = LocalRunner(1, grace=2.0)
    deaf = local.submit(wait_for_file, tmp_path / "never")
    while not (tmp_path / "never.began").exists():
        time.sleep(0.01)
    deaf.cancel()
    with pytest.raises(WorkerLost, match="did not stop within 2 s after cancellation"):
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


def test_a_dead_worker_is_replaced_once_by_what_comes_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    local = LocalRunner(1)
    worker = psutil.Process(local.submit(pid_of, None).future.result(LIMIT))
    worker.kill()
    pool = local._workers[0]._pool
    assert pool is not None
    while not pool._broken:
        time.sleep(0.01)
    replace = local._workers[0].replace

    def replace_later() -> None:
        time.sleep(0.3)  # the others find it dead meanwhile
        replace()

    monkeypatch.setattr(local._workers[0], "replace", replace_later)
    local.warm()
    assert local.submit(double, 3).future.result(LIMIT) == 6
    local.warm()
    assert local.submit(double, 4).future.result(LIMIT) == 8
    assert local.restarts == 1
    local.close()


def test_a_worker_that_cannot_be_replaced_at_once_is_replaced_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may be out of files or processes at that moment: its task fails, and no task waits for ever."""
    local = LocalRunner(1)
    assert local.submit(double, 1).future.result(LIMIT) == 2
    refused = list[int]()

    def start_but_once(*arguments: Any, **options: Any) -> ProcessPoolExecutor:
        if not refused:
            refused.append(1)
            raise OSError(24, "Too many open files")
        return ProcessPoolExecutor(*arguments, **options)

    monkeypatch.setattr("penstock.runners.local.ProcessPoolExecutor", start_but_once)
    with pytest.raises(WorkerLost, match="was killed while it worked"):
        local.submit(kill_self, None).future.result(LIMIT)
    with pytest.raises(WorkerLost, match=r"cannot be started: .*Too many open files"):
        local.submit(double, 2).future.result(LIMIT)
    assert local.submit(double, 3).future.result(LIMIT) == 6
    local.close()


def test_a_worker_whose_thread_could_not_start_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    start, refused = threading.Thread.start, list[int]()

    def start_but_once(thread: threading.Thread) -> None:
        if type(thread).__name__ == "_ExecutorManagerThread" and not refused:
            refused.append(1)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_but_once)
    local = LocalRunner(1)
    with pytest.raises(WorkerLost, match="cannot be started: can't start new thread"):
        local.submit(double, 1).future.result(LIMIT)
    assert local.submit(double, 2).future.result(LIMIT) == 4
    local.close()


def test_a_task_that_failed_as_no_process_could_start_does_not_run_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adjust, refused = ProcessPoolExecutor._adjust_process_count, list[int]()

    def adjust_but_once(pool: ProcessPoolExecutor) -> None:
        if not refused:
            refused.append(1)
            raise OSError(24, "Too many open files")
        adjust(pool)

    monkeypatch.setattr(ProcessPoolExecutor, "_adjust_process_count", adjust_but_once)
    local = LocalRunner(1)
    with pytest.raises(WorkerLost, match="Too many open files"):
        local.submit(append_line, tmp_path / "lost").future.result(LIMIT)
    local.submit(append_line, tmp_path / "next").future.result(LIMIT)
    assert [path.name for path in tmp_path.iterdir()] == ["next"]
    local.close()


def test_tasks_that_wait_when_the_runner_closes_are_cancelled() -> None:
    local = LocalRunner(1)
    tasks = [local.submit(report_until_told, 100_000) for _ in range(3)]
    local.close()
    for task in tasks:
        with pytest.raises(TaskCancelled):
            task.future.result(LIMIT)


def test_closing_ends_the_workers() -> None:
    local = LocalRunner(1)
    worker = psutil.Process(local.submit(pid_of, None).future.result(LIMIT))
    local.close()
    assert not worker.is_running()
    with pytest.raises(TaskCancelled):
        local.submit(double, 1)


STARVED = """
from penstock.errors import WorkerLost
from penstock.runners.local import LocalRunner
from penstock.runners.memory import tune_malloc_reuse
from tests.runners.tasks import double, hoard
if __name__ == "__main__":
    runner = LocalRunner(1)
    try:
        runner.submit(hoard, None).future.result(60)
    except WorkerLost as error:
        print(error)
    print(runner.submit(double, 21).future.result(60))
    runner.close()
"""


def test_the_kernel_ends_a_worker_before_its_server_and_the_task_says_why() -> None:
    with memory_group(200 << 20) as group:
        command = command_in(group, sys.executable, "-c", STARVED)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "42"
    assert "a worker process was killed by the kernel, out of memory" in lines[-2]
    assert "have 200 MiB (memory." in lines[-2]
    assert "Raise the limit, or lower workers or memory_budget" in lines[-2]


def test_a_worker_that_was_killed_otherwise_does_not_speak_of_memory(runner: LocalRunner) -> None:
    with pytest.raises(WorkerLost, match="was killed while it worked on this task"):
        runner.submit(kill_self, None).future.result(LIMIT)


def test_workers_that_run_unprivileged_raise_their_score(runner: LocalRunner) -> None:
    pid = runner.submit(pid_of, None).future.result(LIMIT)
    assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == 800


def test_a_task_takes_the_memory_of_the_one_before_and_an_idle_worker_gives_it_back() -> None:
    local = LocalRunner(1, tune_malloc_reuse)
    worker = psutil.Process(local.submit(pid_of, None).future.result(LIMIT))
    first, *others = [local.submit(fill, Fill(memory_limit=1 << 30)).future.result(LIMIT) for _ in range(3)]
    assert first >= 5_000
    assert max(others) < first / 4
    kept = worker.memory_info().rss
    until = time.monotonic() + LIMIT
    while worker.memory_info().rss > kept - (20 << 20):
        assert time.monotonic() < until, "the memory was not given back"
        time.sleep(0.1)
    local.close()


def test_a_task_that_took_half_of_its_limit_gives_its_memory_back_at_once() -> None:
    """The next one may need it in other pieces, and its limit counts what is free, too."""
    local = LocalRunner(1, tune_malloc_reuse)
    limit = psutil.Process(local.submit(pid_of, None).future.result(LIMIT)).memory_info().rss + (30 << 20)
    faults = [local.submit(fill, Fill(memory_limit=limit)).future.result(LIMIT) for _ in range(2)]
    assert min(faults) >= 5_000
    local.close()


def test_a_task_that_reserved_slots_gives_its_memory_back_at_once() -> None:
    """The limit of the next one may be that of a single slot."""
    local = LocalRunner(1, tune_malloc_reuse)
    task = Build(memory_limit=1 << 30, slots=2)
    faults = [local.submit(fill, task).future.result(LIMIT) for _ in range(2)]
    assert min(faults) >= 5_000
    local.close()
