"""Leaving out what libraries load when it happens to be installed, and what no process of ours needs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["leave_out_pandas"]


class _NoPandas(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("no process of a Penstock server uses pandas", name="pandas")
        return None


def leave_out_pandas() -> None:
    """Let ``import pandas`` fail in this process from now on, as if it weren't installed.

    PyArrow's datasets, and with them Lance, load it where they find it, which is wherever pymilvus is installed. It
    takes 35 MiB of the server and of each worker, and a quarter of a second of a processor, several times that where
    modules are compiled anew.
    """
    if not any(isinstance(each, _NoPandas) for each in sys.meta_path):
        sys.meta_path.insert(0, _NoPandas())
