"""Restrict a process: no core dumps, since its memory holds keys, and no imports of libraries it doesn't need."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["forbid_dumps", "leave_out_pandas"]

_PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """Disable core dumps of this process and of those that it forks.

    Where the system pipes dumps to a program, limits don't count; Linux skips a process that is not dumpable. Its
    files in ``/proc`` then belong to root: other processes of the same user can't read its memory or environment
    either. A process that calls exec must do this again for itself.
    """
    # Imported here, since the command line imports this module and must start fast, also where there is no resource.
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    control = getattr(ctypes.CDLL(None), "prctl", None)
    if control is not None:
        control(_PR_SET_DUMPABLE, 0, 0, 0, 0)


class _NoPandas(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("no process of a Penstock server uses pandas", name="pandas")
        return None


def leave_out_pandas() -> None:
    """Make ``import pandas`` fail in this process from now on, as if it weren't installed.

    PyArrow's datasets, and with them Lance, import it where it is installed, as it is with pymilvus. It takes 35 MiB
    of the server and of each worker, and a quarter of a second of CPU time, several times that where modules must be
    recompiled.
    """
    if not any(isinstance(finder, _NoPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NoPandas())
