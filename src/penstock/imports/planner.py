"""Plan an import: resolve paths to input files and cut these into file ranges.

:mod:`penstock.imports.split_packing` makes splits of the ranges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeAlias

from penstock.domain.error_budget import ErrorPolicy
from penstock.domain.import_options import OnError
from penstock.domain.jobs import FileRange, JobWarning, merge_warnings
from penstock.domain.schema import CollectionSchema
from penstock.errors import DataError, LimitExceeded, PenstockError, shorten
from penstock.imports.checksums import ExpectedContent
from penstock.imports.delta_log import without_removed
from penstock.imports.manifests import resolve_manifest
from penstock.imports.mapping_options import column_mapping_of
from penstock.imports.partition_columns import partition_columns
from penstock.imports.requests import StoreCredentials
from penstock.imports.settings import JobSettings
from penstock.imports.tasks import (
    BoundaryScanTask,
    FilePlan,
    PlanTask,
    plan_files,
    scan_range,
)
from penstock.readers.base import InputFile
from penstock.readers.decompression_bombs import check_decompression_bomb
from penstock.readers.formats import FORMATS, format_named
from penstock.readers.input_files import expand
from penstock.readers.unknown_columns import UnknownColumns
from penstock.runners.base import TaskContext
from penstock.sources.base import Listing, ListingKind
from penstock.sources.manifests import is_manifest
from penstock.sources.roots import ImportRoots

RunTasks: TypeAlias = Callable[[Callable[[Any, TaskContext], Any], Sequence[Any]], Iterable[Any]]
"""Map a function over tasks in workers; results in order."""

_FILES_PER_TASK = 64
_MAX_LISTED = 5
"""Side files listed in a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Input files, and their file ranges in order; ``errors`` are those of files without ranges, by ordinal."""

    files: Sequence[InputFile]
    ranges: Sequence[FileRange]
    warnings: Sequence[JobWarning]
    errors: Mapping[int, PenstockError] = field(default_factory=dict)


def resolve_files(
    groups: Sequence[Sequence[str]],
    roots: ImportRoots,
    keys: StoreCredentials,
    warnings: list[JobWarning] | None = None,
    preset: str = "",
    expected: list[ExpectedContent] | None = None,
) -> list[InputFile]:
    """Resolve the paths of a request to input files; ``warnings`` collects those about its folders, ``expected`` the
    checksums of its manifests.

    ``preset`` is the import option ``from_format``.

    Raises:
        FileMissing, PathNotAllowed, FileUnreadable, SourceUnavailable: for the first path that can't be resolved.
        ImportRefused: a folder holds files that can't be imported together.
        LimitExceeded: a pattern or manifest has too many files.
        DataError: a manifest is malformed, or a file has not the size that it says.
    """
    listings = ([_listing(path, roots, keys, warnings, expected) for path in group] for group in groups)
    return [file for listing in listings for file in expand(listing, preset)]


def _listing(
    path: str,
    roots: ImportRoots,
    keys: StoreCredentials,
    warnings: list[JobWarning] | None,
    expected: list[ExpectedContent] | None,
) -> Listing:
    """The file at a path, the data files of a folder, the matches of a pattern, or the files of a manifest."""
    listing = roots.scan(path, keys.access_key, keys.secret_key, keys.token)
    if listing.kind is ListingKind.FILE and is_manifest(path):
        listing, checksums = resolve_manifest(listing.locations[0], roots, keys)
        if expected is not None:
            expected += checksums
    notes: list[JobWarning] = []
    if listing.side_files:
        locations = without_removed(listing.folder, listing.locations, listing.side_files, roots, keys, notes)
        if listing.kind is ListingKind.FOLDER:
            notes.append(JobWarning(code="side_files", message=_side_files_text(path, listing.side_files)))
        listing = replace(listing, locations=locations)
    if warnings is not None:
        warnings += notes
    return listing


def _side_files_text(path: str, names: Sequence[str]) -> str:
    listing = ", ".join(shorten(name, 100) for name in names[:_MAX_LISTED])
    more = f" and {len(names) - _MAX_LISTED:,} more" if len(names) > _MAX_LISTED else ""
    text = f"skipped side files of other programs in the folder {path!r}: {listing}{more}"
    if any(name.endswith("_temporary/") for name in names):
        text += ". The folder _temporary/ suggests that it is still being written"
    return text


def plan_ranges(
    files: Sequence[InputFile],
    schema: CollectionSchema,
    options: Mapping[str, str],
    settings: JobSettings,
    partition: int | None,
    run: RunTasks,
    *,
    keep_errors: bool = False,
) -> Plan:
    """Cut input files into file ranges, in workers, since headers and footers may be hostile.

    Large text files get a boundary scan first, of all spans in parallel.

    ``options`` are the job's import options. ``partition`` is where all rows go, None where a partition key decides
    per row. ``run`` maps a function over tasks on a runner and returns the results in order. With ``keep_errors``, or
    where the job leaves bad files out, the plan has the errors of the files that can't be planned, and the ranges of
    the others.

    Raises:
        LimitExceeded: a file, or all files together, are larger than the settings allow.
        ImportRefused: the files of one NumPy set are listed as inputs of their own, or the mapping is not valid.
        DataError, SourceError: for the first file that can't be planned; it names the file.
    """
    check_sizes(files, settings)
    keep_errors = keep_errors or ErrorPolicy.of(options).on_error is OnError.SKIP_FILE
    mapping = column_mapping_of(options, schema)
    source_schema = mapping.source_schema(schema)
    _check_sets(files, source_schema)
    unknown_columns = UnknownColumns.of(options)
    columns, column_warnings = partition_columns(
        [file.locations[0].name for file in files], source_schema, unknown_columns, mapping.excluded
    )
    files = [replace(file, columns=values) for file, values in zip(files, columns, strict=True)]
    tasks = [
        PlanTask(
            files=files[start : start + _FILES_PER_TASK],
            schema=schema,
            options=options,
            unknown_columns=unknown_columns,
            split_bytes=settings.split_bytes,
            batch_bytes=settings.batch_bytes,
            memory_limit=settings.worker_memory,
            keeps_errors=keep_errors,
        )
        for start in range(0, len(files), _FILES_PER_TASK)
    ]
    plans = [plan for results in run(plan_files, tasks) for plan in results]
    file_ranges = _cut(files, plans, run, settings.worker_memory)
    errors = {ordinal: plan.error for ordinal, plan in enumerate(plans) if plan.error is not None}
    for ordinal, (file, ranges) in enumerate(zip(files, file_ranges, strict=True)):
        try:
            _check_expansion(file, ranges)
        except DataError as error:
            if not keep_errors:
                raise
            errors[ordinal], file_ranges[ordinal] = error, []
    return Plan(
        files=[_with_total_rows(file, ranges) for file, ranges in zip(files, file_ranges, strict=True)],
        ranges=[
            replace(file_range, file=ordinal, format=file.format, columns=file.columns, partition=partition)
            for ordinal, (file, ranges) in enumerate(zip(files, file_ranges, strict=True))
            for file_range in ranges
        ],
        warnings=merge_warnings([list(column_warnings), *(list(plan.warnings) for plan in plans)]),
        errors=errors,
    )


def _check_expansion(file: InputFile, ranges: Sequence[FileRange]) -> None:
    """Raises DataError for a decompression bomb, before memory is reserved for the rows that a file claims."""
    try:
        check_decompression_bomb(sum(file_range.weight for file_range in ranges), file.size)
    except DataError as error:
        raise error.at(file=file.name) from None


def _cut(
    files: Sequence[InputFile], plans: Sequence[FilePlan], run: RunTasks, memory_limit: int | None
) -> list[Sequence[FileRange]]:
    """The ranges of each file, after a parallel boundary scan of the files that need one."""
    tasks = [
        BoundaryScanTask(location=file.locations[0], scan=plan.ranges, span=span, memory_limit=memory_limit)
        for file, plan in zip(files, plans, strict=True)
        if not isinstance(plan.ranges, Sequence)
        for span in plan.ranges.spans
    ]
    findings = iter(run(scan_range, tasks))
    return [
        plan.ranges
        if isinstance(plan.ranges, Sequence)
        else plan.ranges.cut(list(islice(findings, len(plan.ranges.spans))))
        for plan in plans
    ]


def _with_total_rows(file: InputFile, ranges: Sequence[FileRange]) -> InputFile:
    if not format_named(file.format).counts_rows:
        return file
    return replace(file, total_rows=sum(file_range.max_rows for file_range in ranges))


def check_sizes(files: Sequence[InputFile], settings: JobSettings) -> None:
    """Raises LimitExceeded: a file, or all files together, are larger than the settings allow."""
    for file in files:
        _check_file_size(file, settings)
    size = sum(file.size for file in files)
    if settings.max_job_bytes is not None and size > settings.max_job_bytes:
        raise LimitExceeded(
            f"the files of this job have {size:,} bytes; the limit per job is {settings.max_job_bytes:,} "
            "(max_job_bytes). Import them in several jobs",
            limit="max_job_bytes",
            value=settings.max_job_bytes,
        )


def _check_sets(files: Sequence[InputFile], schema: CollectionSchema) -> None:
    """Raises ImportRefused where the files of one set are listed as inputs of their own."""
    for spec in FORMATS:
        if spec.file_set is not None:
            spec.file_set.check_inputs([_names(file) for file in files if file.format == spec.name], schema)


def check_input(file: InputFile, schema: CollectionSchema, settings: JobSettings) -> None:
    """Check an input file without opening it: its size, and that a NumPy set is complete.

    Raises:
        LimitExceeded: a file is too large.
        ImportRefused: a set lacks files that the collection's fields need.
    """
    _check_file_size(file, settings)
    file_set = format_named(file.format).file_set
    if file_set is not None:
        file_set.check(_names(file), schema)


def _names(file: InputFile) -> list[str]:
    return [location.name for location in file.locations]


def _check_file_size(file: InputFile, settings: JobSettings) -> None:
    """Raises LimitExceeded."""
    for location in file.locations:
        if settings.max_file_bytes is not None and location.size > settings.max_file_bytes:
            raise LimitExceeded(
                f"file {location.name!r} has {location.size:,} bytes; the limit per file is "
                f"{settings.max_file_bytes:,} (max_file_bytes). Split it into several files",
                limit="max_file_bytes",
                value=settings.max_file_bytes,
                file=location.name,
            )
