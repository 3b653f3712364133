"""Groups of small tasks that go to a worker together: the way there and back takes longer than such a task.

Only tasks that succeed get their result from the group. Any other one, also where the group's worker dies, is run
again alone by the caller that made the group, so that its error, its memory and its retries are its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.errors import TaskCancelled
from penstock.runners.base import Bounded, Groupable, TaskContext

MAX_TASKS = 16
MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """The argument of :func:`run_group`: functions with their arguments."""

    tasks: Sequence[tuple[Callable[[Any, TaskContext], Any], Any]]

    @property
    def memory_limit(self) -> int | None:
        limits = [argument.memory_limit for _, argument in self.tasks if isinstance(argument, Bounded)]
        return min((limit for limit in limits if limit is not None), default=None)


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The result of a task in a group."""

    result: Any


class _MemberContext:
    """A task's connection to its runner while it runs in a group: its progress is not reported."""

    def __init__(self, group: TaskContext) -> None:
        self._group = group

    def report(self, done_bytes: int, done_rows: int) -> None:
        """Small tasks end before it would be read."""

    def check(self) -> None:
        self._group.check()


def run_group(group: TaskGroup, context: TaskContext) -> list[Succeeded | None]:
    """Run tasks one after the other; None for those that failed, or did not run since the group was cancelled."""
    outcomes: list[Succeeded | None] = [None] * len(group.tasks)
    for number, (function, argument) in enumerate(group.tasks):
        try:
            context.check()
            outcomes[number] = Succeeded(function(argument, _MemberContext(context)))
        except TaskCancelled:
            break
        except Exception:  # noqa: BLE001 - it is raised again where the task runs alone
            outcomes[number] = None
    return outcomes


def size_in_group(argument: object) -> int | None:
    """The bytes of a task as part of a group; None if it must run alone."""
    size = argument.group_bytes if isinstance(argument, Groupable) else None
    return None if size is None or size > MAX_BYTES else size
