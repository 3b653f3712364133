"""A runner that many share: nobody's task waits behind all tasks of somebody else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import TaskCancelled
from penstock.runners.base import TaskContext
from penstock.runners.lanes import Lanes
from penstock.runners.local import LocalRunner
from tests.runners.tasks import double

NAMES = ("ann", "bob", "cid")
WHO = ContextVar("WHO", default="nobody")


class Handle:
    def __init__(self) -> None:
        self.future: Future[Any] = Future()
        self.cancelled = False

    def progress(self) -> tuple[int, int]:
        return (1, 2)

    def cancel(self) -> None:
        self.cancelled = True


class HeldRunner:
    """Begins what it is given and ends it when told to, so that one sees what is given when."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
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


def test_a_single_task_comes_before_ten_thousand_of_another() -> None:
    runner = HeldRunner(slots=2)
    lanes = Lanes(runner)
    many = lanes.lane("ann")
    for number in range(10_000):
        many.submit(double, ("ann", number))
    lanes.lane("bob").submit(double, ("bob", 0))
    runner.end()
    runner.end()
    assert [argument[0] for argument, _ in runner.begun] == ["ann", "ann", "ann", "bob"]


EVENTS = st.lists(st.one_of(st.sampled_from(NAMES), st.integers(0, 4)), max_size=60)


@given(events=EVENTS, slots=st.integers(1, 3))
def test_nobody_waits_for_two_tasks_of_another(events: list[str | int], slots: int) -> None:
    """Against a model: who waits, and who was begun since. A number ends one of the running tasks."""
    runner = HeldRunner(slots)
    lanes = Lanes(runner)
    waiting: dict[str, list[int]] = defaultdict(list)
    passed_over: dict[str, dict[str, int]] = {name: defaultdict(int) for name in NAMES}
    looked = 0
    for number, event in enumerate(events):
        if isinstance(event, str):
            waiting[event].append(number)
            lanes.lane(event).submit(double, (event, number))
        elif runner.running:
            runner.end(event % len(runner.running))
        for (name, submitted), _ in runner.begun[looked:]:
            assert waiting[name].pop(0) == submitted, "in order within a lane"
            passed_over[name].clear()
            for other in NAMES:
                if waiting[other] and other != name:
                    passed_over[other][name] += 1
                    assert passed_over[other][name] <= 1
        looked = len(runner.begun)
        assert len(runner.running) == min(slots, len(runner.running) + sum(map(len, waiting.values())))


def test_results_progress_and_errors_come_through() -> None:
    runner = HeldRunner(slots=1)
    lane = Lanes(runner).lane("ann")
    first, second = lane.submit(double, 1), lane.submit(double, 2)
    assert (first.progress(), second.progress()) == ((1, 2), (0, 0))
    runner.end()
    runner.running[0][1].future.set_exception(ValueError("bad"))
    assert first.future.result(1) == 1
    with pytest.raises(ValueError, match="bad"):
        second.future.result(1)


def test_what_waits_is_cancelled_at_once_and_what_runs_is_told_to() -> None:
    runner = HeldRunner(slots=1)
    lanes = Lanes(runner)
    running, waiting, other = (lanes.lane("ann").submit(double, number) for number in range(3))
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
    lane = Lanes(runner).lane("ann")
    lane.submit(double, 0)
    waiting = [lane.submit(double, number) for number in (1, 2)]
    runner.close()
    runner.end()
    for each in waiting:
        with pytest.raises(TaskCancelled):
            each.future.result(0)


def test_a_task_begins_in_the_context_of_who_wants_it() -> None:
    runner = HeldRunner(slots=1)
    lanes = Lanes(runner)
    for name in ("ann", "bob"):
        token = WHO.set(name)
        lanes.lane(name).submit(double, name)
        WHO.reset(token)
    runner.end()
    assert runner.seen == ["ann", "bob"]


def test_real_workers_do_the_tasks_of_all_lanes() -> None:
    runner = LocalRunner(2)
    try:
        lanes = Lanes(runner)
        handles = [lanes.lane(NAMES[number % 3]).submit(double, number) for number in range(400)]
        wait([each.future for each in handles], 60)
        assert [each.future.result(0) for each in handles] == [2 * number for number in range(400)]
    finally:
        runner.close()
