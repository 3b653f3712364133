"""From the paths of a request to files, splits and id ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from penstock.catalog.claims import PlannedFile, PlannedSplit
from penstock.domain.jobs import JobWarning, merge_warnings
from penstock.domain.schema import CollectionSchema
from penstock.jobs.requests import SourceKeys
from penstock.jobs.settings import JobSettings
from penstock.jobs.tasks import FilePlan, PlanTask
from penstock.readers.base import CsvOptions
from penstock.readers.formats import Format, detect, expand
from penstock.sources.base import Location
from penstock.sources.roots import ImportRoots

__all__ = ["Plan", "Unit", "locate_units", "plan_units"]

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
    run: Callable[[Sequence[PlanTask]], Iterable[list[FilePlan]]],
) -> Plan:
    """Cut located files into splits, in workers: they read headers and footers, which may be hostile.

    ``run`` runs the tasks on a runner and gives their results in order.
    """
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
                spec={"format": unit.format.value, "part": dict(each.spec)},
                size=each.size,
                auto_ids=each.max_rows if schema.auto_id else 0,
            )
            for number, (unit, plan) in enumerate(zip(units, plans, strict=True))
            for each in plan.splits
        ],
        warnings=merge_warnings([list(plan.warnings) for plan in plans]),
    )


def _planned_file(unit: Unit, plan: FilePlan) -> PlannedFile:
    return PlannedFile(
        name=unit.name,
        locations=[each.to_json() for each in unit.locations],
        size=sum(each.size for each in unit.locations),
        total_rows=sum(each.max_rows for each in plan.splits) if unit.format in _EXACT else 0,
    )
