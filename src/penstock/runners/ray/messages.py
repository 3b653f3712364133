"""What the server and its Ray driver tell each other. Tasks are known by number; what they carry stays pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["Cancel", "Ended", "JoinRejected", "Progress", "Ready", "Shutdown", "Slots", "Submit", "TaskOutcome"]


@dataclass(frozen=True, slots=True)
class Submit:
    """``work`` is the pickled function and its argument; credentials may stand in it, so it never prints."""

    number: int
    name: str
    work: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cancel:
    """``grace`` are the seconds after which the task is ended by force; None for the driver's own."""

    number: int
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Leave the cluster, and end; the end of the pipe says the same."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The driver is part of the cluster."""


@dataclass(frozen=True, slots=True)
class JoinRejected:
    """It can't be; the driver ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Slots:
    """The cluster's processors, after each change."""

    number: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes and rows that running tasks reported last, by task."""

    tasks: Mapping[int, tuple[int, int]]


class TaskOutcome(Enum):
    """How a task ended."""

    RETURNED = "returned"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Ended:
    """``outcome`` is what ``worker.run_task`` returned; ``reason`` tells why there is none. ``excess`` are the bytes
    for which a worker was ended that took more memory than it may; 0 if it was lost for another reason."""

    number: int
    fate: TaskOutcome
    outcome: bytes = field(default=b"", repr=False)
    reason: str = ""
    excess: int = 0
