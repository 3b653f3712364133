"""Memory of a worker: how much it keeps, how much it may take, and that it gives back what it has no use for."""

from __future__ import annotations

import ctypes
import mmap
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from penstock.errors import MemoryExceeded

__all__ = [
    "die_before_server",
    "limit_malloc_arenas",
    "limit_memory",
    "memory_exceeded",
    "private_bytes",
    "trim_malloc",
    "tune_malloc_reuse",
]

_MIB = 1 << 20
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Names of glibc's ``mallopt``."""
_OOM_SCORE = 800
"""Of at most 1000, the share of all memory that the kernel adds to what a process has when it chooses one to end."""
_LOOK_SECONDS = 0.05
"""Between two looks a task may take some 50 MB more: pages are filled at about 1 GB/s."""


def die_before_server() -> None:
    """Let the kernel, when memory runs out, end this process rather than the server, which has more to lose.

    Every process may raise its own score, if it isn't hidden from its user (:mod:`penstock.server.process.hardening`)
    yet.
    """
    with suppress(OSError):  # no Linux, or a sandbox without it
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))


def trim_malloc() -> None:
    """An index build may free a gigabyte that the C library would keep for this process."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def tune_malloc_reuse() -> None:
    """Let the C library keep up to 32 MiB that were freed, for the next batch, until the task ends.

    It would give the memory of every batch back, and each page of the next one faults in anew: 8 us of 37 per row of
    768 numbers in CSV. What is larger than 32 MiB still comes and goes by itself.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_TRIM_THRESHOLD, 32 * _MIB)
        set_option(_MMAP_THRESHOLD, 32 * _MIB)


def limit_malloc_arenas(heaps: int = 2) -> None:
    """Keep the C library from giving every thread a heap of its own, each of which keeps what was freed in it.

    Readers and the engine's writer free in other threads than they allocate in: of a file of long strings a worker
    kept 900 MiB, and 440 with two heaps.
    """
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    if option is not None:
        option(_ARENA_MAX, heaps)


def private_bytes() -> int:
    """Resident memory of this process that is its own; 0 where the system doesn't tell."""
    _, resident, shared, *_ = _statm()
    return (resident - shared) * mmap.PAGESIZE


def data_bytes() -> int:
    """Memory that this process has asked for, used or not, as ``RLIMIT_DATA`` counts it; 0 as above."""
    return _statm()[5] * mmap.PAGESIZE


def _statm() -> tuple[int, ...]:
    try:
        with open("/proc/self/statm") as file:
            return tuple(map(int, file.read().split()))
    except FileNotFoundError:
        return (0,) * 7


def memory_exceeded(taken: int) -> MemoryExceeded:
    """The error of a task whose worker was ended for the bytes that it had taken."""
    return MemoryExceeded(
        f"the task took {taken >> 20} MiB of memory, more than a worker may have. Raise memory_budget", taken=taken
    )


@contextmanager
def limit_memory(limit: int | None, exceeded: Callable[[int], None]) -> Iterator[None]:
    """Meanwhile call ``exceeded`` with the bytes, in another thread, once this process has more than ``limit``.

    A worker that has too much can't be stopped otherwise: it sits in a library's code, and every library has its own
    way to fail when memory is refused, down to ending the process without a word.

    What asks for ``limit`` bytes more than there were at the beginning is refused by the system, before a page of it
    is filled: a page of a file may claim any size, and takes a gigabyte between two looks.

    Raises:
        MemoryExceeded: in place of the MemoryError of Python, NumPy and Arrow, where they were refused.
    """
    if limit is None:
        yield
        return
    try:
        with _refused_beyond(limit), _watched(limit, exceeded):
            yield
    except MemoryError as error:
        raise memory_exceeded(limit) from error


@contextmanager
def _refused_beyond(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    now = data_bytes()
    if not now:
        yield
        return
    most = now + limit if before[1] == resource.RLIM_INFINITY else min(now + limit, before[1])
    resource.setrlimit(resource.RLIMIT_DATA, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@contextmanager
def _watched(limit: int, exceeded: Callable[[int], None]) -> Iterator[None]:
    over = threading.Event()

    def watch(limit: int) -> None:
        while (taken := private_bytes()) <= limit:
            if over.wait(_LOOK_SECONDS):
                return
        exceeded(taken)

    thread = threading.Thread(target=watch, args=(limit,), name="memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
