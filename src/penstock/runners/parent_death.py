"""End a process when its parent process ends."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time


def die_with_parent(grace: float = 0.0) -> None:
    """End this process ``grace`` seconds after its parent has ended."""
    threading.Thread(target=_exit_after_parent, args=(grace,), daemon=True).start()


def _exit_after_parent(grace: float) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    time.sleep(grace)
    os._exit(1)
