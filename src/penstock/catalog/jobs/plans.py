"""Store the plan of a job: its files, and the splits that they are cut into.

A job that is planned again, as after a retry, keeps the splits that it staged under an earlier plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, insert, select

from penstock.catalog.db import tables
from penstock.domain.jobs import FileState, Part, SplitState

__all__ = ["PlannedFile", "PlannedSplit", "store_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """A file with its resolved locations (JSON without credentials).

    ``kept`` is the ordinal of the same file in an earlier plan of the job: its figures stay. ``whole``: all of its
    splits are kept.
    """

    name: str
    locations: Sequence[Mapping[str, Any]]
    size: int
    total_rows: int
    kept: int | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSplit:
    """A split; ``parts`` are its file ranges, ``auto_ids`` is how many ids to reserve for it.

    ``kept`` is the ordinal of the same split in an earlier plan of the job: its staged rows and ids stay.
    """

    parts: Sequence[Part]
    auto_ids: int
    kept: int | None = None


def store_plan(
    connection: Connection,
    job_id: int,
    files: Sequence[PlannedFile],
    splits: Sequence[PlannedSplit],
    start: int | None,
) -> None:
    """Replace a job's plan. ``start`` is the first of the ids reserved for new splits."""
    old_files = _rows_of(connection, tables.job_file, job_id)
    old_splits = _rows_of(connection, tables.job_split, job_id)
    for table in (tables.job_file, tables.job_split):
        connection.execute(delete(table).where(table.c.job_id == job_id))
    if files:
        connection.execute(
            insert(tables.job_file),
            [_new_file(job_id, ordinal, file, old_files) for ordinal, file in enumerate(files)],
        )
    if splits:
        connection.execute(insert(tables.job_split), list(_new_splits(job_id, splits, start, old_splits)))


def _rows_of(connection: Connection, table: Table, job_id: int) -> Mapping[int, Row[Any]]:
    rows = connection.execute(select(table).where(table.c.job_id == job_id)).all()
    return {row.ordinal: row for row in rows}


def _new_file(job_id: int, ordinal: int, file: PlannedFile, old_files: Mapping[int, Row[Any]]) -> dict[str, Any]:
    new: dict[str, Any] = {
        "job_id": job_id,
        "ordinal": ordinal,
        "name": file.name,
        "locations": [dict(location) for location in file.locations],
        "size": file.size,
        "state": FileState.PENDING.value,
        "progress": 0,
        "rows": 0,
        "total_rows": file.total_rows,
        "finished_at": None,
    }
    if file.kept is None:
        return new
    row = old_files[file.kept]
    new |= {"progress": min(row.progress, 99), "rows": row.rows, "total_rows": max(row.total_rows, file.total_rows)}
    if file.whole and row.state == FileState.COMPLETED.value:
        new |= {"state": row.state, "progress": 100, "finished_at": row.finished_at}
    return new


def _new_splits(
    job_id: int, splits: Sequence[PlannedSplit], start: int | None, old_splits: Mapping[int, Row[Any]]
) -> Iterator[dict[str, Any]]:
    for ordinal, split in enumerate(splits):
        new = {"job_id": job_id, "ordinal": ordinal, "parts": [part.to_json() for part in split.parts]}
        if split.kept is not None:
            row = old_splits[split.kept]
            yield new | {name: getattr(row, name) for name in _STAGED_SPLIT_COLUMNS}
            continue
        yield new | {
            "auto_id_start": start,
            "state": SplitState.PENDING.value,
            "attempts": 0,
            "rows": 0,
            "part_rows": None,
            "staged": None,
            "warnings": None,
        }
        if start is not None:
            start += split.auto_ids


_STAGED_SPLIT_COLUMNS = ("auto_id_start", "state", "attempts", "rows", "part_rows", "staged", "warnings")
