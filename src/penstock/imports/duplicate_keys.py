"""Locate a key that two rows of a job have in the job's files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from penstock.domain.jobs import ImportFile, Split
from penstock.engines.values import DuplicateKey
from penstock.errors import DataError


def duplicate_key_error(
    duplicate: DuplicateKey, field: str, files: Sequence[ImportFile], splits: Sequence[Split]
) -> DataError:
    """The error for a job that may not have duplicates. ``splits`` are all of the job, staged, in order."""
    names = {file.ordinal: file.name for file in files}
    (earlier_file, earlier_row), (file, row) = (_place(splits, number) for number in duplicate.rows)
    earlier = f"row {earlier_row}" + ("" if file == earlier_file else f" of file {names[earlier_file]!r}")
    return DataError(
        f"the key is that of {earlier}, too",
        file=names[file],
        row=row,
        field=field,
        value=duplicate.key,
        remedy="Remove one of the rows, or choose with the option duplicates=first or last which of them stays",
    )


def _place(splits: Sequence[Split], number: int) -> tuple[int, int]:
    """The file, by its ordinal, and the row in it, of a row of the job."""
    before: defaultdict[int, int] = defaultdict(int)
    for split in splits:
        for file_range in split.ranges:
            if number < file_range.rows:
                return file_range.file, before[file_range.file] + number
            number -= file_range.rows
            before[file_range.file] += file_range.rows
    raise ValueError("the job has fewer rows")
