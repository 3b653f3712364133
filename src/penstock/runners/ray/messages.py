"""Messages between the server and its Ray driver. Tasks are identified by number; their payload stays pickled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class Submit:
    """Submit a task that takes ``slots`` processors of one host.

    ``work`` is the pickled function and argument; never printed, as it may contain credentials.
    """

    number: int
    name: str
    work: bytes = field(repr=False)
    slots: int = 1


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel a task. ``grace``: seconds after which it is killed; None for the driver's default."""

    number: int
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Leave the cluster, and end; closing the pipe does the same."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The driver has joined the cluster."""


@dataclass(frozen=True, slots=True)
class JoinRejected:
    """The driver can't join the cluster, and ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Slots:
    """The number of processors of each host of the cluster, after each change."""

    hosts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Progress:
    """The last reported bytes and rows of running tasks, by task."""

    tasks: Mapping[int, tuple[int, int]]


class TaskOutcome(Enum):
    """How a task ended."""

    RETURNED = "returned"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Ended:
    """A task has ended.

    ``outcome`` is the result of ``worker.run_task``; ``reason`` explains why there is none. ``excess`` are the bytes
    for which a worker over its memory limit was killed; 0 if it was lost for another reason.
    """

    number: int
    fate: TaskOutcome
    outcome: bytes = field(default=b"", repr=False)
    reason: str = ""
    excess: int = 0
