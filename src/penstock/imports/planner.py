"""Plan an import: resolve paths to input files and cut these into file ranges.

:mod:`penstock.imports.split_packing` makes splits of the ranges.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from penstock.catalog.jobs.plans import PlannedFile
from penstock.domain.jobs import JobWarning, Part, merge_warnings
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError, ImportRefused, LimitExceeded, shorten
from penstock.imports.delta_log import without_removed
from penstock.imports.partition_columns import partition_columns
from penstock.imports.requests import StoreCredentials
from penstock.imports.settings import JobSettings
from penstock.imports.tasks import (
    BoundaryScanTask,
    FilePlan,
    PlanTask,
    check_decompression_bomb,
    plan_files,
    scan_range,
)
from penstock.readers.base import CsvOptions, SplitPlan
from penstock.readers.formats import Format, detect, expand
from penstock.readers.unknown_columns import UnknownColumns
from penstock.runners.base import TaskContext
from penstock.sources.base import Location
from penstock.sources.roots import ImportRoots

__all__ = ["InputFile", "Plan", "PlannedRange", "check_input", "plan_units", "resolve_files"]

RunTasks: TypeAlias = Callable[[Callable[[Any, TaskContext], Any], Sequence[Any]], Iterable[Any]]
"""Map a function over tasks in workers; results in order."""

_FILES_PER_TASK = 64
_MAX_LISTED = 5
"""Side files listed in a warning."""
_EXACT = frozenset({Format.PARQUET, Format.NUMPY})
"""Formats whose metadata has the number of rows."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input: a file, or the files of a NumPy set, and the format."""

    locations: Sequence[Location]
    format: Format

    @property
    def name(self) -> str:
        return " ".join(location.name for location in self.locations)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRange:
    """A file range without a split yet: ``weight`` estimates its decoded bytes, ``max_rows`` bounds its rows."""

    part: Part
    weight: int
    max_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Input files, and their file ranges in order."""

    files: Sequence[PlannedFile]
    pieces: Sequence[PlannedRange]
    warnings: Sequence[JobWarning]


def resolve_files(
    groups: Sequence[Sequence[str]],
    roots: ImportRoots,
    keys: StoreCredentials,
    warnings: list[JobWarning] | None = None,
) -> list[InputFile]:
    """Resolve the paths of a request to input files; ``warnings`` collects those about its folders.

    Raises:
        FileMissing, PathNotAllowed, FileUnreadable, SourceUnavailable: for the first path that can't be resolved.
        ImportRefused: a folder holds files that can't be imported together.
    """
    units = []
    for group in groups:
        listings = [(path, _files_at(path, roots, keys, warnings)) for path in group]
        for members in expand(listings):
            units.append(InputFile(members, detect([member.name for member in members])))
    return units


def _files_at(
    path: str, roots: ImportRoots, keys: StoreCredentials, warnings: list[JobWarning] | None
) -> Sequence[Location]:
    """The file at a path, or the data files of a folder."""
    locations: Sequence[Location]
    locations, side_files = roots.scan(path, keys.access_key, keys.secret_key, keys.token)
    notes: list[JobWarning] = []
    if side_files:
        locations = without_removed(path, locations, side_files, roots, keys, notes)
        notes.append(JobWarning(code="side_files", message=_side_files_text(path, side_files)))
    if warnings is not None:
        warnings += notes
    return locations


def _side_files_text(path: str, names: Sequence[str]) -> str:
    listing = ", ".join(shorten(name, 100) for name in names[:_MAX_LISTED])
    more = f" and {len(names) - _MAX_LISTED:,} more" if len(names) > _MAX_LISTED else ""
    text = f"skipped side files of other programs in the folder {path!r}: {listing}{more}"
    if any(name.endswith("_temporary/") for name in names):
        text += ". The folder _temporary/ suggests that it is still being written"
    return text


def plan_units(
    units: Sequence[InputFile],
    schema: CollectionSchema,
    csv: CsvOptions,
    unknown_columns: UnknownColumns,
    settings: JobSettings,
    partition: int | None,
    run: RunTasks,
) -> Plan:
    """Cut input files into file ranges, in workers, since headers and footers may be hostile.

    Large text files get a boundary scan first, of all ranges in parallel.

    ``partition`` is where all rows go, None where a partition key decides per row. ``run`` maps a function over
    tasks on a runner and returns the results in order.

    Raises:
        LimitExceeded: a file, or all files together, are larger than the settings allow.
        DataError, SourceError: for the first file that can't be planned; it names the file.
    """
    _check_sizes(units, settings)
    _check_sets(units, schema)
    columns, column_warnings = partition_columns([unit.locations[0].name for unit in units], schema, unknown_columns)
    files = [(unit.locations, unit.format, values) for unit, values in zip(units, columns, strict=True)]
    tasks = [
        PlanTask(
            files=files[start : start + _FILES_PER_TASK],
            schema=schema,
            csv=csv,
            unknown_columns=unknown_columns,
            split_bytes=settings.split_bytes,
            batch_bytes=settings.batch_bytes,
            memory_limit=settings.worker_memory,
        )
        for start in range(0, len(units), _FILES_PER_TASK)
    ]
    plans = [plan for chunk in run(plan_files, tasks) for plan in chunk]
    splits = _cut(units, plans, run, settings.worker_memory)
    for unit, parts in zip(units, splits, strict=True):
        _check_expansion(unit, parts)
    return Plan(
        files=[_planned_file(unit, parts) for unit, parts in zip(units, splits, strict=True)],
        pieces=[
            PlannedRange(
                part=Part(
                    file=number,
                    spec={"format": unit.format.value, "part": dict(part.spec), "partition": partition}
                    | ({"columns": columns[number]} if columns[number] else {}),
                    size=part.size,
                ),
                weight=part.size if part.decoded_size is None else part.decoded_size,
                max_rows=part.max_rows,
            )
            for number, (unit, parts) in enumerate(zip(units, splits, strict=True))
            for part in parts
        ],
        warnings=merge_warnings([list(column_warnings), *(list(plan.warnings) for plan in plans)]),
    )


def _check_expansion(unit: InputFile, parts: Sequence[SplitPlan]) -> None:
    """Raises DataError for a decompression bomb, before memory is reserved for the rows that a file claims."""
    try:
        check_decompression_bomb(
            sum(part.size if part.decoded_size is None else part.decoded_size for part in parts),
            sum(location.size for location in unit.locations),
        )
    except DataError as error:
        raise error.at(file=unit.name) from None


def _cut(
    units: Sequence[InputFile], plans: Sequence[FilePlan], run: RunTasks, memory_limit: int | None
) -> list[Sequence[SplitPlan]]:
    """The file ranges of each file, after a parallel boundary scan of the files that need one."""
    tasks = [
        BoundaryScanTask(location=unit.locations[0], scan=plan.splits, span=span, memory_limit=memory_limit)
        for unit, plan in zip(units, plans, strict=True)
        if not isinstance(plan.splits, Sequence)
        for span in plan.splits.spans
    ]
    scan_results = iter(run(scan_range, tasks))
    return [
        plan.splits
        if isinstance(plan.splits, Sequence)
        else plan.splits.cut(list(islice(scan_results, len(plan.splits.spans))))
        for plan in plans
    ]


def _check_sizes(units: Sequence[InputFile], settings: JobSettings) -> None:
    for unit in units:
        for location in unit.locations:
            _check_file_size(location, settings)
    size = sum(location.size for unit in units for location in unit.locations)
    if settings.max_job_bytes is not None and size > settings.max_job_bytes:
        raise LimitExceeded(
            f"the files of this job have {size:,} bytes; the limit per job is {settings.max_job_bytes:,} "
            "(max_job_bytes). Import them in several jobs",
            limit="max_job_bytes",
            value=settings.max_job_bytes,
        )


def check_input(unit: InputFile, schema: CollectionSchema, settings: JobSettings) -> None:
    """Check input files without opening them: their sizes, and that a NumPy set is complete.

    Raises:
        LimitExceeded: a file is too large.
        ImportRefused: a set lacks files that the collection's fields need (``rule``: ``numpy_fields``).
    """
    for location in unit.locations:
        _check_file_size(location, settings)
    if unit.format is not Format.NUMPY:
        return
    needed = _needed_fields(schema)
    structs = [field.name for field in needed if field.type is DataType.ARRAY_OF_STRUCT]
    if structs:
        raise ImportRefused(
            f"NumPy files cannot hold struct arrays, which the collection requires for {', '.join(structs)}: use "
            "Parquet, JSON, JSON Lines or CSV",
            rule="numpy_fields",
            fields=structs,
        )
    names = _fields_of_set(unit)
    missing = [field.name for field in needed if field.name not in names]
    if missing:
        raise ImportRefused(
            f"the NumPy set has {len(names)} files and the collection {len(needed)} required fields; missing: "
            f"{', '.join(f'{name}.npy' for name in missing)}",
            rule="numpy_fields",
            missing=missing,
        )


def _check_sets(units: Sequence[InputFile], schema: CollectionSchema) -> None:
    """Raises ImportRefused where the files of one NumPy set are listed as separate inputs."""
    singles = [unit for unit in units if unit.format is Format.NUMPY and len(unit.locations) == 1]
    needed = {field.name for field in _needed_fields(schema)}
    all_fields: dict[str, None] = {}
    for unit in singles:
        fields = _fields_of_set(unit)
        if needed <= fields:
            return
        all_fields |= dict.fromkeys(fields)
    if len(singles) > 1 and needed <= all_fields.keys():
        names = ", ".join(json.dumps(unit.name) for unit in singles[:4])
        raise ImportRefused(
            f"each of the {len(singles)} NumPy files is in a separate list, and so a set of one field. Put the "
            f"files of a set into one list: [[{names}{', …' if len(singles) > 4 else ''}]]",
            rule="numpy_fields",
        )


def _needed_fields(schema: CollectionSchema) -> list[Field]:
    """The fields without which no row is valid."""
    return [
        field
        for field in schema.fields
        if not schema.is_generated(field) and not field.nullable and field.default is None
    ]


def _fields_of_set(unit: InputFile) -> set[str]:
    """The field names in the file names of a NumPy set."""
    return {location.name.rpartition("/")[2].rpartition(".")[0] for location in unit.locations}


def _check_file_size(location: Location, settings: JobSettings) -> None:
    """Raises LimitExceeded."""
    if settings.max_file_bytes is not None and location.size > settings.max_file_bytes:
        raise LimitExceeded(
            f"file {location.name!r} has {location.size:,} bytes; the limit per file is {settings.max_file_bytes:,} "
            "(max_file_bytes). Split it into several files",
            limit="max_file_bytes",
            value=settings.max_file_bytes,
            file=location.name,
        )


def _planned_file(unit: InputFile, splits: Sequence[SplitPlan]) -> PlannedFile:
    return PlannedFile(
        name=unit.name,
        locations=[location.to_json() for location in unit.locations],
        size=sum(location.size for location in unit.locations),
        total_rows=sum(split.max_rows for split in splits) if unit.format in _EXACT else 0,
    )
