"""From the paths of a request to files, splits and id ranges."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock.catalog.claims import PlannedFile, PlannedSplit
from penstock.domain.jobs import JobWarning, Split, SplitState, merge_warnings
from penstock.domain.schema import CollectionSchema, DataType
from penstock.errors import ImportRefused, LimitExceeded
from penstock.jobs.requests import SourceKeys
from penstock.jobs.settings import JobSettings
from penstock.jobs.tasks import FilePlan, PlanTask
from penstock.readers.base import CsvOptions
from penstock.readers.formats import Format, detect, expand
from penstock.sources.base import Location
from penstock.sources.roots import ImportRoots

__all__ = ["Plan", "Unit", "check_unit", "keep_staged", "locate_units", "plan_units"]

_FILES_PER_TASK = 64
_EXACT = frozenset({Format.PARQUET, Format.NUMPY})
"""Formats that tell their number of rows without being read."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The files that make up the same rows, and their format."""

    locations: Sequence[Location]
    format: Format

    @property
    def name(self) -> str:
        return " ".join(each.name for each in self.locations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    files: Sequence[PlannedFile]
    splits: Sequence[PlannedSplit]
    warnings: Sequence[JobWarning]

    @property
    def size(self) -> int:
        return sum(each.size for each in self.files)


def locate_units(groups: Sequence[Sequence[str]], roots: ImportRoots, keys: SourceKeys) -> list[Unit]:
    """Find every file of a request.

    Raises:
        FileMissing, PathNotAllowed, FileUnreadable, SourceUnavailable: for the first path that can't be had.
        ImportRefused: a folder holds files that can't be imported together.
    """
    units = []
    for group in groups:
        found = [(path, roots.locate(path, keys.access_key, keys.secret_key, keys.token)) for path in group]
        for members in expand(found):
            units.append(Unit(members, detect([each.name for each in members])))
    return units


def plan_units(
    units: Sequence[Unit],
    schema: CollectionSchema,
    csv: CsvOptions,
    settings: JobSettings,
    partition: int | None,
    run: Callable[[Sequence[PlanTask]], Iterable[list[FilePlan]]],
) -> Plan:
    """Cut located files into splits, in workers: they read headers and footers, which may be hostile.

    ``partition`` is where all rows go, None where a partition key tells it row by row. ``run`` runs the tasks on a
    runner and gives their results in order.

    Raises:
        LimitExceeded: a file, or all of them together, are larger than the settings allow.
        DataError, SourceError: for the first file that can't be planned; it names the file.
    """
    _check_sizes(units, settings)
    tasks = [
        PlanTask(
            files=[(unit.locations, unit.format) for unit in units[start : start + _FILES_PER_TASK]],
            schema=schema,
            csv=csv,
            split_bytes=settings.split_bytes,
            batch_bytes=settings.batch_bytes,
        )
        for start in range(0, len(units), _FILES_PER_TASK)
    ]
    plans = [plan for chunk in run(tasks) for plan in chunk]
    return Plan(
        files=[_planned_file(unit, plan) for unit, plan in zip(units, plans, strict=True)],
        splits=[
            PlannedSplit(
                file=number,
                spec={"format": unit.format.value, "part": dict(each.spec), "partition": partition},
                size=each.size,
                auto_ids=each.max_rows if schema.auto_id else 0,
            )
            for number, (unit, plan) in enumerate(zip(units, plans, strict=True))
            for each in plan.splits
        ],
        warnings=merge_warnings([list(plan.warnings) for plan in plans]),
    )


def keep_staged(
    plan: Plan, files: Mapping[int, Sequence[Mapping[str, Any]]], splits: Sequence[Split]
) -> tuple[Plan, Sequence[Split]]:
    """The plan of a job that has been planned before, with what it may keep; and the staged splits it can't.

    A split is kept when its file hasn't changed and it is the same part of it. ``files`` are the earlier plan's
    locations by ordinal, ``splits`` its splits.
    """
    staged = {_identity(files[each.file], each.spec): each for each in splits if each.state is SplitState.STAGED}
    kept: set[int] = set()

    def found(split: PlannedSplit) -> int | None:
        earlier = staged.get(_identity(plan.files[split.file].locations, split.spec))
        if earlier is None or earlier.ordinal in kept:  # a file that is named twice is imported twice
            return None
        kept.add(earlier.ordinal)
        return earlier.ordinal

    again = [replace(split, kept=found(split)) for split in plan.splits]
    missing = {split.file for split in again if split.kept is None}
    ordinals: dict[str, list[int]] = {}
    for ordinal, locations in sorted(files.items(), reverse=True):
        ordinals.setdefault(_text(locations), []).append(ordinal)
    same = [ordinals.get(_text(file.locations)) for file in plan.files]
    whole = [
        replace(file, kept=earlier.pop() if earlier else None, whole=number not in missing)
        for number, (file, earlier) in enumerate(zip(plan.files, same, strict=True))
    ]
    lost = [each for each in staged.values() if each.ordinal not in kept]
    return replace(plan, files=whole, splits=again), lost


def _identity(locations: Sequence[Mapping[str, Any]], spec: Mapping[str, Any]) -> str:
    return _text([*locations, spec])


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=dict)


