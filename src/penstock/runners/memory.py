"""Memory of a worker between two tasks."""

from __future__ import annotations

import ctypes

__all__ = ["give_memory_back"]


def give_memory_back() -> None:
    """An index build may free a gigabyte that the C library would keep for this process."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
