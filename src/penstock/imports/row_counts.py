"""Count the rows of each file of a committed job: read, rejected, recorded by the file itself, in the collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.domain.jobs import FileRange, Split
from penstock.engines.base import MaintainableEngine
from penstock.engines.values import Staged, Table


@dataclass(slots=True, kw_only=True)
class FileRows:
    """The rows of one file.

    ``imported`` and ``rejected`` were read by staging. ``counted`` are in the collection, ``recorded`` is what the
    file itself says it has; None: unknown.
    """

    imported: int = 0
    rejected: int = 0
    counted: int | None = 0
    recorded: int | None = None

    @property
    def read(self) -> int:
        return self.imported + self.rejected

    def problems(self, name: str, *, leaves_out: bool) -> Iterator[str]:
        """What does not fit. ``leaves_out``: of rows with the same key the job publishes one, of whichever file."""
        if self.recorded not in (None, self.read):
            yield f"file {name!r} has {self.recorded:,} rows, {self.read:,} were read"
        if self.counted is not None and (
            self.counted > self.imported or (self.counted < self.imported and not leaves_out)
        ):
            yield f"file {name!r}: {self.counted:,} of its {self.imported:,} rows are in the collection"

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.imported,
            "rejectedRows": self.rejected,
            "recordedRows": self.recorded,
            "countedRows": self.counted,
        }


def count_rows(
    splits: Sequence[Split],
    staged: Sequence[Staged],
    engine: MaintainableEngine | None,
    table: Table,
    job_rows: int | None,
) -> Mapping[int, FileRows]:
    """The rows of each file of a published job, by its ordinal; ``job_rows`` of the job are in the table.

    ``staged`` is what each split has staged.

    The rows of a split lie in its files in the order of its ranges. Where a compaction has joined these with others,
    the rows that are left for such splits still show whether all or none of them are there.
    """
    files: dict[int, FileRows] = {}
    for split in splits:
        for file_range in split.ranges:
            rows = files.setdefault(file_range.file, FileRows())
            rows.imported += file_range.rows
            rows.rejected += file_range.rejected
    if engine is None or job_rows is None:
        for rows in files.values():
            rows.counted = None
        return files
    unknown: list[FileRange] = []
    runs = [[file_range.rows for file_range in split.ranges] for split in splits]
    for split, counts in zip(splits, engine.staged_rows(table, staged, runs), strict=True):
        if counts is None:
            unknown += [file_range for file_range in split.ranges if file_range.rows]
            continue
        for file_range, found in zip(split.ranges, counts, strict=True):
            _add(files[file_range.file], found)
            job_rows -= found
    complete = job_rows == sum(file_range.rows for file_range in unknown)
    for file_range in unknown:
        _add(files[file_range.file], file_range.rows if complete else 0 if job_rows == 0 else None)
    return files


def _add(rows: FileRows, found: int | None) -> None:
    rows.counted = None if found is None or rows.counted is None else rows.counted + found
