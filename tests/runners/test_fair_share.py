"""A runner that orgs share: a worker's time is divided, and no task waits for long ones of another org."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import DataError, TaskCancelled, WorkerLost
from penstock.runners.base import TaskContext, TaskHandle
from penstock.runners.fair_share import FairShareRunner
from penstock.runners.local import LocalRunner
from penstock.runners.task_groups import MAX_BYTES, MAX_TASKS, TaskGroup, run_group
from tests.runners.tasks import Build, Small, double, halve, report_until_told, wait_for_file
from tests.support.doubles import NullContext

NAMES = ("ann", "bob", "cid")
WHO = ContextVar("WHO", default="nobody")


class Handle:
    def __init__(self) -> None:
        self.future: Future[Any] = Future()
        self.cancelled = False

    def progress(self) -> tuple[int, int]:
        return (1, 2)

    def cancel(self, grace: float | None = None) -> None:
        self.cancelled = True


class HeldRunner:
    """Begins what it is given and ends it when told to, so that one sees what is given when."""

    def __init__(self, slots: int) -> None:
        self.slots = self.slots_per_task = slots
        self.begun: list[tuple[Any, Handle]] = []
        self.seen: list[str] = []
        self.closed = False

    def submit(self, function: Callable[[Any, TaskContext], Any], argument: Any) -> Handle:
        if self.closed:
            raise TaskCancelled("the server is stopping")
        handle = Handle()
        self.begun.append((argument, handle))
        self.seen.append(WHO.get())
        return handle

    def close(self) -> None:
        self.closed = True

    @property
    def running(self) -> list[tuple[Any, Handle]]:
        return [each for each in self.begun if not each[1].future.done()]

    def end(self, number: int = 0) -> None:
        argument, handle = self.running[number]
        handle.future.set_result(argument)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class StillLanes(FairShareRunner):
    """Without the thread that looks after waiting tasks: the test calls :meth:`look`."""

    def _watch(self) -> None:
        return


def test_a_single_task_comes_before_ten_thousand_of_another() -> None:
    runner = HeldRunner(slots=2)
    fair_share = FairShareRunner(runner)
    many = fair_share.for_tenant("ann")
    for number in range(10_000):
        many.submit(double, ("ann", number))
    fair_share.for_tenant("bob").submit(double, ("bob", 0))
    runner.end()
    assert [argument[0] for argument, _ in runner.begun] == ["ann", "ann", "bob"]


def test_a_task_that_reserves_slots_waits_for_them_and_those_behind_it_wait_too() -> None:
    """Or small tasks would keep it from ever starting."""
    runner = HeldRunner(slots=3)
    ann = FairShareRunner(runner).for_tenant("ann")
    build = Build(memory_limit=1, slots=2)
    for argument in (1, 2, build, 3, 4):
        ann.submit(double, argument)
    assert [argument for argument, _ in runner.running] == [1, 2]
    runner.end()
    assert [argument for argument, _ in runner.running] == [2, build]
    runner.end()
    assert [argument for argument, _ in runner.running] == [build, 3]
    runner.end()
    assert [argument for argument, _ in runner.running] == [3, 4]


def test_a_task_that_reserves_more_slots_than_there_are_takes_all() -> None:
    runner = HeldRunner(slots=2)
    ann = FairShareRunner(runner).for_tenant("ann")
    build = Build(memory_limit=1, slots=5)
    for argument in (build, 1):
        ann.submit(double, argument)
    assert [argument for argument, _ in runner.running] == [build]
    runner.end()
    assert [argument for argument, _ in runner.running] == [1]


@given(slots=st.integers(1, 3), seconds=st.tuples(*[st.floats(0.1, 10.0)] * 3))
@settings(max_examples=20, deadline=None)
def test_lanes_that_always_wait_get_equal_time(slots: int, seconds: tuple[float, float, float]) -> None:
    """However long the tasks of each are. By count, long tasks would get a hundred times what short ones get."""
    clock, runner = Clock(), HeldRunner(slots)
    fair_share = StillLanes(runner, clock)
    used = [0.0] * 3
    for lane, name in enumerate(NAMES):
        for _ in range(slots + 1):
            fair_share.submit(name, double, [lane, None])
    while sum(used) < 60 * max(seconds):
        for argument, _ in runner.running:
            argument[1] = argument[1] or clock.now + seconds[argument[0]]
        place = min(range(len(runner.running)), key=lambda number: runner.running[number][0][1])
        lane, clock.now = runner.running[place][0]
        used[lane] += seconds[lane]
        fair_share.submit(NAMES[lane], double, [lane, None])
        runner.end(place)
        runner.begun[:] = runner.running
    assert max(used) - min(used) <= (slots + 1) * max(seconds)


def test_a_lane_saves_nothing_up_while_it_has_no_tasks() -> None:
    clock, runner = Clock(), HeldRunner(slots=1)
    fair_share = StillLanes(runner, clock)
    for number in range(6):
        fair_share.submit("ann", double, ("ann", number))
    for _ in range(2):
        clock.now += 100
        runner.end()
    for number in range(6):
        fair_share.submit("bob", double, ("bob", number))
    for _ in range(9):
        clock.now += 1
        runner.end()
    assert [argument[0] for argument, _ in runner.begun[3:]] == ["bob", "ann"] * 3 + ["bob", "bob", "bob"]


def stopped(runner: HeldRunner) -> list[Any]:
    return [argument for argument, handle in runner.running if handle.cancelled]


def stop(runner: HeldRunner) -> None:
    """The tasks that were told to stop do so."""
    for _, handle in runner.running:
        if handle.cancelled:
            handle.future.set_exception(TaskCancelled("the task was cancelled"))


def test_a_lane_with_several_workers_gives_one_to_a_lane_that_waits() -> None:
    """The one that began last, after a second; it begins again when the other lane has been quiet for a while."""
    clock, runner = Clock(), HeldRunner(slots=2)
    fair_share = StillLanes(runner, clock)
    ann = [fair_share.submit("ann", double, f"ann {number}") for number in range(3)]
    clock.now += 100
    bob = fair_share.submit("bob", double, "bob 0")
    clock.now += 0.9
    fair_share.look()
    assert stopped(runner) == []
    clock.now += 0.2
    for _ in range(3):
        fair_share.look()
    assert stopped(runner) == ["ann 1"]
    stop(runner)
    assert [argument for argument, _ in runner.running] == ["ann 0", "bob 0"]
    assert not ann[1].future.done()
    runner.end(1)
    assert bob.future.result(0) == "bob 0"
    clock.now += 0.1
    fair_share.look()
    second = fair_share.submit("bob", double, "bob 1")
    assert [argument for argument, _ in runner.running] == ["ann 0", "bob 1"], "the worker waited for bob's next task"
    runner.end(1)
    assert second.future.done()
    clock.now += 0.6
    fair_share.look()
    assert [argument for argument, _ in runner.running] == ["ann 0", "ann 1"]
    runner.end(1)
    assert ann[1].future.result(0) == "ann 1"


def test_a_lane_with_one_worker_gives_way_less_and_less_often() -> None:
    """A task that is stopped begins anew, so the time that it is left alone doubles: it comes to its end."""
    clock, runner = Clock(), HeldRunner(slots=1)
    fair_share = StillLanes(runner, clock)
    long = fair_share.submit("ann", double, "ann")
    left_alone = []
    for number in range(5):
        began = clock.now
        fair_share.submit("bob", double, f"bob {number}")
        while not stopped(runner):
            clock.now += 0.25
            fair_share.look()
        left_alone.append(clock.now - began)
        stop(runner)
        assert [argument for argument, _ in runner.running] == [f"bob {number}"]
        runner.end()
        clock.now += 1
        fair_share.look()
        assert [argument for argument, _ in runner.running] == ["ann"]
    assert left_alone == [1, 2, 4, 8, 16]
    runner.end()
    assert long.future.result(0) == "ann"


def test_a_lane_that_has_had_less_is_not_stopped() -> None:
    clock, runner = Clock(), HeldRunner(slots=1)
    fair_share = StillLanes(runner, clock)
    fair_share.submit("ann", double, "ann 0")
    fair_share.submit("bob", double, "bob 0")
    clock.now += 50
    runner.end()
    fair_share.submit("ann", double, "ann 1")
    clock.now += 49
    fair_share.look()
    assert stopped(runner) == []
    clock.now += 2
    fair_share.look()
    assert stopped(runner) == ["bob 0"]


def test_a_task_that_should_give_way_may_end_or_be_cancelled() -> None:
    clock, runner = Clock(), HeldRunner(slots=1)
    fair_share = StillLanes(runner, clock)
    ended, cancelled = (fair_share.submit("ann", double, number) for number in range(2))
    for handle in (ended, cancelled):
        fair_share.submit("bob", double, "bob")
        clock.now += 2
        fair_share.look()
        assert len(stopped(runner)) == 1
        if handle is ended:
            runner.end()
            assert ended.future.result(0) == 0
        else:
            cancelled.cancel()
            stop(runner)
            with pytest.raises(TaskCancelled):
                cancelled.future.result(0)
        runner.end()
        clock.now += 1
        fair_share.look()
    assert runner.running == []


def test_lanes_without_tasks_are_forgotten() -> None:
    clock, runner = Clock(), HeldRunner(slots=2)
    fair_share = StillLanes(runner, clock)
    fair_share.submit("ann", double, "ann")
    for number in range(1000):
        fair_share.submit(f"org {number}", double, number)
        clock.now += 1
        runner.end(1)
    assert len(fair_share._tenants) < 5


def test_results_progress_and_errors_come_through() -> None:
    runner = HeldRunner(slots=1)
    lane = FairShareRunner(runner).for_tenant("ann")
    first, second = lane.submit(double, 1), lane.submit(double, 2)
    assert (first.progress(), second.progress()) == ((1, 2), (0, 0))
    runner.end()
    runner.running[0][1].future.set_exception(ValueError("bad"))
    assert first.future.result(1) == 1
    with pytest.raises(ValueError, match="bad"):
        second.future.result(1)


def test_what_waits_is_cancelled_at_once_and_what_runs_is_told_to() -> None:
    runner = HeldRunner(slots=1)
    fair_share = FairShareRunner(runner)
    running, waiting, other = (fair_share.for_tenant("ann").submit(double, number) for number in range(3))
    for each in (running, waiting):
        each.cancel()
    assert runner.begun[0][1].cancelled
    with pytest.raises(TaskCancelled):
        waiting.future.result(0)
    waiting.cancel()
    runner.end()
    assert [argument for argument, _ in runner.begun] == [0, 2]
    assert not other.future.done()


def test_a_closed_runner_ends_what_waits() -> None:
    runner = HeldRunner(slots=1)
    lane = FairShareRunner(runner).for_tenant("ann")
    lane.submit(double, 0)
    waiting = [lane.submit(double, number) for number in (1, 2)]
    runner.close()
    runner.end()
    for each in waiting:
        with pytest.raises(TaskCancelled):
            each.future.result(0)


def test_tasks_start_and_end_where_no_thread_can_look_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    runner = HeldRunner(slots=1)
    fair_share = FairShareRunner(runner)
    with monkeypatch.context() as patched:
        patched.setattr("threading.Thread.start", no_thread)
        first, second = (fair_share.for_tenant("ann").submit(double, number) for number in (1, 2))
        runner.end()
    before = threading.enumerate()
    third = fair_share.for_tenant("bob").submit(double, 3)
    assert [each.name for each in threading.enumerate() if each not in before] == ["fair-share"], "by the next task"
    runner.end()
    runner.end()
    assert [each.future.result(0) for each in (first, second, third)] == [1, 2, 3]


def test_a_task_begins_in_the_context_of_who_wants_it() -> None:
    runner = HeldRunner(slots=1)
    fair_share = FairShareRunner(runner)
    for name in ("ann", "bob"):
        token = WHO.set(name)
        fair_share.for_tenant(name).submit(double, name)
        WHO.reset(token)
    runner.end()
    assert runner.seen == ["ann", "bob"]


def test_real_workers_do_the_tasks_of_all_lanes() -> None:
    runner = LocalRunner(2)
    try:
        fair_share = FairShareRunner(runner)
        handles = [fair_share.for_tenant(NAMES[number % 3]).submit(double, number) for number in range(400)]
        wait([handle.future for handle in handles], 60)
        assert [handle.future.result(0) for handle in handles] == [2 * number for number in range(400)]
    finally:
        runner.close()


def numbers_of(argument: Any) -> list[int]:
    """The numbers of a group's tasks, or of a task that runs alone."""
    return [task.number for _, task in argument.tasks] if isinstance(argument, TaskGroup) else [argument.number]


