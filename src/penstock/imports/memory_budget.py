"""One memory budget for all imports of a server: how many workers it feeds, and what each of them may take.

What the machine or its container has bounds the budget: the sum of what all workers may take at most, and what the
server itself needs, stay below it, so that a worker is refused memory before the kernel ends a process.

What a worker takes was measured as its proportional set size, with the system's memory pool and two heaps: files of
768- and 32,768-dimensional vectors and of strings of 60 KB, in row groups of 300 MB and more, as Parquet and text.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.errors import MemoryExceeded

__all__ = ["LEAST_MEMORY", "MIB", "WorkerMemory", "share_out", "too_large"]

MIB = 1 << 20

_IDLE = 112 * MIB
"""A worker that has imported everything and does nothing."""
_BUFFERS = 136 * MIB
"""What the engine writes from, and what a reader holds of a file, whatever the size of a batch."""
_BATCHES = 32
"""How often a batch stands in memory: as read, as conformed, as encoded, and in the engine's queue of pages."""
_LARGEST_BATCH = 8 * MIB
"""Larger ones are not faster."""
_SERVER = 160 * MIB
"""What the server process itself takes; queries and searches come on top."""
_LEAST_LIMIT = _IDLE + 64 * MIB
"""With less a worker can't read even small files."""
LEAST_MEMORY = _SERVER + _LEAST_LIMIT
"""Of a server with one worker."""
_SLACK = 1.5
"""How far a file may go beyond a worker's share before it is refused: not all workers are at their peak at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerMemory:
    """How many workers run, the bytes of their batches, and the private bytes that none of them may exceed."""

    workers: int
    batch_bytes: int
    limit: int


def share_out(budget: int, workers: int, memory: int | None = None) -> WorkerMemory:
    """Feed at most ``workers`` from ``budget`` bytes: fewer where it isn't enough for all, and always one.

    ``memory`` is what the server and its workers have together; None where the workers are elsewhere.
    """
    least = _IDLE + _BUFFERS + _BATCHES * MIB
    room = None if memory is None else max(memory - _SERVER, _LEAST_LIMIT)
    if room is not None:
        budget = min(budget, room)
    fed = max(1, min(workers, budget // least))
    share = max(budget // fed, least)
    batch = (share - _IDLE - _BUFFERS) // _BATCHES
    limit = int(share * _SLACK)
    if room is not None:
        limit = min(limit, max(room // fed, _LEAST_LIMIT))
    return WorkerMemory(workers=fed, batch_bytes=min(batch, _LARGEST_BATCH), limit=limit)


def too_large(file: str, taken: int) -> MemoryExceeded:
    """The error for a file whose worker took, or asked for, ``taken`` bytes."""
    return MemoryExceeded(
        f"file {file!r} needs more memory than a worker may have: it took {taken >> 20} MiB. Raise "
        "memory_budget, or write the file with smaller row groups and pages",
        file=file,
        taken=taken,
    )
