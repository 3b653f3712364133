"""Keep libraries that Penstock doesn't use out of its processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

UNUSED = frozenset({"pandas", "pygments", "rich"})
"""Libraries that others import where they are installed: PyArrow's datasets, and with them Lance, pandas, which comes
with pymilvus; structlog rich, for tracebacks that Penstock doesn't print; Mako, for Alembic, and rich Pygments."""


class _LeftOut(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in UNUSED:
            raise ModuleNotFoundError(f"no process of Penstock uses {fullname}", name=fullname)
        return None


def leave_out_unused() -> None:
    """Make imports of :data:`UNUSED` fail in this process from now on, as if they weren't installed.

    pandas takes 35 MiB of the server and of each worker, and a quarter of a second of CPU time, several times that
    where modules must be recompiled; the others a tenth of a second.
    """
    if not any(isinstance(finder, _LeftOut) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LeftOut())
