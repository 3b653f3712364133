"""Make the report of a dry run of what its splits have found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from penstock.domain.check_report import DuplicateKey, Estimate, KeyReport, Place, Problem, Report
from penstock.domain.jobs import FileRange, JobWarning, Split
from penstock.domain.schema import CollectionSchema
from penstock.errors import PenstockError
from penstock.imports.dry_run.key_spool import Duplicates, RowPlace
from penstock.imports.dry_run.report import Problems, problem_of_error
from penstock.imports.dry_run.task import SplitNote

ReadKeys = Callable[[Split, Sequence[int]], Sequence[str]]
"""Read the keys of some rows of a split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that a dry run has found: the names of its files by ordinal, their ``size`` together, the splits with their
    row counts, a note per split, the errors of files that couldn't be planned, and problems of files as a whole."""

    schema: CollectionSchema
    names: Mapping[int, str]
    size: int
    splits: Sequence[Split]
    notes: Mapping[int, SplitNote]
    errors: Mapping[int, PenstockError] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    warnings: Sequence[JobWarning] = ()


def report_of(
    findings: Findings,
    duplicates: Duplicates | None,
    read_keys: ReadKeys,
    *,
    workers: int,
    existing: tuple[int, Sequence[str]] | None = None,
) -> Report:
    """Make the report.

    Args:
        duplicates: None where the server generates the keys.
        read_keys: reads the keys of the few rows that the report shows.
        workers: how many splits ran at a time, and would in the import.
        existing: how many keys were looked up in the collection, and those that it holds.
    """
    rows_of = _RowNumbers(findings.splits, findings.names)
    problems = Problems()
    for ordinal, error in findings.errors.items():
        problems.add(problem_of_error(error, findings.names[ordinal]))
    problems.add_all(findings.problems)
    for split in findings.splits:
        for problem in findings.notes[split.ordinal].problems:
            problems.add(replace(problem, places=tuple(rows_of.locate(split, place) for place in problem.places)))
    keys = None
    if duplicates is not None:
        keys = _key_report(findings, duplicates, read_keys, rows_of)
        if existing is not None:
            keys = replace(
                keys, sampled=existing[0], existing=len(existing[1]), existing_values=tuple(existing[1][:10])
            )
    rows = sum(split.rows for split in findings.splits)
    return Report(
        files=len(findings.names),
        rows=rows,
        bad_rows=sum(note.bad_rows for note in findings.notes.values()),
        bytes=findings.size,
        problems=problems.list(),
        keys=keys,
        estimate=_estimate(findings.notes.values(), rows, workers),
        warnings=findings.warnings,
    )


def _estimate(notes: Collection[SplitNote], rows: int, workers: int) -> Estimate | None:
    """Extrapolate from the time of the workers, and from the sample that the engine stored."""

    measured = next((note.measured for note in notes if note.measured is not None), None)
    if measured is None or not measured.rows:
        return None
    reading = sum(note.seconds for note in notes)
    storing = measured.seconds / measured.rows * rows
    return Estimate(seconds=(reading + storing) / max(1, workers), disk=measured.size * rows // measured.rows)


def _key_report(findings: Findings, duplicates: Duplicates, read_keys: ReadKeys, rows_of: _RowNumbers) -> KeyReport:
    splits = {split.ordinal: split for split in findings.splits}
    wanted: dict[int, list[int]] = defaultdict(list)
    for duplicate in duplicates.first:
        wanted[duplicate.first.split].append(duplicate.first.row)
    values: dict[RowPlace, str] = {}
    for ordinal, numbers in wanted.items():
        numbers.sort()
        texts = read_keys(splits[ordinal], numbers)
        values |= {RowPlace(ordinal, row): text for row, text in zip(numbers, texts, strict=False)}
    return KeyReport(
        field=findings.schema.primary.name,
        duplicates=duplicates.rows,
        keys=duplicates.keys,
        first=tuple(
            DuplicateKey(
                value=values.get(duplicate.first, ""),
                count=duplicate.count,
                places=(rows_of.place(duplicate.first), rows_of.place(duplicate.second)),
            )
            for duplicate in duplicates.first
        ),
    )


class _RowNumbers:
    """Converts rows of a split, and of its file ranges, to rows of their files."""

    def __init__(self, splits: Sequence[Split], names: Mapping[int, str]) -> None:
        self._names = names
        self._splits = {split.ordinal: split for split in splits}
        self._offsets: dict[tuple[int, int], int] = {}
        rows: dict[int, int] = defaultdict(int)
        for split in splits:
            for number, file_range in enumerate(split.ranges):
                self._offsets[split.ordinal, number] = rows[file_range.file]
                rows[file_range.file] += file_range.rows

    def locate(self, split: Split, place: Place) -> Place:
        if place.range is None:
            return place
        row = None if place.row is None else place.row + self._offsets[split.ordinal, place.range]
        return replace(place, row=row, range=None)

    def place(self, row: RowPlace) -> Place:
        ranges: Sequence[FileRange] = self._splits[row.split].ranges
        ends = list(accumulate(file_range.rows for file_range in ranges))
        number = next(number for number, end in enumerate(ends) if row.row < end)
        start = ends[number] - ranges[number].rows
        return Place(file=self._names[ranges[number].file], row=row.row - start + self._offsets[row.split, number])
