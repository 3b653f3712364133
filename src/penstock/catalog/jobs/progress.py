"""Store the progress of a job, of its files and of its splits, in a transaction of the caller.

The statements are built once, every job needs them: building one takes longer than running it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, Connection, Integer, bindparam, case, func, null, update

from penstock.catalog.db import tables
from penstock.catalog.db.commit_hooks import write_at_commit
from penstock.catalog.db.connection import to_millis
from penstock.domain.jobs import ImportFile, JobWarning, SplitState


def raise_progress(
    connection: Connection, job_id: int, progress: int, rows: int, total_rows: int, stage: str
) -> None:
    """Store the figures of a job, which never fall."""
    figures = {"reached": progress, "read": rows, "of": total_rows, "at": stage}
    connection.execute(_RAISE_PROGRESS, {"job": job_id, **figures})


def save_staged_split(
    connection: Connection,
    job_id: int,
    ordinal: int,
    rows: Sequence[int],
    staged: Any,
    report: Any,
    warnings: Sequence[JobWarning],
) -> None:
    """Store what a split has staged, or the report of a dry run, and count the attempt."""
    row = {
        "job": job_id,
        "number": ordinal,
        "read": sum(rows),
        "new_part_rows": list(rows),
        "new_staged": staged,
        "new_report": report,
        "new_warnings": [warning.to_json() for warning in warnings] or None,
    }
    write_at_commit(connection, _update_splits, [row])


def _update_splits(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(_SAVE_SPLIT, rows)


def reset_splits(connection: Connection, job_id: int, ordinals: Sequence[int]) -> None:
    """Make staged splits Pending again."""
    split = tables.job_split.c
    if ordinals:
        connection.execute(
            update(tables.job_split)
            .where(split.job_id == job_id, split.ordinal.in_(ordinals))
            .values(state=SplitState.PENDING.value, rows=0, part_rows=null(), staged=null(), warnings=null())
        )


def save_files(connection: Connection, job_id: int, files: Sequence[ImportFile]) -> None:
    """Store the figures of files, which never fall."""
    rows = [
        {
            "job": job_id,
            "file": file.ordinal,
            "then": file.state.value,
            "percent": file.progress,
            "read": file.rows,
            "of": file.total_rows,
            "why": file.reason,
            "bad": file.rejected_rows,
            "facts": file.error,
            "ended": None if file.finished_at is None else to_millis(file.finished_at),
        }
        for file in files
    ]
    # One statement for all: a job of small files reports a thousand at a time.
    write_at_commit(connection, _update_files, rows)


def _update_files(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(_SAVE_FILE, rows)


def _greatest(column: Any, value: Any) -> Any:
    return case((column < value, value), else_=column)


_RAISE_PROGRESS = (
    update(tables.job)
    .where(tables.job.c.id == bindparam("job"))
    .values(
        progress=_greatest(tables.job.c.progress, bindparam("reached", type_=Integer)),
        rows=_greatest(tables.job.c.rows, bindparam("read", type_=BigInteger)),
        total_rows=_greatest(tables.job.c.total_rows, bindparam("of", type_=BigInteger)),
        stage=bindparam("at"),
    )
)

_SAVE_FILE = (
    update(tables.job_file)
    .where(tables.job_file.c.job_id == bindparam("job"), tables.job_file.c.ordinal == bindparam("file"))
    .values(
        state=bindparam("then"),
        progress=_greatest(tables.job_file.c.progress, bindparam("percent", type_=tables.job_file.c.progress.type)),
        rows=_greatest(tables.job_file.c.rows, bindparam("read", type_=tables.job_file.c.rows.type)),
        total_rows=_greatest(tables.job_file.c.total_rows, bindparam("of", type_=tables.job_file.c.total_rows.type)),
        reason=bindparam("why"),
        rejected_rows=_greatest(
            tables.job_file.c.rejected_rows, bindparam("bad", type_=tables.job_file.c.rejected_rows.type)
        ),
        error=bindparam("facts", type_=tables.job_file.c.error.type),
        finished_at=func.coalesce(
            bindparam("ended", type_=tables.job_file.c.finished_at.type), tables.job_file.c.finished_at
        ),
    )
)

_SAVE_SPLIT = (
    update(tables.job_split)
    .where(tables.job_split.c.job_id == bindparam("job"), tables.job_split.c.ordinal == bindparam("number"))
    .values(
        {
            "state": SplitState.STAGED.value,
            "attempts": tables.job_split.c.attempts + 1,
            "rows": bindparam("read", type_=BigInteger),
            **{
                name: bindparam(f"new_{name}", type_=JSON(none_as_null=True))
                for name in ("part_rows", "staged", "report", "warnings")
            },
        }
    )
)
