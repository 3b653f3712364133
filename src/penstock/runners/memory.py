"""Memory of a worker, in a task and between two."""

from __future__ import annotations

import ctypes

__all__ = ["give_memory_back", "reuse_memory"]

_MIB = 1 << 20
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of glibc's ``mallopt``."""


def give_memory_back() -> None:
    """An index build may free a gigabyte that the C library would keep for this process."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def reuse_memory() -> None:
    """Let the C library keep up to 32 MiB that were freed, for the next batch, until the task ends.

    It would give the memory of every batch back, and each page of the next one faults in anew: 8 us of 37 per row of
    768 numbers in CSV. What is larger than 32 MiB still comes and goes by itself.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_TRIM_THRESHOLD, 32 * _MIB)
        set_option(_MMAP_THRESHOLD, 32 * _MIB)
