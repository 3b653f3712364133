"""How many exports a collection may have at a time, and which of those with one target may write or delete there.

Files of exports have the same names in each: of two exports with one target, one would overwrite or delete what is
the other's. So a target belongs to one export at a time: to one that is unfinished, to an aborted one until its files
are deleted, and to a failed or completed one for its files. One that failed before it was planned has none.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from penstock.catalog.db import tables
from penstock.domain.exports import ExportJob, ExportState
from penstock.errors import CollectionNotFound, JobStateConflict, LimitExceeded

_TARGET = 0x70656E78
"""PostgreSQL advisory lock, with the hash of the target: one change of who has it at a time."""

_export = tables.export.c
_IN_USE = or_(_export.finished_at.is_(None), _export.has_files.is_(True))
"""An export writes into its target, or its files there are to be deleted."""
_HAS_BEEN_USED = or_(_IN_USE, and_(_export.state != ExportState.ABORTED.value, _export.version.is_not(None)))


def admit_new(connection: Connection, export: ExportJob, most: int) -> dict[str, Any]:
    """Check that a new export may begin; returns the present name and database of its collection, by column.

    Raises:
        CollectionNotFound: the collection was dropped.
        LimitExceeded: it has ``most`` unfinished exports.
        JobStateConflict: the target is in use.
    """
    names = _admit(connection, export, most)
    _refuse_if(connection, export, _IN_USE)
    return names


def admit_retry(connection: Connection, export: ExportJob, most: int) -> dict[str, Any]:
    """Check that a failed export may go on, as :func:`admit_new`; a later one must not have begun in its target."""
    names = _admit(connection, export, most)
    _refuse_if(connection, export, _IN_USE)
    if _is_any(connection, export, _export.id > export.id, _HAS_BEEN_USED):
        raise JobStateConflict(
            f"a later export has used {export.request.target!r}, and its files have the same names. Create a new "
            "export, into another folder",
            job_id=export.id,
        )
    return names


def may_delete(connection: Connection, export: ExportJob) -> bool:
    """Whether what is in the target of an export that ends now is its own: no later one has begun there."""
    _lock_target(connection, export)
    return not _is_any(connection, export, _export.id > export.id, _HAS_BEEN_USED)


def _admit(connection: Connection, export: ExportJob, most: int) -> dict[str, Any]:
    """Check the limit of the collection. Concurrent exports of it wait for its lock until this one is counted."""
    collection, database = tables.collection.c, tables.database.c
    locked = connection.execute(
        select(collection.name, collection.database_id, database.name.label("database"))
        .join(tables.database, database.id == collection.database_id)
        .where(collection.id == export.collection_id, collection.dropped_at.is_(None))
        .with_for_update(key_share=True, of=tables.collection)
    ).one_or_none()
    if locked is None:
        raise CollectionNotFound(f"collection {export.collection} dropped", collection=export.collection)
    live = connection.execute(
        select(func.count()).where(_export.collection_id == export.collection_id, _export.finished_at.is_(None))
    ).scalar_one()
    if live >= most:
        raise LimitExceeded(
            f"collection {export.collection} has {live} unfinished exports; the limit is {most}. "
            "Wait until one has ended, or abort one",
            limit="exports",
            value=most,
        )
    _lock_target(connection, export)
    return {"collection": locked.name, "database_id": locked.database_id, "database": locked.database}


def _refuse_if(connection: Connection, export: ExportJob, condition: ColumnElement[bool]) -> None:
    if _is_any(connection, export, condition):
        raise JobStateConflict(
            f"another export is writing into {export.request.target!r}, or its files there are being deleted. Wait "
            "until it has ended, or choose another folder",
            job_id=export.id,
        )


def _is_any(connection: Connection, export: ExportJob, *conditions: ColumnElement[bool]) -> bool:
    """Whether another export with the same target meets the conditions."""
    others = exists().where(_export.location == export.location, _export.id != export.id, *conditions)
    return bool(connection.execute(select(others)).scalar_one())


def _lock_target(connection: Connection, export: ExportJob) -> None:
    """Lock a target until the transaction ends. SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_TARGET, func.hashtext(export.location))))