def _check_sizes(units: Sequence[Unit], settings: JobSettings) -> None:
    for unit in units:
        for each in unit.locations:
            _check_file_size(each, settings)
    size = sum(each.size for unit in units for each in unit.locations)
    if settings.max_job_bytes is not None and size > settings.max_job_bytes:
        raise LimitExceeded(
            f"the files of this job have {size:,} bytes; one job may have {settings.max_job_bytes:,} "
            "(max_job_bytes). Import them by several jobs",
            limit="max_job_bytes",
            value=settings.max_job_bytes,
        )


def check_unit(unit: Unit, schema: CollectionSchema, settings: JobSettings) -> None:
    """What can be told of located files without opening them: their sizes, and whether a NumPy set is complete.

    Raises:
        LimitExceeded: a file is too large.
        ImportRefused: a set has not the files that the collection's fields need (``rule``: ``numpy_fields``).
    """
    for each in unit.locations:
        _check_file_size(each, settings)
    if unit.format is not Format.NUMPY:
        return
    needed = [
        each for each in schema.fields if not schema.is_generated(each) and not each.nullable and each.default is None
    ]
    structs = [each.name for each in needed if each.type is DataType.ARRAY_OF_STRUCT]
    if structs:
        raise ImportRefused(
            f"NumPy files hold no struct arrays, which the collection needs for {', '.join(structs)}: use Parquet, "
            "JSON, JSON Lines or CSV",
            rule="numpy_fields",
            fields=structs,
        )
    given = {each.name.rpartition("/")[2].rpartition(".")[0] for each in unit.locations}
    missing = [each.name for each in needed if each.name not in given]
    if missing:
        raise ImportRefused(
            f"the NumPy set has {len(given)} files and the collection {len(needed)} fields that need one; missing: "
            f"{', '.join(f'{name}.npy' for name in missing)}",
            rule="numpy_fields",
            missing=missing,
        )


def _check_file_size(location: Location, settings: JobSettings) -> None:
    """Raises LimitExceeded."""
    if settings.max_file_bytes is not None and location.size > settings.max_file_bytes:
        raise LimitExceeded(
            f"file {location.name!r} has {location.size:,} bytes; a file may have {settings.max_file_bytes:,} "
            "(max_file_bytes). Cut it into several files",
            limit="max_file_bytes",
            value=settings.max_file_bytes,
            file=location.name,
        )


def _planned_file(unit: Unit, plan: FilePlan) -> PlannedFile:
    return PlannedFile(
        name=unit.name,
        locations=[each.to_json() for each in unit.locations],
        size=sum(each.size for each in unit.locations),
        total_rows=sum(each.max_rows for each in plan.splits) if unit.format in _EXACT else 0,
    )
