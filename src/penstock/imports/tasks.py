"""What workers do for a job: plan files, stage a split, build indexes. Everything here is picklable.

A task knows no catalog: it is given all it needs and returns only metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from penstock.domain.index import IndexSpec
from penstock.domain.jobs import JobWarning, merge_warnings
from penstock.domain.schema import CollectionSchema
from penstock.engines.base import Engine, Staged, Table
from penstock.errors import DataError, PenstockError, TaskCancelled, Transient
from penstock.imports.memory_budget import too_large
from penstock.imports.partition_columns import PartitionColumns, add_dynamic_values, with_values
from penstock.readers.base import BoundaryScan, CsvOptions, ReadRequest, SplitPlan
from penstock.readers.formats import Format, reader_for
from penstock.readers.unknown_columns import UnknownColumns
from penstock.runners.base import TaskContext
from penstock.runners.memory import limit_malloc_arenas, tune_malloc_reuse
from penstock.sources.base import Location
from penstock.sources.opening import open_source, unchanged
from penstock.validation import Conformer

__all__ = [
    "PROGRESS_SCALE",
    "BoundaryScanTask",
    "FilePlan",
    "IndexTask",
    "MaintenanceResult",
    "MaintenanceTask",
    "PartFailed",
    "PartTask",
    "PlanTask",
    "StageResult",
    "StageTask",
    "build_indexes",
    "check_decompression_bomb",
    "file_at",
    "init_worker",
    "maintain_table",
    "plan_files",
    "scan_range",
    "stage_split",
]


MAX_DECODE_RATIO = 1000
"""How often its own size a file may be once decoded. Vectors hardly compress; texts come to a hundred times."""
BOMB_CHECK_MIN_BYTES = 1 << 30
"""Bytes that any part of a file may decode to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTask:
    """Files to cut into splits: their locations (several for a NumPy set), format and partition columns."""

    files: Sequence[tuple[Sequence[Location], Format, PartitionColumns]]
    schema: CollectionSchema
    csv: CsvOptions
    split_bytes: int
    batch_bytes: int
    unknown_columns: UnknownColumns = UnknownColumns.DYNAMIC
    memory_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlan:
    """``splits``, or how to look through the file before it can be cut."""

    splits: Sequence[SplitPlan] | BoundaryScan
    warnings: Sequence[JobWarning]


def plan_files(task: PlanTask, context: TaskContext) -> list[FilePlan]:
    """One plan per file, in order.

    Raises:
        DataError, SourceError, MemoryExceeded: for the first file that can't be planned; it names the file.
    """
    plans = []
    for done, (locations, file_format, columns) in enumerate(task.files):
        context.check()
        request = ReadRequest(
            sources=[open_source(location) for location in locations],
            schema=with_values(task.schema, columns),
            batch_bytes=task.batch_bytes,
            csv=task.csv,
            unknown_columns=task.unknown_columns,
        )
        try:
            with unchanged(request.sources):
                splits = reader_for(file_format).plan(request, task.split_bytes)
        except DataError as error:
            raise explained(error, locations, task.schema) from error
        except MemoryError as error:
            raise too_large(_name_of(locations), task.memory_limit or 0) from error
        plans.append(FilePlan(splits=splits, warnings=merge_warnings([request.warnings])))
        context.report(done + 1, 0)
    return plans


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryScanTask:
    """One part of a file to look through."""

    location: Location
    scan: BoundaryScan
    span: tuple[int, int]
    memory_limit: int | None = None


def scan_range(task: BoundaryScanTask, context: TaskContext) -> Any:
    """What the survey has to know of the part.

    Raises:
        TaskCancelled, SourceError
    """

    def check(done: int) -> None:
        context.check()
        context.report(done, 0)

    source = open_source(task.location)
    with unchanged([source]):
        return task.scan.scan(source, task.span, check)


def file_at(task: PlanTask | BoundaryScanTask, done: int) -> str:
    """The file that a task was at when it reported ``done``."""
    return task.location.name if isinstance(task, BoundaryScanTask) else _name_of(task.files[done][0])


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTask:
    """A file, or a piece of one, within a split."""

    locations: Sequence[Location]
    format: Format
    spec: Mapping[str, Any]
    size: int
    columns: PartitionColumns = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTask:
    """A split to read, check and stage. ``partitions`` and ``auto_id_start`` are the Conformer's."""

    engine: Engine
    table: Table
    job_id: int
    parts: Sequence[PartTask]
    csv: CsvOptions
    batch_bytes: int
    partitions: Sequence[int]
    auto_id_start: int | None
    unknown_columns: UnknownColumns = UnknownColumns.DYNAMIC
    memory_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """``rows`` are those of each part."""

    staged: Staged
    rows: Sequence[int]
    warnings: Sequence[JobWarning]


class PartFailed(Exception):
    """The part of a split, by its place in it, that failed for good, and its error."""

    def __init__(self, part: int, error: PenstockError) -> None:
        super().__init__(part, error)
        self.part = part
        self.error = error


