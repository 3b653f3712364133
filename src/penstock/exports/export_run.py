"""Run one export from its lease to its end: plan, write the parts, then the schema and the manifest.

Each part that is done is recorded in the catalog under the lease's fencing epoch: after a crash the next lease goes
on with the parts that are missing, and a process that lost its lease changes nothing there. All parts read one
version of the table, which its maintenance keeps until the export has ended.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import replace
from typing import Any

import structlog

from penstock.domain.collections import Collection
from penstock.domain.exports import MANIFEST_FILE, SCHEMA_FILE, ExportJob, ExportPart, ExportSnapshot, ExportState
from penstock.engines.base import MaintainableEngine
from penstock.engines.values import Snapshot, Table
from penstock.errors import (
    CatalogUnavailable,
    CollectionNotFound,
    JobNotFound,
    LeaseLost,
    PenstockError,
    TaskCancelled,
    Unsupported,
)
from penstock.exports.columns import exported_schema
from penstock.exports.context import ExportContext
from penstock.exports.manifest import manifest_file, schema_file
from penstock.exports.planner import plan_parts
from penstock.exports.tasks import PART_PREFIX, ExportTask, SnapshotTask, take_snapshot, write_part
from penstock.filters import parse
from penstock.imports.retry import retry_transient
from penstock.imports.throttle import Throttle
from penstock.runners.base import TaskHandle
from penstock.sources.targets import Target

log = structlog.get_logger(__name__)

_TICK = 0.2
_SAVE_SECONDS = 0.5
_REMEDY = "Retry the export when the cause is fixed; finished parts are kept"
_OWN = re.compile(rf"\.?{PART_PREFIX}\d{{5,}}-\d{{3,}}\.(parquet|jsonl|csv)(\.part)?")
_OWN_NAMES = {SCHEMA_FILE, MANIFEST_FILE, f".{SCHEMA_FILE}.part", f".{MANIFEST_FILE}.part"}


class ExportRun:
    """One leased export. ``stop`` is set when the process stops."""

    def __init__(self, context: ExportContext, export: ExportJob, stop: threading.Event) -> None:
        self._context = context
        self._export = export
        self._stop = stop
        self._exports = context.catalog.exports
        self._log = log.bind(export_id=str(export.id), collection=export.collection, database=export.database)
        self._runner = context.runner_of(context.catalog.clusters.get(export.cluster_id).org_id)
        self._halted = threading.Event()
        self._handles: dict[int, TaskHandle[Any]] = {}
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._saves = Throttle(_SAVE_SECONDS)

    def go(self) -> None:
        """Run it until it has ended, was aborted, or the process stops.

        Raises:
            CatalogUnavailable: the lease must be released, or expires.
        """
        try:
            self._work()
        except TaskCancelled:
            self._log.info("export.paused")
            self._exports.release(self._export)
        except LeaseLost:
            self._log.info("export.lease_lost")
            self._release_if_aborted()
        except CatalogUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the export ends with it as its reason
            self._fail(error)

    def _work(self) -> None:
        target = target_of(self._context, self._export)
        if self._export.state is ExportState.PENDING:
            self._retried(lambda: self._plan(target), "planning the export")
        snapshot = self._export.snapshot
        assert snapshot is not None
        self._write_parts(target, snapshot)
        parts = self._exports.parts(self._export.id)
        files = [file for part in parts for file in part.files or ()]
        schema = exported_schema(snapshot.schema, with_auto_ids=self._export.request.with_auto_ids)

        def write_notes() -> None:
            target.write(SCHEMA_FILE, schema_file(schema))
            target.write(MANIFEST_FILE, manifest_file(self._export, files))

        self._retried(write_notes, "writing the manifest")
        rows, size = sum(file.rows for file in files), sum(file.size for file in files)
        self._exports.end(
            self._export,
            ExportState.COMPLETED,
            progress=100,
            rows=rows,
            total_rows=rows,
            size=size,
            reason=None,
        )
        self._log.info("export.completed", rows=rows, size=size, files=len(files))

    def _plan(self, target: Target) -> None:
        collection, engine = self._collection()
        target.check_empty()
        partitions = self._partitions(collection)
        expiry = self._context.catalog.row_expiry.of(collection)
        task = SnapshotTask(
            engine=engine,
            table=Table.of(collection),
            by_partition=partitions is not None,
            memory_limit=self._context.settings.worker_memory,
        )
        taken: Snapshot = self._result(self._runner.submit(take_snapshot, task))
        snapshot = ExportSnapshot(
            version=taken.version,
            schema=collection.schema,
            expiry=expiry,
            timezone=collection.settings.timezone,
        )
        parts = plan_parts(taken.fragments, partitions, self._context.settings.split_bytes)
        self._export = self._exports.save_plan(self._export, snapshot, parts)

    def _collection(self) -> tuple[Collection, MaintainableEngine]:
        collection = self._context.catalog.collections.by_id(self._export.collection_id)
        if collection is None:
            raise CollectionNotFound(
                f"collection {self._export.collection} dropped", collection=self._export.collection
            )
        engine = self._context.engines.maintainable(collection)
        if engine is None:
            raise Unsupported(f"collections of the engine {collection.engine} can't be exported")
        return collection, engine

    def _partitions(self, collection: Collection) -> Mapping[int, str] | None:
        """The partitions that get a folder each; None where all rows go to the target itself.

        Raises:
            PartitionNotFound: one was dropped after the export was created.
        """
        if collection.schema.partition_key:
            return None
        names = self._export.request.partitions
        for name in names:
            self._context.catalog.collections.partition(collection.id, name)
        present = self._context.catalog.collections.partitions(collection.id)
        if not names and len(present) == 1:
            return None
        return {partition.number: partition.name for partition in present if not names or partition.name in names}

    # Parts

    def _write_parts(self, target: Target, snapshot: ExportSnapshot) -> None:
        parts = self._exports.parts(self._export.id)
        _, engine = self._collection()
        task = ExportTask(
            engine=engine,
            table=Table(
                id=self._export.collection_id,
                schema=snapshot.schema,
                version=snapshot.version,
                expiry=snapshot.expiry,
            ),
            schema=exported_schema(snapshot.schema, with_auto_ids=self._export.request.with_auto_ids),
            filter=parse(self._export.request.filter, snapshot.schema.in_timezone(snapshot.timezone)),
            part=ExportPart(ordinal=0, fragments=(), rows=0, size=0),
            format=self._export.request.format,
            target=target,
            memory_limit=self._context.settings.worker_memory,
        )
        done = {part.ordinal: part for part in parts if part.files is not None}
        queue = deque(part for part in parts if part.files is None)
        with ThreadPoolExecutor(max(1, len(queue)), "export-part") as threads:  # threads start on demand
            waiting: set[Future[ExportPart]] = set()
            try:
                while queue or waiting:
                    while queue and len(waiting) <= self._runner.slots:
                        part_task = replace(task, part=queue.popleft())
                        waiting.add(threads.submit(copy_context().run, self._write_part, part_task))
                    ended, waiting = wait(waiting, timeout=_TICK, return_when=FIRST_COMPLETED)
                    for future in ended:
                        part = future.result()
                        done[part.ordinal] = part
                    if self._saves.is_ready():
                        self._save_progress(parts, done)
                    if self._stop.is_set():
                        raise TaskCancelled("the server is stopping; the export resumes here after its restart")
            except BaseException:
                self._halt()
                raise

    def _write_part(self, task: ExportTask) -> ExportPart:
        def attempt() -> ExportPart:
            if self._halted.is_set():
                raise TaskCancelled("the export is stopping")
            handle = self._runner.submit(write_part, task)
            with self._lock:
                self._handles[task.part.ordinal] = handle
            if self._halted.is_set():
                handle.cancel()
            files = handle.future.result()
            self._exports.save_part(self._export, task.part.ordinal, files)
            return replace(task.part, files=tuple(files))

        part = retry_transient(
            attempt,
            f"exporting part {task.part.ordinal + 1}",
            self._context.settings,
            self._halted,
            self._show,
            _REMEDY,
        )
        self._reason = None
        return part

    def _save_progress(self, parts: Sequence[ExportPart], done: Mapping[int, ExportPart]) -> None:
        files = [file for part in done.values() for file in part.files or ()]
        rows, weight = sum(file.rows for file in files), 0.0
        with self._lock:
            running = {ordinal: handle.progress()[1] for ordinal, handle in self._handles.items()}
        for part in parts:
            if part.ordinal in done:
                weight += max(part.rows, 1)
            elif part.ordinal in running:
                rows += running[part.ordinal]
                weight += min(running[part.ordinal], part.rows)
        total = sum(max(part.rows, 1) for part in parts)
        progress = min(99, int(100 * weight / max(total, 1)))
        self._exports.save_progress(self._export, progress, rows, sum(file.size for file in files), self._reason)

    def _halt(self) -> None:
        self._halted.set()
        with self._lock:
            for handle in self._handles.values():
                handle.cancel()

    # The end

    def _fail(self, error: Exception) -> None:
        reason = str(error)
        if not isinstance(error, PenstockError):
            self._log.exception("export.error", exc_info=error)
            reason = f"internal error: {type(error).__name__}: {error}"
        elif self._context.catalog.collections.by_id(self._export.collection_id) is None:
            reason = f"collection {self._export.collection} dropped"
        try:
            self._exports.end(self._export, ExportState.FAILED, reason=reason)
        except LeaseLost:
            self._release_if_aborted()
            return
        self._log.warning("export.failed", reason=reason)

    def _release_if_aborted(self) -> None:
        """Release an export that was aborted while it ran here: no worker of it is left, so its files can be deleted.

        Not here, without a lease: once another process has deleted them, the target may be a new export's.
        """
        try:
            export = self._exports.get(self._export.cluster_id, self._export.id)
        except JobNotFound:
            return
        if export.has_files and export.epoch == self._export.epoch + 1:  # else the lease is another's
            self._exports.release(export)

    # Helpers

    def _retried(self, attempt: Any, doing: str) -> None:
        retry_transient(attempt, doing, self._context.settings, self._stop, self._show, _REMEDY)

    def _show(self, error: BaseException) -> None:
        self._reason = f"trying again after: {error}"

    def _result(self, handle: TaskHandle[Any]) -> Any:
        ended = threading.Event()
        handle.future.add_done_callback(lambda _: ended.set())
        while not ended.wait(_TICK):
            if self._stop.is_set():
                handle.cancel()
                raise TaskCancelled("the server is stopping")
        return handle.future.result()


def target_of(context: ExportContext, export: ExportJob) -> Target:
    """The target of an export, with its credentials. Raises as :meth:`ImportRoots.target`."""
    secret = context.catalog.exports.secret(export.id)
    roots = context.roots.within(export.roots, for_tenant=context.catalog.accounts.any_made())
    return roots.target(
        export.request.target, *(secret.get(key, "") for key in ("access_key", "secret_key", "token"))
    )


def delete_files(context: ExportContext, export: ExportJob, stop: threading.Event) -> None:
    """Delete the files of an aborted export; where the store keeps failing only log it, and leave them.

    When ``stop`` is set it is left to the next process.

    Raises:
        CatalogUnavailable: the files are still to be deleted.
    """
    folders = sorted({part.folder for part in context.catalog.exports.parts(export.id)})

    def attempt() -> None:
        if stop.is_set():
            raise TaskCancelled("the server is stopping")
        target_of(context, export).delete(folders, lambda name: name in _OWN_NAMES or bool(_OWN.fullmatch(name)))

    try:
        retry_transient(attempt, "deleting the export's files", context.settings, stop, lambda _: None, "")
    except TaskCancelled:
        context.catalog.exports.release(export)
        return
    except CatalogUnavailable:
        raise
    except PenstockError as error:
        log.warning("export.files_left", export_id=str(export.id), target=export.location, error=str(error))
    context.catalog.exports.deleted_files(export)
