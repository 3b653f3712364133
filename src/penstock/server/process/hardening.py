"""Forbid core dumps of a process, since its memory holds keys."""

from __future__ import annotations

import ctypes
import resource

_PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """Disable core dumps of this process and of those that it forks.

    Where the system pipes dumps to a program, limits don't count; Linux skips a process that is not dumpable. Its
    files in ``/proc`` then belong to root: other processes of the same user can't read its memory or environment
    either. A process that calls exec must do this again for itself.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    control = getattr(ctypes.CDLL(None), "prctl", None)
    if control is not None:
        control(_PR_SET_DUMPABLE, 0, 0, 0, 0)
