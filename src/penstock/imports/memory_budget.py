"""Divide one memory budget between all imports of a server: the number of workers, and the memory limit of each.

The memory of the machine or its container bounds the budget: the limits of all workers plus the server's own needs
stay below it, so that a worker is refused memory before the kernel kills a process.

A worker's memory was measured as its proportional set size, with the system's memory pool and two heaps: files of
768- and 32,768-dimensional vectors and of strings of 60 KB, in row groups of 300 MB and more, as Parquet and text.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.errors import MemoryExceeded

MIB = 1 << 20

_IDLE = 112 * MIB
"""An idle worker with all modules imported."""
_BUFFERS = 136 * MIB
"""Write buffers of the engine and read buffers of a reader, independent of the batch size."""
_BATCHES = 32
"""Copies of a batch in memory: as read, as conformed, as encoded, and in the engine's queue of pages."""
_LARGEST_BATCH = 8 * MIB
"""Larger ones are not faster."""
_SERVER = 160 * MIB
"""The server process itself; queries and searches come on top."""
_LEAST_LIMIT = _IDLE + 64 * MIB
"""With less a worker can't read even small files."""
LEAST_MEMORY = _SERVER + _LEAST_LIMIT
"""For a server with one worker."""
_LEAST_BUILD = 1024 * MIB
"""An index build that has reserved everything, so that no other task runs, may take this much where the memory has
it: it doesn't read in smaller batches, and takes 0.9 GB for any number of rows."""
_SLACK = 1.5
"""Factor by which a file may exceed a worker's share: not all workers are at their peak at once."""
_CACHE_SHARE, _LEAST_CACHE_SHARE = 3, 16
"""Parts of the memory: the caches of searches are one of three that workers and server leave, or one of sixteen of
all."""
_VECTOR_SHARE = 4
"""Of these one part of four is for vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerMemory:
    """The number of workers, the bytes of their batches, and the limit of each one's private bytes.

    ``build_limit`` is the least that an index build may take while it is the only task of its host.
    """

    workers: int
    batch_bytes: int
    limit: int
    build_limit: int = _LEAST_BUILD


def share_out(budget: int, workers: int, memory: int | None = None) -> WorkerMemory:
    """Divide ``budget`` bytes between at most ``workers``: fewer where it isn't enough for all, and always one.

    ``memory`` is what the server and its workers have together; None where the workers are on other hosts.
    """
    min_share = _IDLE + _BUFFERS + _BATCHES * MIB
    available = None if memory is None else max(memory - _SERVER, _LEAST_LIMIT)
    if available is not None:
        budget = min(budget, available)
    count = max(1, min(workers, budget // min_share))
    share = max(budget // count, min_share)
    batch = (share - _IDLE - _BUFFERS) // _BATCHES
    limit = int(share * _SLACK)
    if available is not None:
        limit = min(limit, max(available // count, _LEAST_LIMIT))
    build_limit = _LEAST_BUILD if available is None else min(_LEAST_BUILD, available)
    return WorkerMemory(
        workers=count, batch_bytes=min(batch, _LARGEST_BATCH), limit=limit, build_limit=max(limit, build_limit)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchCaches:
    """Bytes that a server keeps for searches: partitions of indexes, else read from the disk again, and vectors."""

    index: int
    vectors: int


def search_caches(budget: int, memory: int) -> SearchCaches:
    """The caches of searches in a server; ``budget`` and ``memory`` as for :func:`share_out`."""
    free = memory - _SERVER - max(budget, _IDLE + _BUFFERS + _BATCHES * MIB)
    size = max(free // _CACHE_SHARE, memory // _LEAST_CACHE_SHARE)
    vectors = size // _VECTOR_SHARE
    return SearchCaches(index=size - vectors, vectors=vectors)


def reserve(
    needed: int, worker: int | None, most: int, least: int = 0, least_slots: int = 1
) -> tuple[int, int | None]:
    """The slots, ``least_slots`` to ``most``, whose memory holds a task of ``needed`` bytes, and its worker's limit.

    ``worker`` is the limit of a worker with one slot, None for none. The workers of the other slots stay, idle. With
    all slots the limit is at least ``least``.
    """
    if worker is None:
        return least_slots, None
    each = max(worker - _IDLE, 1)
    slots = max(least_slots, min(-(-needed // each), most))
    limit = _IDLE + slots * each
    return slots, limit if slots < most else max(limit, least)


def too_large(file: str, size: int) -> MemoryExceeded:
    """The error for a file whose worker took, or asked for, ``size`` bytes."""
    return MemoryExceeded(
        f"file {file!r} needs more memory than a worker may use: it took {size >> 20} MiB. Raise "
        "memory_budget, or write the file with smaller row groups and pages",
        file=file,
        taken=size,
    )
