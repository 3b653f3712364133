"""How far a job is, in numbers that never fall: by bytes of its files, stage by stage."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from penstock.domain.jobs import FileState, ImportFile, Part, Split, SplitState
from penstock.runners.base import TaskHandle

__all__ = ["COMMITTED", "INDEXED", "PLANNED", "UNCOMMITTED", "ProgressTracker"]

PLANNED = 2
"""Percent of a job that is done once its plan is saved; reading the files takes it on to COMMITTED."""
COMMITTED = 90
INDEXED = 99
UNCOMMITTED = 99


@dataclass(slots=True)
class _Progress:
    """One split, as far as it has come. ``rows`` and ``done`` bytes are the handle's while it runs."""

    split: Split
    part_rows: Sequence[int]
    handle: TaskHandle[object] | None = None
    done: int = 0
    rows: int = 0
    staged: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a part stands: in which split, as which of its parts, after how many of its bytes."""

    progress: _Progress
    number: int
    start: int

    @property
    def part(self) -> Part:
        return self.progress.split.parts[self.number]

    @property
    def done(self) -> int:
        return min(max(self.progress.done - self.start, 0), self.part.size)

    @property
    def rows(self) -> int:
        """What is known of them: while a split of several parts runs, it only tells the rows of all together."""
        progress = self.progress
        if progress.staged:
            return progress.part_rows[self.number]
        return progress.rows if len(progress.split.parts) == 1 else 0


class ProgressTracker:
    """Collects what splits report and turns it into figures for the job and each of its files. Thread-safe."""

    def __init__(self, files: Sequence[ImportFile], splits: Sequence[Split]) -> None:
        self._lock = threading.Lock()
        self._files = {file.ordinal: file for file in files}
        self._splits = {split.ordinal: _Progress(split, [part.rows for part in split.parts]) for split in splits}
        self._places: Mapping[int, list[_Place]] = {file.ordinal: [] for file in files}
        for progress in self._splits.values():
            start = 0
            for number, part in enumerate(progress.split.parts):
                self._places[part.file].append(_Place(progress, number, start))
                start += part.size
            if progress.split.state is SplitState.STAGED:
                progress.staged, progress.done, progress.rows = True, start, progress.split.rows
        self._running: dict[int, _Progress] = {}
        self._touched = set(self._files)
        """Files that may have changed since the last call of :meth:`snapshot`, beside those of running splits."""
        self._failed: list[int] = []
        self._size = sum(split.size for split in splits)
        self._staged_bytes = sum(split.done for split in self._splits.values())
        self._staged_rows = sum(split.rows for split in self._splits.values())

    def running(self, split: Split, handle: TaskHandle[object]) -> None:
        with self._lock:
            progress = self._splits[split.ordinal]
            progress.handle = handle
            self._running[split.ordinal] = progress

    def staged(self, split: Split, part_rows: Sequence[int]) -> None:
        with self._lock:
            progress = self._running.pop(split.ordinal, None) or self._splits[split.ordinal]
            progress.handle, progress.staged = None, True
            progress.done, progress.rows, progress.part_rows = split.size, sum(part_rows), part_rows
            self._staged_bytes += progress.done
            self._staged_rows += progress.rows
            self._touched.update(part.file for part in split.parts)

    def failed(self, file: int, reason: str) -> None:
        with self._lock:
            self._files[file] = replace(
                self._files[file], state=FileState.FAILED, reason=reason, finished_at=datetime.now(UTC)
            )
            self._failed.append(file)

    def snapshot(self) -> tuple[int, int, list[ImportFile]]:
        """Percent of the job, rows read, and the files that changed since the last call."""
        with self._lock:
            done, rows = self._staged_bytes, self._staged_rows
            for progress in self._running.values():
                if progress.handle is not None:
                    told_done, told_rows = progress.handle.progress()
                    progress.done = min(max(progress.done, told_done), progress.split.size)
                    progress.rows = max(progress.rows, told_rows)
                done += progress.done
                rows += progress.rows
                self._touched.update(part.file for part in progress.split.parts)
            share = done / self._size if self._size else 1.0
            return PLANNED + int((COMMITTED - PLANNED) * share), rows, self._changed_files()

    def row_offset(self, split: Split, number: int) -> int | None:
        """Rows of the file before this part of it, or None while what is before it hasn't been read to its end."""
        with self._lock:
            places = self._places[split.parts[number].file]
            here = (split.ordinal, number)
            before = [place for place in places if (place.progress.split.ordinal, place.number) < here]
            return sum(each.rows for each in before) if all(each.progress.staged for each in before) else None

    def current_range(self, split: Split) -> int:
        """Which part of a running split was being read when it was last heard of."""
        with self._lock:
            places = [each for part in split.parts for each in self._places[part.file]]
            here = [place for place in places if place.progress.split.ordinal == split.ordinal]
            return max((each.number for each in here if each.start <= each.progress.done), default=0)

    def name_of(self, file: int) -> str:
        return self._files[file].name

    def _changed_files(self) -> list[ImportFile]:
        changed = [self._files[ordinal] for ordinal in self._failed]
        self._failed.clear()
        for ordinal in sorted(self._touched):
            file = self._files[ordinal]
            if file.finished_at is not None:
                continue
            now = _file_now(file, self._places[ordinal])
            if now != file:
                self._files[ordinal] = now
                changed.append(now)
        self._touched.clear()
        return changed


def _file_now(file: ImportFile, places: Sequence[_Place]) -> ImportFile:
    rows = sum(place.rows for place in places)
    if all(place.progress.staged for place in places):
        return replace(
            file,
            state=FileState.COMPLETED,
            progress=100,
            rows=rows,
            total_rows=rows,
            finished_at=datetime.now(UTC),
        )
    done = sum(place.done for place in places)
    running = any(place.progress.handle is not None and len(place.progress.split.parts) == 1 for place in places)
    if not done and not running:
        return file
    size = sum(place.part.size for place in places)
    return replace(
        file,
        state=FileState.IMPORTING,
        progress=min(99, int(100 * done / size) if size else 0),
        rows=rows,
        total_rows=max(file.total_rows, rows),
    )
