"""Keeping what a process has in memory, keys among it, off the disks when it crashes."""

from __future__ import annotations

import ctypes
import resource

__all__ = ["forbid_dumps"]

_PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """Let no crash of this process, nor of those that it starts, write its memory to a disk.

    Where the system hands dumps to a program, limits don't count; Linux leaves out a process that says so. Its files
    in ``/proc`` then belong to root: other processes of the same user can't read its memory or environment either.
    A process that is started anew must say so for itself.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    control = getattr(ctypes.CDLL(None), "prctl", None)
    if control is not None:
        control(_PR_SET_DUMPABLE, 0, 0, 0, 0)
