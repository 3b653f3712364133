"""Export jobs in the catalog: insert, read, claim under a lease, plan, progress, end.

Every write of a worker is conditional on the fencing epoch of its lease, as for import jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, null, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from penstock.catalog.access.audit import note
from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, database_clock, from_millis, now_millis, to_millis
from penstock.catalog.db.encryption import Encryptor
from penstock.catalog.export_targets import admit_new, admit_retry, may_delete
from penstock.domain.audit import AuditEntry
from penstock.domain.exports import (
    ExportFile,
    ExportJob,
    ExportPart,
    ExportRequest,
    ExportSnapshot,
    ExportState,
)
from penstock.domain.ids import millis_of, new_id
from penstock.errors import JobNotFound, JobStateConflict, LeaseLost

_NAMES = [field.name for field in fields(ExportJob)]
_COLUMNS = [tables.export.c[name] for name in _NAMES]
_TIMES = ("created_at", "started_at", "finished_at")
_PART_COLUMNS = [column for column in tables.export_part.c if column.name != "export_id"]
_LIVE = (ExportState.PENDING.value, ExportState.EXPORTING.value)


class ExportRepository:
    """Insert, read, claim and end export jobs."""

    def __init__(self, database: CatalogDatabase, encryptor: Encryptor) -> None:
        self._database = database
        self._encryptor = encryptor

    def insert(
        self, export: ExportJob, secret: dict[str, str], most: int, audit: AuditEntry | None = None
    ) -> ExportJob:
        """Store a Pending export.

        Raises:
            CollectionNotFound: the collection was dropped.
            LimitExceeded: the collection has ``most`` unfinished exports.
            JobStateConflict: another export has the same target.
        """
        try:
            self._insert(export, secret, most, audit)
        except IntegrityError:  # another process has drawn the same id
            export_id = new_id()
            export = replace(export, id=export_id, created_at=from_millis(millis_of(export_id)))
            self._insert(export, secret, most, None if audit is None else replace(audit, job_id=export_id))
        return self.get(export.cluster_id, export.id)

    def _insert(self, export: ExportJob, secret: dict[str, str], most: int, audit: AuditEntry | None) -> None:
        values = {
            name: getattr(export, name) for name in _NAMES if name not in ("request", "snapshot", "roots", *_TIMES)
        }
        with self._database.write() as connection:
            names = admit_new(connection, export, most)
            connection.execute(
                insert(tables.export).values(
                    **{**values, **names},
                    request=export.request.to_json(),
                    roots=[list(roots) for roots in export.roots],
                    created_at=to_millis(export.created_at),
                )
            )
            self._keep_secret(connection, export.id, secret)
            if audit is not None:
                note(connection, audit)
            self._database.notify(connection)

    def get(self, cluster_id: str, export_id: int) -> ExportJob:
        """Look up an export. Raises JobNotFound, also for one of another cluster."""
        with self._database.read() as connection:
            row = connection.execute(
                select(*_COLUMNS).where(tables.export.c.id == export_id, tables.export.c.cluster_id == cluster_id)
            ).one_or_none()
        if row is None:
            raise JobNotFound(f"export does not exist, jobID={export_id}", job_id=export_id)
        return _export_of(row)

    def list(
        self, database_id: int, collection_id: str | None = None, before: int | None = None, limit: int = 100
    ) -> Sequence[ExportJob]:
        """The exports of a database or collection, newest first."""
        column = tables.export.c
        query = select(*_COLUMNS).where(column.database_id == database_id).order_by(column.id.desc()).limit(limit)
        if collection_id is not None:
            query = query.where(column.collection_id == collection_id)
        if before is not None:
            query = query.where(column.id < before)
        with self._database.read() as connection:
            return [_export_of(row) for row in connection.execute(query)]

    def parts(self, export_id: int) -> Sequence[ExportPart]:
        column = tables.export_part.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(*_PART_COLUMNS).where(column.export_id == export_id).order_by(column.ordinal)
            ).all()
        return [_part_of(row) for row in rows]

    def secret(self, export_id: int) -> dict[str, str]:
        with self._database.read() as connection:
            sealed = connection.execute(
                select(tables.job_secret.c.sealed).where(tables.job_secret.c.job_id == export_id)
            ).scalar_one_or_none()
        return {} if sealed is None else dict(self._encryptor.decrypt(sealed))

    def pinned_version(self, collection_id: str) -> int | None:
        """The oldest version of a collection's table that an unfinished export reads."""
        column = tables.export.c
        with self._database.read() as connection:
            return connection.execute(
                select(func.min(column.version)).where(
                    column.collection_id == collection_id, column.finished_at.is_(None)
                )
            ).scalar_one_or_none()

    # The lease

    def claim(self, owner: str, lease_millis: int) -> ExportJob | None:
        """Claim the oldest unfinished export without a lease; raises its fencing epoch."""
        return self._claim(owner, lease_millis, tables.export.c.state.in_(_LIVE))

    def claim_deletion(self, owner: str, lease_millis: int) -> ExportJob | None:
        """Claim an aborted export without a lease whose files are still to be deleted."""
        return self._claim(owner, lease_millis, tables.export.c.has_files.is_(True))

    def _claim(self, owner: str, lease_millis: int, condition: Any) -> ExportJob | None:
        column = tables.export.c
        with self._database.read() as connection:
            now = database_clock(connection)
            unleased = select(column.id).where(condition, or_(column.owner.is_(None), column.lease_until < now))
            if connection.execute(unleased.limit(1)).scalar_one_or_none() is None:
                return None
        with self._database.write() as connection:
            now = database_clock(connection)
            export_id = connection.execute(
                unleased.order_by(column.id).limit(1).with_for_update(skip_locked=True)
            ).scalar_one_or_none()
            if export_id is None:
                return None
            connection.execute(
                update(tables.export)
                .where(column.id == export_id)
                .values(
                    owner=owner,
                    lease_until=now + lease_millis,
                    epoch=column.epoch + 1,
                    started_at=func.coalesce(column.started_at, now),
                )
            )
            return _export_of(connection.execute(select(*_COLUMNS).where(column.id == export_id)).one())

    def renew(self, owner: str, lease_millis: int, claims: Collection[tuple[int, int]]) -> None:
        """Renew those of these leases (export id, epoch) that ``owner`` still holds."""
        column = tables.export.c
        with self._database.write(durable=False) as connection:
            connection.execute(
                update(tables.export)
                .where(column.owner == owner, tuple_(column.id, column.epoch).in_(sorted(claims)))
                .values(lease_until=database_clock(connection) + lease_millis)
            )

    def release(self, export: ExportJob) -> None:
        with self._database.write() as connection:
            connection.execute(_of_epoch(export).values(owner=None, lease_until=None))
            self._database.notify(connection)

    def release_all(self) -> None:
        """Void every lease: for a process that has just taken the exclusive lock on the data dir."""
        with self._database.write() as connection:
            connection.execute(
                update(tables.export).where(tables.export.c.owner.is_not(None)).values(owner=None, lease_until=None)
            )

    # Writes of the lease's owner; each raises LeaseLost

    def save_plan(self, export: ExportJob, snapshot: ExportSnapshot, parts: Sequence[ExportPart]) -> ExportJob:
        """Move an export from Pending to Exporting, with its parts."""
        with self._database.write() as connection:
            _require(
                connection.execute(
                    _of_epoch(export, ExportState.PENDING).values(
                        state=ExportState.EXPORTING.value,
                        snapshot=snapshot.to_json(),
                        version=snapshot.version,
                        total_rows=sum(part.rows for part in parts),
                        reason=None,
                    )
                ).rowcount,
                export,
            )
            connection.execute(delete(tables.export_part).where(tables.export_part.c.export_id == export.id))
            if parts:
                connection.execute(
                    insert(tables.export_part),
                    [
                        {
                            "export_id": export.id,
                            "ordinal": part.ordinal,
                            "fragments": list(part.fragments),
                            "rows": part.rows,
                            "size": part.size,
                            "partition": part.partition,
                            "folder": part.folder,
                        }
                        for part in parts
                    ],
                )
        return self.get(export.cluster_id, export.id)

    def save_part(self, export: ExportJob, ordinal: int, files: Sequence[ExportFile]) -> None:
        """Store the files of a part that is done."""
        part = tables.export_part.c
        with self._database.write() as connection:
            epoch = connection.execute(
                select(tables.export.c.epoch).where(tables.export.c.id == export.id).with_for_update()
            ).scalar_one_or_none()
            _require(int(epoch == export.epoch), export)
            connection.execute(
                update(tables.export_part)
                .where(part.export_id == export.id, part.ordinal == ordinal)
                .values(files=[file.to_json() for file in files])
            )

    def save_progress(self, export: ExportJob, progress: int, rows: int, size: int, reason: str | None) -> None:
        with self._database.write(durable=False) as connection:
            values = {"progress": progress, "rows": rows, "size": size, "reason": reason}
            _require(connection.execute(_of_epoch(export).values(**values)).rowcount, export)

    def end(self, export: ExportJob, state: ExportState, **values: Any) -> None:
        """End an export: Completed or Failed, with further columns."""
        with self._database.write() as connection:
            _require(
                connection.execute(
                    _of_epoch(export).values(
                        state=state.value, finished_at=now_millis(), owner=None, lease_until=None, **values
                    )
                ).rowcount,
                export,
            )
            self._forget_secret(connection, [export.id])
        self._database.mark_secrets_deleted()

    def deleted_files(self, export: ExportJob) -> None:
        """Record that the files of an aborted export are deleted."""
        with self._database.write() as connection:
            connection.execute(_of_epoch(export).values(has_files=False, owner=None, lease_until=None))
            self._forget_secret(connection, [export.id])
        self._database.mark_secrets_deleted()

    # Requested by users

    def abort(self, export: ExportJob, reason: str, *, has_files: bool, audit: AuditEntry | None = None) -> ExportJob:
        """Abort an export; its worker is fenced off, and the next lease owner deletes its files.

        Files in a target that a later export has used are not deleted: they are that one's.

        Raises:
            JobStateConflict: it has changed meanwhile.
        """
        values = {"has_files": has_files, "reason": reason, "state": ExportState.ABORTED.value}

        def spare(connection: Connection) -> dict[str, Any]:
            return {} if may_delete(connection, export) else {"has_files": False}

        self._change(
            export,
            values | {"finished_at": now_millis()},
            audit,
            keep_secret=has_files,
            prepare=spare if has_files else None,
        )
        return self.get(export.cluster_id, export.id)

    def retry(
        self, export: ExportJob, secret: dict[str, str], most: int, audit: AuditEntry | None = None
    ) -> ExportJob:
        """Take a Failed export back to where it was.

        Raises:
            CollectionNotFound, LimitExceeded: as :meth:`insert`.
            JobStateConflict: it has changed meanwhile, or another export uses its target, or has since.
        """
        then = ExportState.PENDING if export.snapshot is None else ExportState.EXPORTING
        values = {"state": then.value, "finished_at": null(), "reason": None}
        prepare = partial(admit_retry, export=export, most=most)
        self._change(export, values, audit, secret=secret, prepare=prepare)
        return self.get(export.cluster_id, export.id)

    def _change(
        self,
        export: ExportJob,
        values: dict[str, Any],
        audit: AuditEntry | None,
        *,
        secret: dict[str, str] | None = None,
        keep_secret: bool = False,
        prepare: Callable[[Connection], dict[str, Any]] | None = None,
    ) -> None:
        """Change columns of an export that is as it was read; ``prepare`` checks it, and returns further ones."""
        with self._database.write() as connection:
            if prepare is not None:
                values = {**values, **prepare(connection)}
            changed = connection.execute(
                _of_epoch(export, export.state).values(**values, epoch=tables.export.c.epoch + 1)
            ).rowcount
            if changed != 1:
                raise JobStateConflict(
                    f"export {export.id} changed meanwhile; check it and try again", job_id=export.id
                )
            if not keep_secret:
                self._forget_secret(connection, [export.id])
            self._keep_secret(connection, export.id, secret or {})
            if audit is not None:
                note(connection, audit)
            self._database.notify(connection)

    def forget(self, cluster_id: str, finished_before: int) -> int:
        """Delete exports of a cluster that ended before a time (milliseconds since 1970); returns how many."""
        column = tables.export.c
        with self._database.write() as connection:
            ids = (
                connection.execute(
                    select(column.id)
                    .where(
                        column.cluster_id == cluster_id,
                        column.finished_at < finished_before,
                        column.has_files.is_(False),
                    )
                    .limit(100)
                )
                .scalars()
                .all()
            )
            if ids:
                connection.execute(delete(tables.export_part).where(tables.export_part.c.export_id.in_(ids)))
                connection.execute(delete(tables.export).where(column.id.in_(ids)))
                self._forget_secret(connection, ids)
        return len(ids)

    def _keep_secret(self, connection: Connection, export_id: int, secret: dict[str, str]) -> None:
        if secret:
            connection.execute(
                insert(tables.job_secret).values(job_id=export_id, sealed=self._encryptor.encrypt(secret))
            )

    def _forget_secret(self, connection: Connection, ids: Iterable[int]) -> None:
        connection.execute(delete(tables.job_secret).where(tables.job_secret.c.job_id.in_(list(ids))))


def _of_epoch(export: ExportJob, state: ExportState | None = None) -> Any:
    column = tables.export.c
    statement = update(tables.export).where(column.id == export.id, column.epoch == export.epoch)
    return statement if state is None else statement.where(column.state == state.value)


def _require(changed: int, export: ExportJob) -> None:
    if changed != 1:
        raise LeaseLost(f"export {export.id} is no longer leased under epoch {export.epoch}", job_id=export.id)


def _export_of(row: Row[Any]) -> ExportJob:
    values = dict(zip(_NAMES, row, strict=True))
    for name in _TIMES:
        if values[name] is not None:
            values[name] = from_millis(values[name])
    values["request"] = ExportRequest.from_json(values["request"])
    values["state"] = ExportState(values["state"])
    if values["snapshot"] is not None:
        values["snapshot"] = ExportSnapshot.from_json(values["snapshot"])
    return ExportJob(**values)


def _part_of(row: Row[Any]) -> ExportPart:
    return ExportPart(
        ordinal=row.ordinal,
        fragments=tuple(row.fragments),
        rows=row.rows,
        size=row.size,
        partition=row.partition,
        folder=row.folder,
        files=None if row.files is None else tuple(ExportFile(**file) for file in row.files),
    )
