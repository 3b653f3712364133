"""Track the progress of a job, which never falls: by bytes of its files, weighted by step."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate

from penstock.domain.jobs import FileRange, FileState, ImportFile, Split, SplitState
from penstock.errors import facts_of
from penstock.runners.base import TaskHandle

PLANNED = 2
"""Percent of a job once its plan is saved; staging takes it to COMMITTED."""
COMMITTED = 90
INDEXED = 99
UNCOMMITTED = 99


@dataclass(slots=True)
class _SplitProgress:
    """Progress of one split. ``rows`` and ``done`` bytes come from the handle while it runs."""

    split: Split
    range_rows: Sequence[int]
    range_rejects: Sequence[int]
    handle: TaskHandle[object] | None = None
    done: int = 0
    rows: int = 0
    staged: bool = False


@dataclass(frozen=True, slots=True)
class _RangeProgress:
    """Progress of one file range: its split, its index there, and the bytes of the split before it."""

    progress: _SplitProgress
    number: int
    start: int

    @property
    def range(self) -> FileRange:
        return self.progress.split.ranges[self.number]

    @property
    def done(self) -> int:
        return min(max(self.progress.done - self.start, 0), self.range.size)

    @property
    def rows(self) -> int:
        """Rows read, as far as known: a running split of several file ranges reports only their total."""
        progress = self.progress
        if progress.staged:
            return progress.range_rows[self.number]
        return progress.rows if len(progress.split.ranges) == 1 else 0

    @property
    def rejected(self) -> int:
        """Rows of the range that were left out, once it is staged."""
        return self.progress.range_rejects[self.number] if self.progress.staged else 0


class ProgressTracker:
    """Aggregates the progress of splits for the job and each of its files. Thread-safe."""

    def __init__(self, files: Sequence[ImportFile], splits: Sequence[Split]) -> None:
        self._lock = threading.Lock()
        self._files = {file.ordinal: file for file in files}
        self._splits = {
            split.ordinal: _SplitProgress(
                split,
                [file_range.rows for file_range in split.ranges],
                [file_range.rejected for file_range in split.ranges],
            )
            for split in splits
        }
        self._ranges: Mapping[int, list[_RangeProgress]] = {file.ordinal: [] for file in files}
        for progress in self._splits.values():
            start = 0
            for number, file_range in enumerate(progress.split.ranges):
                self._ranges[file_range.file].append(_RangeProgress(progress, number, start))
                start += file_range.size
            if progress.split.state is SplitState.STAGED:
                progress.staged, progress.done, progress.rows = True, start, progress.split.rows
        self._running: dict[int, _SplitProgress] = {}
        self._touched = set(self._files)
        """Files that may have changed since the last call of :meth:`snapshot`."""
        self._failed: list[int] = []
        self._size = sum(split.size for split in splits)
        self._staged_bytes = sum(split.done for split in self._splits.values())
        self._staged_rows = sum(split.rows for split in self._splits.values())
        self._rejected: Counter[int] = Counter()
        """Rows of the staged splits that were left out, by file."""
        for progress in self._splits.values():
            if progress.staged:
                self._count_rejects(progress, 1)

    def running(self, split: Split, handle: TaskHandle[object]) -> None:
        with self._lock:
            progress = self._splits[split.ordinal]
            progress.handle = handle
            self._touched.update(file_range.file for file_range in split.ranges)
            self._running[split.ordinal] = progress

    def staged(self, split: Split, range_rows: Sequence[int], range_rejects: Sequence[int] = ()) -> None:
        with self._lock:
            progress = self._running.pop(split.ordinal, None) or self._splits[split.ordinal]
            progress.handle, progress.staged = None, True
            progress.done, progress.rows, progress.range_rows = split.size, sum(range_rows), range_rows
            progress.range_rejects = range_rejects or [0] * len(range_rows)
            self._staged_bytes += progress.done
            self._staged_rows += progress.rows
            self._count_rejects(progress, 1)
            self._touched.update(file_range.file for file_range in split.ranges)

    def unstaged(self, split: Split) -> None:
        """Count a staged split as one that is staged again."""
        with self._lock:
            progress = self._splits[split.ordinal]
            self._staged_bytes -= progress.done
            self._staged_rows -= progress.rows
            self._count_rejects(progress, -1)
            progress.staged, progress.done, progress.rows = False, 0, 0
            self._touched.update(file_range.file for file_range in split.ranges)

    def failed(self, file: int, error: BaseException) -> None:
        with self._lock:
            self._files[file] = replace(
                self._files[file],
                state=FileState.FAILED,
                reason=str(error),
                error=facts_of(error),
                finished_at=datetime.now(UTC),
            )
            self._failed.append(file)

    def skipped(self, file: ImportFile) -> None:
        """Take over the state of a file that is left out."""
        with self._lock:
            self._files[file.ordinal] = file

    @property
    def read_rows(self) -> int:
        """Rows of the files that are staged or rejected."""
        with self._lock:
            return self._staged_rows + self._rejected.total()

    def rejected_rows(self) -> Mapping[int, int]:
        """Rows of the staged splits that were left out, by file; without the files that have none.

        Counted as splits are staged: each split asks, and a job may have very many.
        """
        with self._lock:
            return +self._rejected

    def _count_rejects(self, progress: _SplitProgress, sign: int) -> None:
        for file_range, rejects in zip(progress.split.ranges, progress.range_rejects, strict=True):
            self._rejected[file_range.file] += sign * rejects

    def rows_of(self, file: int) -> int:
        """Rows of a file that are staged or rejected."""
        with self._lock:
            return sum(file_range.rows + file_range.rejected for file_range in self._ranges[file])

    def snapshot(self) -> tuple[int, int, list[ImportFile]]:
        """Percent of the job, rows read, and the files that changed since the last call."""
        with self._lock:
            done, rows = self._staged_bytes, self._staged_rows
            for progress in self._running.values():
                if progress.handle is not None:
                    done_bytes, done_rows = progress.handle.progress()
                    before = progress.done, progress.rows
                    progress.done = min(max(progress.done, done_bytes), progress.split.size)
                    progress.rows = max(progress.rows, done_rows)
                    if before != (progress.done, progress.rows):
                        self._touched.update(file_range.file for file_range in progress.split.ranges)
                done += progress.done
                rows += progress.rows
            share = done / self._size if self._size else 1.0
            return PLANNED + int((COMMITTED - PLANNED) * share), rows, self._changed_files()

    def empty_files(self) -> list[str]:
        """The names of the files that are completed and have no rows, in the order of the request."""
        with self._lock:
            files = [self._files[ordinal] for ordinal in sorted(self._files)]
        return [
            file.name
            for file in files
            if file.state is FileState.COMPLETED and not file.rows and not file.rejected_rows
        ]

    def row_offset(self, split: Split, number: int) -> int | None:
        """Rows of the file before this file range; None until all ranges before it are staged."""
        with self._lock:
            ranges = self._ranges[split.ranges[number].file]
            here = (split.ordinal, number)
            before = [
                file_range for file_range in ranges if (file_range.progress.split.ordinal, file_range.number) < here
            ]
            first = split.ranges[number].first_row
            if first is not None:
                return first
            return (
                sum(file_range.rows + file_range.rejected for file_range in before)
                if all(file_range.progress.staged for file_range in before)
                else None
            )

    def current_range(self, split: Split) -> int:
        """The index of the file range that a running split reported last."""
        with self._lock:
            progress = self._splits[split.ordinal]
            starts = accumulate((file_range.size for file_range in split.ranges[:-1]), initial=0)
            return max((number for number, start in enumerate(starts) if start <= progress.done), default=0)

    def name_of(self, file: int) -> str:
        return self._files[file].name

    def _changed_files(self) -> list[ImportFile]:
        changed = [self._files[ordinal] for ordinal in self._failed]
        self._failed.clear()
        for ordinal in sorted(self._touched):
            file = self._files[ordinal]
            if file.finished_at is not None:
                continue
            update = _updated_file(file, self._ranges[ordinal])
            if update != file:
                self._files[ordinal] = update
                changed.append(update)
        self._touched.clear()
        return changed


def _updated_file(file: ImportFile, ranges: Sequence[_RangeProgress]) -> ImportFile:
    rows = sum(file_range.rows for file_range in ranges)
    file = replace(file, rejected_rows=sum(file_range.rejected for file_range in ranges))
    if all(file_range.progress.staged for file_range in ranges):
        return replace(
            file,
            state=FileState.COMPLETED,
            progress=100,
            rows=rows,
            total_rows=rows,
            finished_at=datetime.now(UTC),
        )
    done = sum(file_range.done for file_range in ranges)
    running = any(
        file_range.progress.handle is not None and len(file_range.progress.split.ranges) == 1 for file_range in ranges
    )
    if not done and not running:
        return file
    size = sum(file_range.range.size for file_range in ranges)
    return replace(
        file,
        state=FileState.IMPORTING,
        progress=min(99, int(100 * done / size) if size else 0),
        rows=rows,
        total_rows=max(file.total_rows, rows),
    )
