"""Worker tasks of maintenance: build and optimize indexes, expire versions, compact. Everything here is picklable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.domain.index import IndexSpec
from penstock.engines.base import MaintainableEngine
from penstock.engines.values import Table
from penstock.runners.base import TaskContext

PROGRESS_SCALE = 1000
"""What :func:`build_indexes` reports instead of bytes when finished: thousandths of its work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexTask:
    """A table whose indexes are built or optimized, and what is reserved for it: slots, and the memory of as many.

    Segments ``kept`` are not merged with new rows.
    """

    engine: MaintainableEngine
    table: Table
    specs: Sequence[IndexSpec]
    slots: int = 1
    memory_limit: int | None = None
    kept: frozenset[str] = frozenset()


def build_indexes(task: IndexTask, context: TaskContext) -> int:
    """Bring the table's indexes up to date; return the table's new version."""
    context.check()

    def report(share: float) -> None:
        context.report(int(PROGRESS_SCALE * share), 0)

    return task.engine.index(task.table, task.specs, report, task.memory_limit, task.kept)


def optimize_indexes(task: IndexTask, context: TaskContext) -> int:
    """Merge and train the table's indexes; return its new version. Reports the version, while it changes, as rows."""

    def committed(version: int) -> None:
        context.report(0, version)
        context.check()

    context.check()
    return task.engine.optimize(task.table, task.specs, committed, task.memory_limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceTask:
    """A table to maintain. Age (s) and share of live bytes bound old versions: see ``expire_versions``.

    ``kept_version`` and later ones don't expire: an export or a revert needs them.
    """

    engine: MaintainableEngine
    table: Table
    kept_version: int
    old_version_retention: float
    old_version_share: float
    old_version_min_age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceResult:
    """The table's new version, and the bytes of expired versions."""

    version: int
    freed_bytes: int


def maintain_table(task: MaintenanceTask, context: TaskContext) -> MaintenanceResult:
    """Expire old versions of a table, remove expired rows, and compact it.

    Raises:
        StorageConflict: concurrent changes of the table did not stop.
    """
    context.check()
    # Old versions first: those before the catalog's version when the task was created.
    freed_bytes = task.engine.expire_versions(
        replace(task.table, version=task.kept_version),
        task.old_version_retention,
        task.old_version_share,
        task.old_version_min_age,
    )
    context.check()
    task.engine.remove_expired(task.table)
    context.check()
    return MaintenanceResult(version=task.engine.compact(task.table), freed_bytes=freed_bytes)
