"""The progress of a job's splits, added up for the job and each of its files."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.domain.jobs import FileRange, FileState, ImportFile, Split
from penstock.imports.progress import ProgressTracker


def split(ordinal: int, files: Sequence[int]) -> Split:
    return Split(ordinal=ordinal, ranges=tuple(FileRange(spec={}, size=10, file=file) for file in files))


def test_rejected_rows_are_counted_by_file_as_splits_are_staged_and_unstaged() -> None:
    first, second = split(0, [0, 1]), split(1, [1])
    tracker = ProgressTracker([ImportFile(ordinal=0, name="a"), ImportFile(ordinal=1, name="b")], [first, second])
    assert tracker.rejected_rows() == {}
    tracker.staged(first, [5, 6], [0, 2])
    tracker.staged(second, [7], [3])
    assert (tracker.rejected_rows(), tracker.read_rows) == ({1: 5}, 23)
    tracker.unstaged(first)
    assert (tracker.rejected_rows(), tracker.read_rows) == ({1: 3}, 10)
    tracker.staged(first, [5, 7], [1, 1])
    assert (tracker.rejected_rows(), tracker.read_rows) == ({0: 1, 1: 4}, 24)
    _, rows, files = tracker.snapshot()
    assert (rows, [(file.rows, file.rejected_rows) for file in files]) == (19, [(5, 1), (14, 4)])
    assert {file.state for file in files} == {FileState.COMPLETED}
