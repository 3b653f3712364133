"""Worker tasks of exports: list the fragments of a snapshot, write a part. Everything here is picklable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock.domain.exports import ExportFile, ExportFormat, ExportPart
from penstock.domain.schema import META_FIELD, CollectionSchema
from penstock.engines.base import MaintainableEngine
from penstock.engines.values import Snapshot, Table
from penstock.exports.columns import exported_fields, file_batch, file_columns
from penstock.filters import Filter
from penstock.runners.base import TaskContext
from penstock.sources.targets import Target, sha256_of
from penstock.writers import open_chunk
from penstock.writers.base import ChunkFile, Layout
from penstock.writers.file_type import BulkFileType

PART_PREFIX = "part-"
_FILE_BYTES = 512 << 20
"""Arrow bytes of a file; the batch that exceeds them ends it."""
_FILE_TYPES = {
    ExportFormat.PARQUET: BulkFileType.PARQUET,
    ExportFormat.JSONL: BulkFileType.JSONL,
    ExportFormat.CSV: BulkFileType.CSV,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotTask:
    """A table to list the fragments of."""

    engine: MaintainableEngine
    table: Table
    by_partition: bool
    memory_limit: int | None = None


def take_snapshot(task: SnapshotTask, context: TaskContext) -> Snapshot:
    context.check()
    return task.engine.snapshot(task.table, by_partition=task.by_partition)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTask:
    """A part to write. ``table`` has the version and the schema of the snapshot, ``schema`` is the exported one."""

    engine: MaintainableEngine
    table: Table
    schema: CollectionSchema
    filter: Filter | None
    part: ExportPart
    format: ExportFormat
    target: Target
    memory_limit: int | None = None


def write_part(task: ExportTask, context: TaskContext) -> list[ExportFile]:
    """Write the rows of a part as files, whose names and content are the same in every attempt.

    A part without rows has no files.

    Raises:
        TableDamaged: the snapshot's version is no longer kept.
        StorageFull, StorageError, SourceUnavailable, FileUnreadable: reading the table or writing failed.
        TaskCancelled: no file remains that isn't complete.
    """
    fields = exported_fields(task.schema)
    names = [field.name for field in fields]
    if task.schema.dynamic:
        names.append(META_FIELD)
    layout = Layout(file_type=_FILE_TYPES[task.format], columns=file_columns(task.schema), chunk_bytes=_FILE_BYTES)
    batches = task.engine.scan(
        task.table,
        task.part.fragments,
        filter=task.filter,
        partitions=None if task.part.partition is None else [task.part.partition],
        columns=names,
    )
    files: list[ExportFile] = []
    read_bytes = read_rows = 0
    with task.target.writing(task.part.folder) as folder:
        rows, size = 0, 0
        with _chunks(layout, folder, task.part.ordinal) as chunks:
            for batch in batches:
                context.check()
                chunks.current.add(file_batch(batch, fields))
                rows += batch.num_rows
                size += batch.nbytes
                read_rows += batch.num_rows
                read_bytes += batch.nbytes
                context.report(read_bytes, read_rows)
                if size >= _FILE_BYTES:
                    files.append(_finished(task, chunks.finish(), rows))
                    rows, size = 0, 0
            if rows:
                files.append(_finished(task, chunks.finish(), rows))
    return files


def _finished(task: ExportTask, path: Path, rows: int) -> ExportFile:
    name = f"{task.part.folder}/{path.name}" if task.part.folder else path.name
    file = ExportFile(name=name, rows=rows, size=path.stat().st_size, sha256=sha256_of(path))
    task.target.deliver(path, name)
    return file


class _Chunks:
    """The files of a part, one after the other."""

    def __init__(self, layout: Layout, folder: Path, ordinal: int) -> None:
        self._layout, self._folder, self._ordinal = layout, folder, ordinal
        self._number = 0
        self._chunk: ChunkFile | None = None

    @property
    def current(self) -> ChunkFile:
        if self._chunk is None:
            name = f"{PART_PREFIX}{self._ordinal:05d}-{self._number:03d}"
            self._chunk = open_chunk(self._layout, self._folder, name)
        return self._chunk

    def finish(self) -> Path:
        [path] = self.current.finish()
        self._chunk = None
        self._number += 1
        return path

    def discard(self) -> None:
        if self._chunk is not None:
            self._chunk.discard()


@contextmanager
def _chunks(layout: Layout, folder: Path, ordinal: int) -> Iterator[_Chunks]:
    chunks = _Chunks(layout, folder, ordinal)
    try:
        yield chunks
    finally:
        chunks.discard()
