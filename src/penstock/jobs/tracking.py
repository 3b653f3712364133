"""How far a job is, in numbers that never fall: by bytes of its files, stage by stage."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from penstock.domain.jobs import FileState, ImportFile, Split, SplitState
from penstock.runners.base import TaskHandle

__all__ = ["COMMITTED", "INDEXED", "PLANNED", "UNCOMMITTED", "Tracker"]

PLANNED = 2
"""Percent of a job that is done once its plan is saved; reading the files takes it on to COMMITTED."""
COMMITTED = 90
INDEXED = 99
UNCOMMITTED = 99


@dataclass(slots=True)
class _Part:
    """One split, as far as it has come. ``rows`` and ``done`` bytes are the handle's while it runs."""

    split: Split
    handle: TaskHandle[object] | None = None
    done: int = 0
    rows: int = 0
    staged: bool = False


class Tracker:
    """Collects what splits report and turns it into figures for the job and each of its files. Thread-safe."""

    def __init__(self, files: Sequence[ImportFile], splits: Sequence[Split]) -> None:
        self._lock = threading.Lock()
        self._files = {each.ordinal: each for each in files}
        self._parts = {each.ordinal: _Part(each) for each in splits}
        self._of_file: Mapping[int, list[_Part]] = {each.ordinal: [] for each in files}
        for part in self._parts.values():
            self._of_file[part.split.file].append(part)
            if part.split.state is SplitState.STAGED:
                part.staged, part.done, part.rows = True, part.split.size, part.split.rows
        self._untold: list[int] = []
        """Files that failed since the last call of :meth:`figures`."""
        self._size = sum(each.size for each in splits)

    def running(self, split: Split, handle: TaskHandle[object]) -> None:
        with self._lock:
            self._parts[split.ordinal].handle = handle

    def staged(self, split: Split, rows: int) -> None:
        with self._lock:
            part = self._parts[split.ordinal]
            part.handle, part.staged, part.done, part.rows = None, True, split.size, rows

    def failed(self, file: int, reason: str) -> None:
        with self._lock:
            self._files[file] = replace(
                self._files[file], state=FileState.FAILED, reason=reason, finished_at=datetime.now(UTC)
            )
            self._untold.append(file)

    def figures(self) -> tuple[int, int, list[ImportFile]]:
        """Percent of the job, rows read, and the files that changed since the last call."""
        with self._lock:
            for part in self._parts.values():
                if part.handle is not None and not part.staged:
                    done, rows = part.handle.progress()
                    part.done, part.rows = min(max(part.done, done), part.split.size), max(part.rows, rows)
            done = sum(part.done for part in self._parts.values())
            share = done / self._size if self._size else 1.0
            rows = sum(part.rows for part in self._parts.values())
            return PLANNED + int((COMMITTED - PLANNED) * share), rows, self._changed_files()

    def rows_before(self, split: Split) -> int | None:
        """Rows of the file's splits before this one, or None while one of them hasn't been read to its end."""
        with self._lock:
            before = [part for part in self._of_file[split.file] if part.split.ordinal < split.ordinal]
            return sum(part.rows for part in before) if all(part.staged for part in before) else None

    def _changed_files(self) -> list[ImportFile]:
        changed = [self._files[ordinal] for ordinal in self._untold]
        self._untold.clear()
        for ordinal, file in self._files.items():
            parts = self._of_file[ordinal]
            if file.finished_at is not None:
                continue
            now = self._file_now(file, parts)
            if now != file:
                self._files[ordinal] = now
                changed.append(now)
        return changed

    def _file_now(self, file: ImportFile, parts: Sequence[_Part]) -> ImportFile:
        rows = sum(part.rows for part in parts)
        if all(part.staged for part in parts):
            return replace(
                file,
                state=FileState.COMPLETED,
                progress=100,
                rows=rows,
                total_rows=rows,
                finished_at=datetime.now(UTC),
            )
        size = sum(part.split.size for part in parts)
        done = sum(part.done for part in parts)
        if not done and all(part.handle is None for part in parts):
            return file
        return replace(
            file,
            state=FileState.IMPORTING,
            progress=min(99, int(100 * done / size) if size else 0),
            rows=rows,
            total_rows=max(file.total_rows, rows),
        )
