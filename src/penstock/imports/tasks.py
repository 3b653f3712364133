"""Worker tasks of imports: plan files, scan boundaries, stage a split. Everything here is picklable.

A task has no access to the catalog: its argument carries all it needs, and it returns only metadata.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pyarrow as pa

from penstock.domain.error_budget import ErrorPolicy
from penstock.domain.import_options import OnError
from penstock.domain.jobs import FileRange, JobWarning, Split, merge_warnings
from penstock.domain.schema import CollectionSchema
from penstock.engines.base import Engine
from penstock.engines.values import Staged, Table
from penstock.errors import DataError, MemoryExceeded, PenstockError, SourceError, TaskCancelled, Transient
from penstock.imports.checksums import ChecksumTask
from penstock.imports.column_mapping import ColumnMapping, Renamed
from penstock.imports.good_rows import BatchConformer, ConformedBatch
from penstock.imports.mapped_batches import MappedBatches
from penstock.imports.mapping_options import column_mapping_of
from penstock.imports.memory_budget import too_large
from penstock.imports.partition_columns import PartitionColumns, with_values
from penstock.imports.reject_files import (
    NOTHING_KEPT,
    FirstError,
    RejectCollector,
    RejectLimits,
    SplitRejects,
    name_of,
)
from penstock.readers.base import BoundaryScan, InputFile, ReadRequest, RejectedRow, plan_at_once
from penstock.readers.decompression_bombs import check_decompression_bomb
from penstock.readers.formats import format_named
from penstock.readers.unknown_columns import UnknownColumns
from penstock.runners.base import TaskContext
from penstock.runners.memory import limit_malloc_arenas, tune_malloc_reuse
from penstock.sources.base import Location
from penstock.sources.opening import open_source, unchanged
from penstock.validation import Conformer


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTask:
    """Input files to cut into file ranges. ``options`` are the job's import options. ``keeps_errors``: a file that
    can't be planned has its error in its plan, and the others are planned."""

    files: Sequence[InputFile]
    schema: CollectionSchema
    split_bytes: int
    batch_bytes: int
    options: Mapping[str, str]
    unknown_columns: UnknownColumns = UnknownColumns.DYNAMIC
    memory_limit: int | None = None
    keeps_errors: bool = False

    @property
    def group_bytes(self) -> int | None:
        return _local_bytes([location for file in self.files for location in file.locations])


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlan:
    """The ranges of a file, or the boundary scan that must come before cutting it; or why it can't be planned."""

    ranges: Sequence[FileRange] | BoundaryScan
    warnings: Sequence[JobWarning]
    error: PenstockError | None = None


def _local_bytes(locations: Sequence[Location]) -> int | None:
    """The bytes of files; None unless all are on local disks."""
    if not all(location.uri.startswith("file:") for location in locations):
        return None
    return sum(location.size for location in locations)


def plan_files(task: PlanTask, context: TaskContext) -> list[FilePlan]:
    """Plan each file, in order.

    Raises:
        DataError, SourceError, MemoryExceeded: for the first file that can't be planned, unless the task keeps
            errors; it names the file.
    """
    mapping = column_mapping_of(task.options, task.schema)
    plans = []
    for number, file in enumerate(task.files):
        context.check()
        try:
            plans.append(_plan_file(task, mapping, file))
        except (DataError, SourceError, MemoryExceeded) as error:
            if not task.keeps_errors or isinstance(error, Transient):
                raise
            plans.append(FilePlan(ranges=(), warnings=(), error=error))
        context.report(number + 1, 0)
    return plans


def _plan_file(task: PlanTask, mapping: ColumnMapping, file: InputFile) -> FilePlan:
    """Raises as :func:`plan_files`."""
    schema = with_values(task.schema, mapping.by_field(file.columns))
    request = _read_request(task, mapping, schema, file.locations, file.columns)
    try:
        with unchanged(request.sources):
            ranges = format_named(file.format).reader.plan(request, task.split_bytes)
    except DataError as error:
        raise explained(mapping.name_field(error), file.locations, task.schema) from error
    except MemoryError as error:
        raise too_large(file.name, task.memory_limit or 0) from error
    return FilePlan(ranges=ranges, warnings=merge_warnings([request.warnings]))


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryScanTask:
    """One byte span of a file for the boundary scan."""

    location: Location
    scan: BoundaryScan
    span: tuple[int, int]
    memory_limit: int | None = None


def scan_range(task: BoundaryScanTask, context: TaskContext) -> Any:
    """Run the boundary scan of one span.

    Raises:
        TaskCancelled, SourceError
    """

    def check(done: int) -> None:
        context.check()
        context.report(done, 0)

    source = open_source(task.location)
    with unchanged([source]):
        return task.scan.scan(source, task.span, check)


