"""An engine in memory and a runner in the caller's thread: jobs run for real on them, fast and one step at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from penstock.domain.index import IndexSpec, Metric
from penstock.engines.base import (
    EngineCapabilities,
    MaintainableEngine,
    MaintenanceNeeds,
    Published,
    Staged,
    Table,
)
from penstock.errors import StorageError

__all__ = ["InlineRunner", "MemoryEngine", "NullContext"]

Hook = Callable[[str], None]


class _Handle:
    def __init__(self, future: Future[Any]) -> None:
        self.future = future

    def progress(self) -> tuple[int, int]:
        return (0, 0)

    def cancel(self, grace: float | None = None) -> None:
        """It has ended already."""


class NullContext:
    def report(self, done_bytes: int, done_rows: int) -> None:
        """Progress is not read."""

    def check(self) -> None:
        """Never cancelled."""


class InlineRunner:
    """Runs each task as it is submitted. Splits come one after the other."""

    slots = 1

    def submit(self, function: Callable[[Any, Any], Any], argument: Any) -> _Handle:
        future: Future[Any] = Future()
        try:
            future.set_result(function(argument, NullContext()))
        except BaseException as error:  # noqa: BLE001 - a runner gives every error to its caller
            future.set_exception(error)
        return _Handle(future)

    def close(self) -> None:
        """It has nothing to close."""


class MemoryEngine:
    """Tables of ids. ``files`` are staged and published ones, ``visible`` the names of the latter, by table and job;
    ``hook`` is told each step before and after it.
    """

    def __init__(self) -> None:
        self.files: dict[str, list[int]] = {}
        self.visible: dict[str, dict[int, list[str]]] = {}
        self.notes: dict[str, bytes] = {}
        self.hook: Hook = lambda step: None
        self._names = itertools.count()

    name = "memory"
    storage_version = "1"
    capabilities = EngineCapabilities(metrics=frozenset(Metric), row_expiry=False)

    @property
    def maintainable(self) -> MaintainableEngine:
        return cast(MaintainableEngine, self)  # of maintenance it has what jobs need

    def rows(self, table_id: str, job_id: int) -> list[int]:
        """The ids that a job has made visible."""
        return [row for file in self.visible.get(table_id, {}).get(job_id, []) for row in self.files[file]]

    def note(self, table_id: str = "") -> bytes | None:
        return self.notes.get(table_id)

    def save_note(self, content: bytes, table_id: str = "") -> None:
        self.notes[table_id] = content

    def create(self, table: Table) -> int:
        self.visible.setdefault(table.id, {})
        return 1

    def drop(self, table_id: str) -> None:
        for files in self.visible.pop(table_id, {}).values():
            for name in files:
                del self.files[name]

    def stage(self, table: Table, job_id: int, batches: Iterator[pa.RecordBatch]) -> Staged:
        self.hook("stage")
        rows: list[Any] = [row for batch in batches for row in batch.column("id").to_pylist()]
        name = f"{table.id}/{next(self._names)}"
        self.files[name] = rows
        try:
            self.hook("staged")
        except Exception:
            del self.files[name]  # a call that fails leaves nothing behind; a process that dies does
            raise
        return Staged(rows=len(rows), size=len(rows), note={"files": {name: len(rows)}})

    def publish(self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged]) -> Published:
        self.hook("publish")
        names = [name for each in staged for name in each.note["files"]]
        published = self.visible[table.id]
        if job_id not in published:
            for name in names:
                if name not in self.files:
                    raise StorageError(f"the staged file {name} is missing")
            published[job_id] = names
        self.hook("published")
        return Published(version=1 + len(published), rows=sum(each.rows for each in staged))

    def withdraw(self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged]) -> Published | int:
        published = self.visible[table.id]
        if job_id in published:
            return Published(version=1 + len(published), rows=sum(each.rows for each in staged))
        return 1 + len(published)

    def refuse_damaged(self, table: Table) -> None:
        """Its tables are always whole."""

    def discard(self, table_id: str, staged: Sequence[Staged]) -> None:
        visible = {name for files in self.visible.get(table_id, {}).values() for name in files}
        for each in staged:
            for name in each.note["files"]:
                assert name not in visible, "a file with visible rows is being deleted"
                self.files.pop(name, None)

    def due(self, table: Table, specs: Sequence[IndexSpec]) -> MaintenanceNeeds:
        return MaintenanceNeeds(index=True, compaction=False)

    def index(
        self, table: Table, specs: Sequence[IndexSpec], progress: Callable[[float], None] = lambda share: None
    ) -> int:
        self.hook("index")
        return 1 + len(self.visible.get(table.id, {}))

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("this engine lives in one process")


if TYPE_CHECKING:

    class _EngineInMemory(MemoryEngine, MaintainableEngine):
        """Here mypy tells when what is above doesn't agree with the protocol any more."""
