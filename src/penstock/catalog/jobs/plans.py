"""Store the plan of a job: its input files, and the splits that they are cut into.

A job that is planned again, as after a retry, keeps the splits that it staged under an earlier plan.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select

from penstock.catalog.db import tables
from penstock.catalog.db.commit_hooks import write_at_commit
from penstock.catalog.db.connection import now_millis
from penstock.catalog.jobs.loaded_files import identity_of
from penstock.domain.jobs import FileState, Split, SplitState
from penstock.errors import PenstockError, facts_of

if TYPE_CHECKING:  # the readers' libraries take longer to load than a command takes
    from penstock.readers.base import InputFile


def store_plan(
    connection: Connection,
    job_id: int,
    files: Sequence[InputFile],
    splits: Sequence[Split],
    start: int | None,
    errors: Mapping[int, PenstockError],
    *,
    is_first: bool,
) -> None:
    """Replace a job's plan. Splits that are staged are of the earlier plan, and so are their staged files.

    ``is_first``: there is no earlier one. A file that was in the earlier plan too keeps its figures. ``start`` is the
    first of the ids reserved for the splits that are not staged; None without automatic ids. ``errors`` are those of
    the files that are left out, by ordinal.
    """
    old_files = [] if is_first else connection.execute(_OLD_FILES, {"job": job_id}).all()
    if old_files:
        for table in (tables.job_file, tables.job_split):
            connection.execute(delete(table).where(table.c.job_id == job_id))
    write_at_commit(connection, _insert_files, list(_file_rows(job_id, files, splits, old_files, errors)))
    write_at_commit(connection, _insert_splits, list(_split_rows(job_id, splits, start)))


def _insert_files(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(_INSERT_FILES, rows)


def _insert_splits(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(_INSERT_SPLITS, rows)


# Built once, every job needs them.
_INSERT_FILES, _INSERT_SPLITS = insert(tables.job_file), insert(tables.job_split)
_OLD_FILES = select(tables.job_file).where(tables.job_file.c.job_id == bindparam("job"))


def _file_rows(
    job_id: int,
    files: Sequence[InputFile],
    splits: Sequence[Split],
    old_files: Sequence[Row[Any]],
    errors: Mapping[int, PenstockError],
) -> Iterator[dict[str, Any]]:
    old_rows: dict[str, list[Row[Any]]] = {}
    for row in sorted(old_files, key=lambda row: row.ordinal, reverse=True):
        old_rows.setdefault(_key(row.locations), []).append(row)
    pending = [split for split in splits if split.state is SplitState.PENDING]
    unstaged = {file_range.file for split in pending for file_range in split.ranges}
    for ordinal, file in enumerate(files):
        locations = [location.to_json() for location in file.locations]
        new = {
            "job_id": job_id,
            "ordinal": ordinal,
            "name": file.name,
            "locations": locations,
            "size": file.size,
            "state": FileState.PENDING.value,
            "progress": 0,
            "rows": 0,
            "total_rows": file.total_rows,
            "finished_at": None,
            "identity": identity_of(locations),
            "reason": None,
            "error": None,
            "rejected_rows": 0,
        }
        if (error := errors.get(ordinal)) is not None:
            now = now_millis()
            yield new | {
                "state": FileState.FAILED.value,
                "reason": str(error),
                "error": facts_of(error),
                "finished_at": now,
            }
            continue
        # Each row counts once: a file that is named twice is imported twice.
        if same := old_rows.get(_key(locations)) if old_rows else None:
            old = same.pop()
            total_rows = max(old.total_rows, file.total_rows)
            new |= {"progress": min(old.progress, 99), "rows": old.rows, "total_rows": total_rows}
            if ordinal not in unstaged and old.state == FileState.COMPLETED.value:
                new |= {"state": old.state, "progress": 100, "finished_at": old.finished_at}
                new |= {"rejected_rows": old.rejected_rows}
        yield new


def _key(locations: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(locations, sort_keys=True)


def _split_rows(job_id: int, splits: Sequence[Split], start: int | None) -> Iterator[dict[str, Any]]:
    for ordinal, split in enumerate(splits):
        is_staged = split.state is SplitState.STAGED
        yield {
            "job_id": job_id,
            "ordinal": ordinal,
            "parts": [file_range.to_json() for file_range in split.ranges],
            "part_rows": [file_range.rows for file_range in split.ranges] if is_staged else None,
            "auto_id_start": split.auto_id_start if is_staged else start,
            "state": split.state.value,
            "attempts": split.attempts,
            "rows": split.rows,
            "staged": split.staged,
            "warnings": [warning.to_json() for warning in split.warnings] or None,
        }
        if start is not None and not is_staged:
            start += split.max_rows
