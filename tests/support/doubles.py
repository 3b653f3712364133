"""An engine in memory and a runner in the caller's thread: jobs run for real on them, fast and one step at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from penstock.domain.index import IndexSpec, Metric
from penstock.domain.write_modes import APPEND, WriteMode, WriteOptions
from penstock.engines.base import Engine, MaintainableEngine
from penstock.engines.values import (
    DuplicateKey,
    EngineCapabilities,
    MaintenanceNeeds,
    Publication,
    Published,
    Reversal,
    Reverted,
    Staged,
    Table,
)
from penstock.errors import PenstockError, StorageError, TaskCancelled
from penstock.runners.base import TaskHandle
from tests.support.engines import published_singly

__all__ = ["HangingTask", "InlineRunner", "MemoryEngine", "NullContext"]

Hook = Callable[[str], None]
_Row = tuple[str, int]
"""A file, and the number of a row in it."""


class _Handle:
    def __init__(self, future: Future[Any]) -> None:
        self.future = future

    def progress(self) -> tuple[int, int]:
        return (0, 0)

    def cancel(self, grace: float | None = None) -> None:
        """It has ended already."""


class HangingTask:
    """The handle of a task that ends when it is cancelled, or when its future is set."""

    def __init__(self) -> None:
        self.future: Future[Any] = Future()

    def progress(self) -> tuple[int, int]:
        return (0, 0)

    def cancel(self, grace: float | None = None) -> None:
        if not self.future.done():
            self.future.set_exception(TaskCancelled("the task was cancelled"))


class NullContext:
    def report(self, done_bytes: int, done_rows: int) -> None:
        """Progress is not read."""

    def check(self) -> None:
        """Never cancelled."""


class InlineRunner:
    """Runs each task as it is submitted. Splits come one after the other."""

    slots = slots_per_task = 1

    def submit(self, function: Callable[[Any, Any], Any], argument: Any) -> TaskHandle[Any]:
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
    ``gone`` are rows that readers don't see any more and ``log`` the publishes and reverts, both by table; ``hook``
    is told each step before and after it.
    """

    def __init__(self) -> None:
        self.files: dict[str, list[int]] = {}
        self.visible: dict[str, dict[int, list[str]]] = {}
        self.gone: dict[str, set[_Row]] = {}
        self.replaced: dict[int, set[_Row]] = {}
        self.reverted: dict[int, Reverted] = {}
        self.versions: dict[str, int] = {}
        self.results: dict[int, Published] = {}
        self.log: dict[str, list[tuple[str, int]]] = {}
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
        """The ids of a job that are visible."""
        return [self.files[file][number] for file, number in self._rows(table_id, [job_id])]

    def _rows(self, table_id: str, jobs: Iterable[int]) -> list[_Row]:
        published, gone = self.visible.get(table_id, {}), self.gone.get(table_id, set())
        names = [name for job_id in jobs for name in published.get(job_id, [])]
        rows = [(name, number) for name in names for number in range(len(self.files[name]))]
        return [row for row in rows if row not in gone]

    def note(self, table_id: str = "") -> bytes | None:
        return self.notes.get(table_id)

    def save_note(self, content: bytes, table_id: str = "") -> None:
        self.notes[table_id] = content

    def create(self, table: Table) -> int:
        self.visible.setdefault(table.id, {})
        self.gone.setdefault(table.id, set())
        self.versions.setdefault(table.id, 1)
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

    def find_duplicate(self, table: Table, staged: Sequence[Staged]) -> DuplicateKey | None:
        keys = [key for each in staged for name in each.note["files"] for key in self.files[name]]
        for row, key in enumerate(keys):
            if key in keys[:row]:
                return DuplicateKey(key=key, rows=(keys.index(key), row))
        return None

    def publish(
        self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged], options: WriteOptions = APPEND
    ) -> Published:
        self.hook("publish")
        names = [name for each in staged for name in each.note["files"]]
        published = self.visible[table.id]
        if job_id not in published:
            for name in names:
                if name not in self.files:
                    raise StorageError(f"the staged file {name} is missing")
            keys = {key for name in names for key in self.files[name]}
            replaced = {
                (name, number)
                for name, number in self._rows(table.id, published)
                if options.mode is WriteMode.OVERWRITE
                or (options.mode is WriteMode.UPSERT and self.files[name][number] in keys)
            }
            self.gone[table.id] |= replaced
            self.replaced[job_id] = replaced
            published[job_id] = names
            self.log.setdefault(table.id, []).append(("publish", job_id))
            self.versions[table.id] += 1
            self.results[job_id] = Published(
                version=self.versions[table.id], rows=sum(each.rows for each in staged), replaced=len(replaced)
            )
        self.hook("published")
        return self.results[job_id]

    def publish_group(self, table: Table, jobs: Sequence[Publication]) -> Mapping[int, Published | PenstockError]:
        return published_singly(cast(Engine, self), table, jobs)

    def withdraw(self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged]) -> Published | int:
        return self.results[job_id] if job_id in self.visible[table.id] else self.versions[table.id]

    def check_revert(self, table: Table, job_id: int, reversal: Reversal) -> int:
        return reversal.published.rows - len(self._rows(table.id, [job_id]))

    def revert(self, table: Table, job_id: int, epoch: int, reversal: Reversal) -> Reverted | int:
        self.hook("revert")
        if job_id not in self.reverted:
            if (missing := self.check_revert(table, job_id, reversal)) != reversal.missing:
                return missing
            own, back = set(self._rows(table.id, [job_id])), self.replaced[job_id]
            self.gone[table.id] = (self.gone[table.id] | own) - back
            self.versions[table.id] += 1
            self.log[table.id].append(("revert", job_id))
            self.reverted[job_id] = Reverted(version=self.versions[table.id], removed=len(own), restored=len(back))
        self.hook("reverted")
        return self.reverted[job_id]

    def refuse_damaged(self, table: Table) -> None:
        """Its tables are always whole."""

    def discard(self, table_id: str, staged: Sequence[Staged]) -> None:
        visible = {name for files in self.visible.get(table_id, {}).values() for name in files}
        for each in staged:
            for name in each.note["files"]:
                assert name not in visible, "a file with visible rows is being deleted"
                self.files.pop(name, None)

    def due(self, table: Table, specs: Sequence[IndexSpec]) -> MaintenanceNeeds:
        return MaintenanceNeeds(
            version=self.versions.get(table.id, 1), index=True, compaction=False, optimization=False
        )

    def plan_distributed(self, table: Table, spec: IndexSpec, hosts: int) -> None:
        """A table in memory is indexed by one task."""

    def index(
        self,
        table: Table,
        specs: Sequence[IndexSpec],
        progress: Callable[[float], None] = lambda share: None,
        memory: int | None = None,
        kept: Collection[str] = (),
    ) -> int:
        self.hook("index")
        return self.versions.get(table.id, 1)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("this engine lives in one process")


if TYPE_CHECKING:

    class _EngineInMemory(MemoryEngine, MaintainableEngine):
        """Here mypy tells when what is above doesn't agree with the protocol any more."""