def stage_split(task: StageTask, context: TaskContext) -> StageResult:
    """Read the parts of a split once, batch by batch, and write them where only a publish makes them visible.

    Raises:
        PartFailed: a row breaks a rule, or a file can't be had or takes too much memory; ``row`` of the error counts
            within the part.
        TaskCancelled, SourceUnavailable, StoreError: nothing is left behind but what the engine says it leaves.
    """
    rows: list[int] = []
    warnings: list[list[JobWarning]] = []

    def batches() -> Iterator[pa.RecordBatch]:
        read_bytes = read_rows = 0
        for number, part in enumerate(task.parts):
            rows.append(0)
            try:
                for batch, part_bytes in _conformed(task, part, read_rows, warnings):
                    context.check()
                    rows[number] += batch.num_rows
                    yield batch
                    context.report(read_bytes + min(part_bytes, part.size), read_rows + rows[number])
            except PenstockError as error:
                if isinstance(error, TaskCancelled | Transient):
                    raise
                raise PartFailed(number, error) from error
            except MemoryError as error:
                raise PartFailed(number, too_large(_name_of(part.locations), task.memory_limit or 0)) from error
            read_bytes += part.size
            read_rows += rows[number]

    staged = task.engine.stage(task.table, task.job_id, batches())
    return StageResult(staged=staged, rows=rows, warnings=merge_warnings(warnings))


def _conformed(
    task: StageTask, part: PartTask, row_offset: int, warnings: list[list[JobWarning]]
) -> Iterator[tuple[pa.RecordBatch, int]]:
    """The canonical batches of one part, and how many of its bytes are read with each.

    Raises:
        DataError: a row breaks a rule; says what to do about it.
        SourceError: the file can't be had.
    """
    schema = with_values(task.table.schema, part.columns)
    request = ReadRequest(
        sources=[open_source(location) for location in part.locations],
        schema=schema,
        batch_bytes=task.batch_bytes,
        csv=task.csv,
        unknown_columns=task.unknown_columns,
    )
    ids = None if task.auto_id_start is None else task.auto_id_start + row_offset
    conformer = Conformer(schema, task.partitions, ids)
    decoded = 0
    try:
        with unchanged(request.sources):
            for batch in reader_for(part.format).read(request, part.spec):
                rows = conformer.conform(replace(batch, batch=add_dynamic_values(batch.batch, schema, part.columns)))
                decoded += rows.nbytes
                check_decompression_bomb(decoded, part.size)
                yield rows, batch.bytes_read
    except DataError as error:
        raise explained(error, part.locations, schema) from error
    warnings += [request.warnings, conformer.warnings]


def check_decompression_bomb(decoded: int, size: int) -> None:
    """Raises DataError: so many bytes come of so small a file, or part of one, that it must be meant as a bomb."""
    if decoded > max(BOMB_CHECK_MIN_BYTES, MAX_DECODE_RATIO * size):
        raise DataError(
            f"its {size:,} bytes decode to more than {MAX_DECODE_RATIO:,} times as many, "
            f"{decoded >> 20:,} MiB and more",
            remedy="A few bytes that stand for gigabytes would fill the disk. If they are meant, write the file "
            "without dictionaries and compression",
        )


def _name_of(locations: Sequence[Location]) -> str:
    return " ".join(location.name for location in locations)


def explained(error: DataError, locations: Sequence[Location], schema: CollectionSchema) -> DataError:
    """The error with its file, and with what to do about it where it doesn't say that itself."""
    names = error.file or _name_of(locations)
    return error.at(file=names, remedy=error.remedy or _remedy(error, schema))


def _remedy(error: DataError, schema: CollectionSchema) -> str:
    field = schema.get(error.field) if error.field else None
    if field is not None:
        kind = f"{field.type.value}({field.dim})" if field.dim else field.type.value
        return f"{field.name!r} is {kind}: correct the value, or leave the row out"
    if error.row is not None:
        return "Correct the row, or leave it out"
    return "Write the file again, or leave it out of the import"


PROGRESS_SCALE = 1000
"""What :func:`build_indexes` reports in place of bytes when it has done everything; thousandths of its work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexTask:
    engine: Engine
    table: Table
    specs: Sequence[IndexSpec]


def build_indexes(task: IndexTask, context: TaskContext) -> int:
    """Bring the table's indexes up to date; returns the table's version after it."""
    context.check()
    return task.engine.index(task.table, task.specs, lambda share: context.report(int(PROGRESS_SCALE * share), 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceTask:
    """Age in seconds and share of the live bytes bound old versions; see :meth:`Engine.expire_versions`."""

    engine: Engine
    table: Table
    old_version_retention: float
    old_version_share: float
    old_version_min_age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceResult:
    """The table's version afterwards, and the bytes of old versions that were removed."""

    version: int
    freed_bytes: int


def maintain_table(task: MaintenanceTask, context: TaskContext) -> MaintenanceResult:
    """Join small parts of the table, and remove its old versions and expired rows.

    Raises:
        StoreConflict: others kept changing the table meanwhile.
    """
    context.check()
    # Old versions first: those before the one that the catalog knew when the task was made.
    freed_bytes = task.engine.expire_versions(
        task.table, task.old_version_retention, task.old_version_share, task.old_version_min_age
    )
    context.check()
    task.engine.remove_expired(task.table)
    context.check()
    return MaintenanceResult(version=task.engine.compact(task.table), freed_bytes=freed_bytes)


def init_worker() -> None:
    """A worker's setup: the imports above loaded what tasks need; one allocator serves all, so that none hoards."""
    limit_malloc_arenas()
    pa.set_memory_pool(pa.system_memory_pool())
    tune_malloc_reuse()