def submitted(fair_share: FairShareRunner, *tasks: Small) -> list[TaskHandle[Any]]:
    return [fair_share.submit("ann", halve, task) for task in tasks]


def test_small_tasks_that_wait_go_to_a_worker_together() -> None:
    """Each free worker gets its share of those that wait."""
    runner = HeldRunner(slots=2)
    handles = submitted(FairShareRunner(runner), *map(Small, range(0, 16, 2)))
    runner.end()
    runner.end()
    assert [numbers_of(argument) for argument, _ in runner.begun] == [[0], [2], [4, 6, 8], [10, 12]]
    for argument, handle in runner.running:
        handle.future.set_result(run_group(argument, NullContext()))
    assert [numbers_of(argument) for argument, _ in runner.running] == [[14]]
    assert [handle.future.result(0) for handle in handles[2:-1]] == [2, 3, 4, 5, 6]


def test_a_group_is_small_too_and_no_task_overtakes_another() -> None:
    runner = HeldRunner(slots=1)
    fair_share = FairShareRunner(runner)
    half, remote = Small(2, MAX_BYTES // 2), Small(4, None)
    submitted(fair_share, Small(0), half, half, half, Small(6), remote, *[Small(8)] * (MAX_TASKS + 1))
    begun = []
    while runner.running:
        ((argument, handle),) = runner.running
        begun.append(numbers_of(argument))
        group = isinstance(argument, TaskGroup)
        handle.future.set_result(run_group(argument, NullContext()) if group else argument)
    assert begun == [[0], [2, 2], [2, 6], [4], [8] * MAX_TASKS, [8]]


def test_a_task_that_fails_in_a_group_runs_again_alone_and_has_its_own_error() -> None:
    runner = HeldRunner(slots=1)
    _, good, odd, last = submitted(FairShareRunner(runner), *map(Small, (0, 2, 3, 4)))
    runner.end()
    ((group, handle),) = runner.running
    handle.future.set_result(run_group(group, NullContext()))
    assert (good.future.result(0), last.future.result(0)) == (1, 2)
    ((alone, handle),) = runner.running
    assert alone == Small(3)
    handle.future.set_exception(DataError("3 is odd"))
    with pytest.raises(DataError, match="3 is odd"):
        odd.future.result(0)


def test_a_group_whose_worker_dies_runs_again_one_by_one() -> None:
    runner = HeldRunner(slots=1)
    handles = submitted(FairShareRunner(runner), *map(Small, (0, 2, 4)))
    runner.end()
    runner.running[0][1].future.set_exception(WorkerLost("killed"))
    for number in (2, 4):
        assert [argument for argument, _ in runner.running] == [Small(number)]
        runner.end()
    assert [handle.future.result(0) for handle in handles] == [Small(0), Small(2), Small(4)]


def test_a_cancelled_task_ends_its_group_and_the_others_go_on() -> None:
    runner = HeldRunner(slots=1)
    _, first, second, third = submitted(FairShareRunner(runner), *map(Small, (0, 2, 4, 6)))
    runner.end()
    second.cancel()
    ((group, handle),) = runner.running
    assert handle.cancelled
    handle.future.set_result([*run_group(TaskGroup(group.tasks[:1]), NullContext()), None, None])
    assert first.future.result(0) == 1
    with pytest.raises(TaskCancelled):
        second.future.result(0)
    assert [argument for argument, _ in runner.running] == [Small(6)]
    runner.end()
    assert third.future.result(0) == Small(6)


def test_real_workers_do_small_tasks_in_groups_each_with_its_own_end() -> None:
    runner = LocalRunner(2)
    try:
        handles = submitted(FairShareRunner(runner), *map(Small, range(100)))
        wait([handle.future for handle in handles], 60)
        for number, handle in enumerate(handles):
            error = handle.future.exception(0)
            if number == 13:
                assert isinstance(error, WorkerLost)
            elif number % 2:
                assert str(error) == f"{number} is odd"
            else:
                assert handle.future.result(0) == number // 2
    finally:
        runner.close()


def _has_begun(handle: TaskHandle[Any], argument: int | Path) -> bool:
    return handle.progress() > (0, 0) if isinstance(argument, int) else argument.with_suffix(".began").exists()


@pytest.mark.parametrize("listens", [True, False])
def test_real_workers_held_by_one_lane_serve_another_within_seconds(listens: bool, tmp_path: Path) -> None:
    """The long tasks end all the same, also where one had to be ended by force."""
    runner = LocalRunner(2)
    try:
        fair_share = FairShareRunner(runner)
        arguments: list[Any] = [600, 601] if listens else [tmp_path / "a", tmp_path / "b"]
        long = [
            fair_share.submit("ann", report_until_told if listens else wait_for_file, argument)
            for argument in arguments
        ]
        until = time.monotonic() + 60
        while not all(_has_begun(*task) for task in zip(long, arguments, strict=True)):
            assert time.monotonic() < until
            time.sleep(0.01)
        began = time.monotonic()
        for number in range(3):
            assert fair_share.submit("bob", double, number).future.result(30) == 2 * number
        assert time.monotonic() - began < (6 if listens else 20)
        assert not any(handle.future.done() for handle in long)
        if not listens:
            for path in arguments:
                path.touch()
        wait([handle.future for handle in long], 60)
        assert all(handle.future.exception(0) is None for handle in long)
    finally:
        runner.close()