def file_at(task: PlanTask | BoundaryScanTask | ChecksumTask, done: int) -> str:
    """The file that a task was at when it reported ``done``: the last one where it had planned all of them."""
    return task.files[min(done, len(task.files) - 1)].name if isinstance(task, PlanTask) else task.location.name


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTask:
    """A split to read, check and stage.

    ``locations`` are those of its files, by ordinal; ``partitions`` those that rows may go to where no range names
    its own. ``options`` are the job's import options. Files of ``skipped`` ordinals are left out; ``reject_limits``
    bound what is kept of rejected rows.
    """

    engine: Engine
    table: Table
    job_id: int
    split: Split
    locations: Mapping[int, Sequence[Location]]
    partitions: Sequence[int]
    batch_bytes: int
    options: Mapping[str, str]
    unknown_columns: UnknownColumns = UnknownColumns.DYNAMIC
    memory_limit: int | None = None
    skipped: frozenset[int] = frozenset()
    reject_limits: RejectLimits = NOTHING_KEPT

    @property
    def group_bytes(self) -> int | None:
        decoded = sum(file_range.weight for file_range in self.split.ranges)
        local = _local_bytes([location for locations in self.locations.values() for location in locations])
        return None if local is None else max(local, decoded)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """The result of staging a split; ``rows`` are per file range, and so are those of ``rejects``, if it has any.

    ``first_errors`` are those of its first rejected rows, each with the number of its range.
    """

    staged: Staged
    rows: Sequence[int]
    warnings: Sequence[JobWarning]
    rejects: SplitRejects | None = None
    first_errors: Sequence[FirstError] = ()


class RangeFailed(Exception):
    """A permanent error, with the index of the file range in its split.

    ``others`` are those of further bad files in the split, where the job leaves bad files out.
    """

    def __init__(self, number: int, error: PenstockError, others: Sequence[RangeFailed] = ()) -> None:
        super().__init__(number, error, others)
        self.number = number
        self.error = error
        self.others = others


def stage_split(task: StageTask, context: TaskContext) -> StageResult:
    """Read, check and stage a split batch by batch; only a publish makes its rows visible.

    Rejected rows are written next to the table, also where the split fails.

    Raises:
        RangeFailed: a row breaks a rule, or more do than the job's budget allows, or a file can't be read or takes
            too much memory; ``row`` of the error counts within the file range.
        TaskCancelled, SourceUnavailable, StorageError: no files remain except those that the engine documents.
    """
    rows: list[int] = []
    warnings: list[list[JobWarning]] = []
    policy = ErrorPolicy.of(task.options)
    key = None if task.table.schema.auto_id else _key_column(task)
    collector = RejectCollector(task.split, policy, task.reject_limits, key)

    def batches() -> Iterator[pa.RecordBatch]:
        read_bytes = read_rows = 0
        for number, file_range in enumerate(task.split.ranges):
            rows.append(0)
            if file_range.file in task.skipped:
                continue
            with _naming_range(task, number):
                for batch in conformed(task, file_range, read_rows, warnings):
                    context.check()
                    rows[number] += batch.batch.num_rows
                    collector.add(number, batch.rejects)
                    yield batch.batch
                    context.report(read_bytes + min(batch.bytes_read, file_range.size), sum(rows))
            read_bytes += file_range.size
            # In a replay the numbers of rows have gaps.
            read_rows += file_range.only[-1] + 1 if file_range.only else rows[number] + collector.counts[number]

    try:
        staged = task.engine.stage(task.table, task.job_id, batches())
    except RangeFailed as failed:
        if policy.on_error is OnError.SKIP_FILE:
            raise RangeFailed(failed.number, failed.error, _other_bad_files(task, failed.number, context)) from failed
        _save_rejects(task, collector)
        raise
    try:
        rejects = _save_rejects(task, collector)
    except BaseException:
        task.engine.discard(task.table.id, [staged])
        raise
    return StageResult(
        staged=staged,
        rows=rows,
        warnings=merge_warnings(warnings),
        rejects=rejects,
        first_errors=collector.first,
    )


@contextmanager
def _naming_range(task: StageTask, number: int) -> Iterator[None]:
    """Raises RangeFailed in place of a permanent error of a file range."""
    try:
        yield
    except PenstockError as error:
        if isinstance(error, TaskCancelled | Transient):
            raise
        raise RangeFailed(number, error) from error
    except MemoryError as error:
        name = _name_of(task.locations[task.split.ranges[number].file])
        raise RangeFailed(number, too_large(name, task.memory_limit or 0)) from error


def _other_bad_files(task: StageTask, first: int, context: TaskContext) -> Sequence[RangeFailed]:
    """Read what follows the ``first`` bad file of a split, and return the errors of further ones.

    So that all of them are left out at once: the split would be staged again for each.
    """
    left_out = {*task.skipped, task.split.ranges[first].file}
    others: list[RangeFailed] = []
    for number, file_range in enumerate(task.split.ranges[first + 1 :], first + 1):
        if file_range.file in left_out:
            continue
        try:
            with _naming_range(task, number):
                for _ in conformed(task, file_range, 0, []):
                    context.check()
        except RangeFailed as failed:
            others.append(failed)
            left_out.add(file_range.file)
    return others


