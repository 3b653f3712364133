"""Limit the memory of a worker, tune its malloc, and return freed memory to the OS."""

from __future__ import annotations

import ctypes
import mmap
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from penstock.errors import MemoryExceeded

_MIB = 1 << 20
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of glibc's ``mallopt``."""
_OOM_SCORE = 800
"""Of at most 1000: the share of all memory that the OOM killer adds to a process's own when it chooses one."""
_CHECK_SECONDS = 0.05
"""Between two checks a task may take some 50 MB more: pages are filled at about 1 GB/s."""


def die_before_server() -> None:
    """Raise this process's OOM score, so that the kernel kills it rather than the server, which has more to lose.

    Every process may raise its own score, as long as it is dumpable (:mod:`penstock.server.process.hardening`).
    """
    with suppress(OSError):  # not Linux, or a sandbox without it
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))


def trim_malloc() -> None:
    """Return freed memory to the OS: an index build may free a gigabyte that the C library would keep."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def tune_malloc_reuse() -> None:
    """Let malloc reuse up to 32 MiB of freed memory for the next batch, until the task ends.

    By default it returns the memory of every batch, and each page of the next one faults in again: 8 us of 37 per row
    of 768 numbers in CSV. Allocations above 32 MiB are still mapped and unmapped one by one.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_TRIM_THRESHOLD, 32 * _MIB)
        set_option(_MMAP_THRESHOLD, 32 * _MIB)


def limit_malloc_arenas(heaps: int = 2) -> None:
    """Limit the number of malloc arenas: by default each thread has one, which keeps what was freed in it.

    Readers and the engine's writer free in other threads than they allocate in: with a file of long strings a worker
    kept 900 MiB, and 440 with two arenas.
    """
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    if option is not None:
        option(_ARENA_MAX, heaps)


def private_bytes() -> int:
    """Private resident memory of this process; 0 where the system doesn't report it."""
    _, resident, shared, *_ = _statm()
    return (resident - shared) * mmap.PAGESIZE


def data_bytes() -> int:
    """Allocated memory of this process, used or not, as ``RLIMIT_DATA`` counts it; 0 as above."""
    return _statm()[5] * mmap.PAGESIZE


def _statm() -> tuple[int, ...]:
    try:
        with open("/proc/self/statm") as file:
            return tuple(map(int, file.read().split()))
    except FileNotFoundError:
        return (0,) * 7


def memory_exceeded(size: int) -> MemoryExceeded:
    """The error of a task whose worker was killed for its ``size`` bytes."""
    return MemoryExceeded(
        f"the task took {size >> 20} MiB of memory, more than a worker may use. Raise memory_budget", taken=size
    )


@contextmanager
def limit_memory(limit: int | None, exceeded: Callable[[int], None], *, refuses: bool = True) -> Iterator[None]:
    """Watch this process's memory: call ``exceeded`` with the bytes, in another thread, once it is above ``limit``.

    A worker over its limit can't be stopped otherwise: it runs library code, and every library fails in its own way
    when memory is refused, down to ending the process without a message.

    If it ``refuses`` them, the system refuses allocations beyond ``limit`` bytes more than at the beginning, before
    a page of them is filled: a page of a file may claim any size, and takes a gigabyte between two checks.

    Raises:
        MemoryExceeded: in place of the MemoryError of Python, NumPy and Arrow.
    """
    if limit is None:
        yield
        return
    try:
        with _rlimit(limit) if refuses else nullcontext(), _watch_memory(limit, exceeded):
            yield
    except MemoryError as error:
        raise memory_exceeded(limit) from error


@contextmanager
def _rlimit(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    used = data_bytes()
    if not used:
        yield
        return
    maximum = used + limit if before[1] == resource.RLIM_INFINITY else min(used + limit, before[1])
    resource.setrlimit(resource.RLIMIT_DATA, (maximum, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@contextmanager
def _watch_memory(limit: int, exceeded: Callable[[int], None]) -> Iterator[None]:
    stop = threading.Event()

    def watch(limit: int) -> None:
        while (size := private_bytes()) <= limit:
            if stop.wait(_CHECK_SECONDS):
                return
        exceeded(size)

    thread = threading.Thread(target=watch, args=(limit,), name="memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
