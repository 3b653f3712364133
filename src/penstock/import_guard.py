"""Keep a library that Penstock doesn't use out of its processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _NoPandas(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("no process of Penstock uses pandas", name="pandas")
        return None


def leave_out_pandas() -> None:
    """Make ``import pandas`` fail in this process from now on, as if it weren't installed.

    PyArrow's datasets, and with them Lance, import it where it is installed, as it is with pymilvus. It takes 35 MiB
    of the server and of each worker, and a quarter of a second of CPU time, several times that where modules must be
    recompiled.
    """
    if not any(isinstance(finder, _NoPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NoPandas())