def _save_rejects(task: StageTask, collector: RejectCollector) -> SplitRejects | None:
    if not any(collector.counts):
        return None
    if not collector.kept:
        return SplitRejects(rows=collector.counts)
    content, name = collector.content(), name_of(task.split)
    task.engine.save_rejects(task.table.id, task.job_id, name, content)
    return SplitRejects(rows=collector.counts, kept=collector.kept, size=len(content), name=name)


def _key_column(task: StageTask) -> str:
    """The column of a file that has the primary key."""
    name = task.table.schema.primary.name
    source = column_mapping_of(task.options, task.table.schema).sources.get(name)
    return source.column if isinstance(source, Renamed) else name


class ReadTask(Protocol):
    """What reading and checking the file ranges of a split takes."""

    @property
    def table(self) -> Table: ...

    @property
    def split(self) -> Split: ...

    @property
    def locations(self) -> Mapping[int, Sequence[Location]]: ...

    @property
    def partitions(self) -> Sequence[int]: ...

    @property
    def batch_bytes(self) -> int: ...

    @property
    def options(self) -> Mapping[str, str]: ...

    @property
    def unknown_columns(self) -> UnknownColumns: ...


def conformed(
    task: ReadTask, file_range: FileRange, row_offset: int, warnings: list[list[JobWarning]]
) -> Iterator[ConformedBatch]:
    """Yield the canonical batches of one file range, with the rows that were left out.

    Raises:
        DataError: a row breaks a rule, or the file does where bad rows are skipped; has a remedy.
        SourceError: the file can't be read.
    """
    locations, columns = task.locations[file_range.file], file_range.columns
    mapping = column_mapping_of(task.options, task.table.schema)
    values = mapping.by_field(columns)
    schema = with_values(task.table.schema, values)
    request = _read_request(task, mapping, schema, locations, columns)
    partitions = task.partitions if file_range.partition is None else [file_range.partition]
    ids = None if task.split.auto_id_start is None else task.split.auto_id_start + row_offset
    steps = BatchConformer(
        schema=schema,
        values=values,
        mapping=mapping,
        mapped=MappedBatches(mapping, schema),
        conformer=Conformer(schema, partitions, ids),
        skips_bad_rows=request.skips_bad_rows,
        only=file_range.only,
    )
    decoded = 0
    try:
        with unchanged(request.sources):
            for batch in steps.batches(iter(format_named(file_range.format).reader.read(request, file_range.spec))):
                decoded += batch.batch.nbytes
                check_decompression_bomb(decoded, file_range.size)
                yield replace(batch, rejects=[_with_file(reject, locations, schema) for reject in batch.rejects])
    except DataError as error:
        error = explained(error, locations, schema)
        raise error.at(remedy=f"{error.remedy}{_NOT_A_ROW}") if request.skips_bad_rows else error from None
    warnings += [request.warnings, steps.mapped.warnings, steps.conformer.warnings]


def recorded_rows(task: ReadTask, file_range: FileRange) -> int | None:
    """How many rows the file of a range has by its own header or footer.

    None where its format doesn't record it, or the range is of some rows only.

    Raises:
        DataError: the file has changed, or is no longer what it was.
        SourceError: it can't be read.
    """
    spec = format_named(file_range.format)
    if not spec.counts_rows or file_range.only is not None:
        return None
    locations, columns = task.locations[file_range.file], file_range.columns
    mapping = column_mapping_of(task.options, task.table.schema)
    schema = with_values(task.table.schema, mapping.by_field(columns))
    request = _read_request(task, mapping, schema, locations, columns)
    with unchanged(request.sources):
        ranges = plan_at_once(spec.reader, request, sys.maxsize)
    return sum(file_range.max_rows for file_range in ranges)


def _with_file(reject: RejectedRow, locations: Sequence[Location], schema: CollectionSchema) -> RejectedRow:
    return replace(reject, errors=[explained(error, locations, schema) for error in reject.errors])


def _read_request(
    task: PlanTask | ReadTask,
    mapping: ColumnMapping,
    schema: CollectionSchema,
    locations: Sequence[Location],
    columns: PartitionColumns,
) -> ReadRequest:
    return ReadRequest(
        sources=[open_source(location) for location in locations],
        schema=mapping.source_schema(schema),
        batch_bytes=task.batch_bytes,
        options=task.options,
        unknown_columns=task.unknown_columns,
        excluded_columns=mapping.excluded,
        required_columns=mapping.required(columns),
        field_names=schema.names,
    )


def _name_of(locations: Sequence[Location]) -> str:
    return " ".join(location.name for location in locations)


def explained(error: DataError, locations: Sequence[Location], schema: CollectionSchema) -> DataError:
    """Add the file to an error, and a remedy where it has none."""
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


_NOT_A_ROW = ". The file as a whole can't be read, so on_error=skip_row doesn't help; skip_file leaves the file out"


def init_worker() -> None:
    """Set up a worker: the imports above preload what tasks need; one allocator for all avoids hoarding."""
    limit_malloc_arenas()
    pa.set_memory_pool(pa.system_memory_pool())
    tune_malloc_reuse()
