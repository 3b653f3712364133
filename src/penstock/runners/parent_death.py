"""End a process when its parent process ends."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
import time

_PR_SET_PDEATHSIG = 1


def die_with_parent(grace: float = 0.0) -> None:
    """End this process ``grace`` seconds after its parent has ended."""
    threading.Thread(target=_exit_after_parent, args=(grace,), daemon=True).start()


def die_with_forker() -> None:
    """Have Linux kill this process when the one that forked it ends.

    With a fork server that isn't the parent of :func:`die_with_parent`. Without it the parent can't see any more
    whether its child runs, and counts it as dead: the next one would do the same work at the same time.
    """
    control = getattr(ctypes.CDLL(None), "prctl", None)
    if control is not None:
        control(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _exit_after_parent(grace: float) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    time.sleep(grace)
    os._exit(1)
