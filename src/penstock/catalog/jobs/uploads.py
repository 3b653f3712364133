"""Uploads in the catalog: their quota, their age, and the jobs that read them. Their bytes are files."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, now_millis
from penstock.domain.jobs import LIVE_STATES, JobState
from penstock.domain.uploads import Upload
from penstock.errors import LimitExceeded, QuotaExceeded, UploadConflict, UploadNotFound

_upload, _use, _job = tables.upload.c, tables.upload_use.c, tables.job.c
_BATCH = 500
MAX_UPLOADS = 10_000
"""Uploads of one org at a time: files without bytes don't count towards its quota."""


def _used(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a job reads the upload that meets the conditions."""
    return exists(
        select(_use.job_id)
        .join(tables.job, _job.id == _use.job_id)
        .where(_use.upload_id == _upload.id, *conditions)
        .correlate(tables.upload)
    )


_IS_LIVE = _job.state.in_([state.value for state in sorted(LIVE_STATES)])
_HAS_COMPLETED = _job.state.in_(
    [state.value for state in (JobState.COMPLETED, JobState.REVERTING, JobState.REVERTED)]
)
_IS_DRY_RUN = func.coalesce(func.lower(_job.options["dry_run"].as_string()), "") == "true"
_HAS_IMPORTED_ALL = and_(_HAS_COMPLETED, ~_IS_DRY_RUN, _job.rejected_rows == 0, _job.skipped_files == 0)
"""The job is never retried, and has nothing to replay."""
_IS_NEEDED = _used(~_HAS_IMPORTED_ALL, ~and_(_HAS_COMPLETED, _IS_DRY_RUN))
"""Whether a job runs on the upload, or could be retried or replayed. The import follows a dry run as another job."""
_WAS_IMPORTED = _used(_HAS_IMPORTED_ALL)

_UNNEEDED = select(_upload.id).where(
    or_(
        and_(_WAS_IMPORTED, ~_IS_NEEDED),
        and_(_upload.expires_at < bindparam("now"), ~_used(_IS_LIVE)),
    )
)
"""Built once, the cleanup looks often: building it takes longer than running it."""


def _of_file(org_id: str, name: str, size: int, sha256: str) -> Sequence[ColumnElement[bool]]:
    return _upload.org_id == org_id, _upload.sha256 == sha256, _upload.size == size, _upload.name == name


class UploadRepository:
    """Create, find, complete and delete uploads."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def find(self, org_id: str, name: str, size: int, sha256: str) -> Upload | None:
        """The org's upload of a file, if there is one."""
        with self._database.read() as connection:
            row = connection.execute(select(tables.upload).where(*_of_file(org_id, name, size, sha256))).one_or_none()
        return None if row is None else _upload_of(row)

    def create(self, org_id: str, name: str, size: int, sha256: str, *, quota: int, lifetime: int) -> Upload:
        """Return the org's upload of a file, and create it if there is none; its age starts again.

        Args:
            quota: maximum bytes of all uploads of the org.
            lifetime: in milliseconds.

        Raises:
            LimitExceeded: the file is larger than the quota.
            QuotaExceeded: the org's other uploads leave too little of it.
        """
        expires_at = now_millis() + lifetime
        with self._database.write() as connection:
            # Concurrent calls of the org wait until this upload is counted.
            connection.execute(select(tables.org.c.id).where(tables.org.c.id == org_id).with_for_update())
            present = connection.execute(
                update(tables.upload)
                .where(*_of_file(org_id, name, size, sha256))
                .values(expires_at=expires_at)
                .returning(tables.upload)
            ).one_or_none()
            if present is not None:
                # Else the cleanup would delete it for having been read by a completed job.
                completed = select(_job.id).where(_job.id == _use.job_id, _HAS_IMPORTED_ALL)
                connection.execute(
                    delete(tables.upload_use).where(
                        _use.upload_id == present.id, exists(completed.correlate(tables.upload_use))
                    )
                )
                return _upload_of(present)
            _enforce_quota(connection, org_id, size, quota)
            row = connection.execute(
                insert(tables.upload)
                .values(
                    id=secrets.token_hex(16),
                    org_id=org_id,
                    name=name,
                    size=size,
                    sha256=sha256,
                    is_complete=False,
                    created_at=now_millis(),
                    expires_at=expires_at,
                )
                .returning(tables.upload)
            ).one()
            return _upload_of(row)

    def get(self, org_id: str, upload_id: str) -> Upload:
        """Raises UploadNotFound, also for an upload of another org."""
        return self.get_all(org_id, [upload_id])[0]

    def get_all(self, org_id: str, upload_ids: Sequence[str]) -> Sequence[Upload]:
        """The uploads with these ids, in their order. Raises UploadNotFound for the first that the org lacks."""
        if not upload_ids:
            return []
        uploads: dict[str, Upload] = {}
        with self._database.read() as connection:
            for start in range(0, len(upload_ids), _BATCH):
                some = upload_ids[start : start + _BATCH]
                rows = connection.execute(select(tables.upload).where(_upload.org_id == org_id, _upload.id.in_(some)))
                uploads |= {row.id: _upload_of(row) for row in rows}
        for upload_id in upload_ids:
            if upload_id not in uploads:
                raise _missing(upload_id)
        return [uploads[upload_id] for upload_id in upload_ids]

    def extend(self, upload_id: str, lifetime: int) -> None:
        """Restart the age of an upload."""
        with self._database.write(durable=False) as connection:
            connection.execute(
                update(tables.upload).where(_upload.id == upload_id).values(expires_at=now_millis() + lifetime)
            )

    def complete(self, upload_id: str) -> None:
        """Record that all bytes are there. Raises UploadNotFound: it was deleted."""
        self._set_complete(upload_id, is_complete=True)

    def reopen(self, upload: Upload) -> Upload:
        """Record that bytes are missing, although the upload was complete. Raises UploadNotFound: it was deleted."""
        self._set_complete(upload.id, is_complete=False)
        return replace(upload, is_complete=False)

    def _set_complete(self, upload_id: str, *, is_complete: bool) -> None:
        with self._database.write() as connection:
            changed = connection.execute(
                update(tables.upload).where(_upload.id == upload_id).values(is_complete=is_complete)
            ).rowcount
        if not changed:
            raise _missing(upload_id)

    def delete(self, org_id: str, upload_id: str) -> None:
        """Delete an upload that no running job reads.

        Raises:
            UploadNotFound: the org has no such upload.
            UploadConflict: a job that has not ended reads it.
        """
        with self._database.write() as connection:
            where = (_upload.id == upload_id, _upload.org_id == org_id)
            if connection.execute(select(_upload.id).where(*where).with_for_update()).one_or_none() is None:
                raise _missing(upload_id)
            if connection.execute(select(_upload.id).where(*where, _used(_IS_LIVE))).one_or_none() is not None:
                raise UploadConflict(
                    f"an unfinished job reads the upload {upload_id}. Abort the job first, or wait for its end",
                    upload=upload_id,
                )
            _delete(connection, [upload_id])

    def take_unneeded(self) -> Sequence[str]:
        """Delete uploads that were imported whole, or have expired; returns the ids of a batch."""
        now = {"now": now_millis()}
        with self._database.read() as connection:
            if connection.execute(_UNNEEDED.limit(1), now).one_or_none() is None:
                return []
        with self._database.write() as connection:
            some = _UNNEEDED.limit(_BATCH).with_for_update(skip_locked=True)
            locked = connection.execute(some, now).scalars().all()
            # Again, now that no job can begin to read them: one may have before its row was locked.
            ids = connection.execute(_UNNEEDED.where(_upload.id.in_(locked)), now).scalars().all()
            _delete(connection, ids)
        return ids

    def present(self, upload_ids: Iterable[str]) -> set[str]:
        """Those of the ids that have an upload, of any org."""
        ids, present = list(upload_ids), set()
        with self._database.read() as connection:
            for start in range(0, len(ids), _BATCH):
                some = select(_upload.id).where(_upload.id.in_(ids[start : start + _BATCH]))
                present |= set(connection.execute(some).scalars())
        return present


def use_uploads(connection: Connection, job_id: int, upload_ids: Sequence[str]) -> None:
    """Record, in the transaction that creates a job, the uploads that it reads, which stay until they are imported.

    Raises:
        UploadNotFound: one was deleted.
    """
    for start in range(0, len(upload_ids), _BATCH):
        some = upload_ids[start : start + _BATCH]
        present = set(
            connection.execute(select(_upload.id).where(_upload.id.in_(some)).with_for_update(read=True)).scalars()
        )
        for upload_id in some:
            if upload_id not in present:
                raise _missing(upload_id)
        connection.execute(
            insert(tables.upload_use), [{"upload_id": upload_id, "job_id": job_id} for upload_id in some]
        )


def _delete(connection: Connection, ids: Sequence[str]) -> None:
    connection.execute(delete(tables.upload_use).where(_use.upload_id.in_(ids)))
    connection.execute(delete(tables.upload).where(_upload.id.in_(ids)))


def _enforce_quota(connection: Connection, org_id: str, size: int, quota: int) -> None:
    count, present = connection.execute(
        select(func.count(), func.coalesce(func.sum(_upload.size), 0)).where(_upload.org_id == org_id)
    ).one()
    if size > quota:
        raise LimitExceeded(
            f"the file has {size:,} bytes; all uploads of an org together may have {quota:,} "
            "(max_upload_bytes_per_org). Copy it below an import root, or split it",
            limit="max_upload_bytes_per_org",
            value=quota,
        )
    if count >= MAX_UPLOADS or present + size > quota:
        raise QuotaExceeded(
            f"the uploads of your org have {int(present):,} bytes in {count:,} files, and this file has {size:,}; "
            f"the limit is {quota:,} bytes (max_upload_bytes_per_org) and {MAX_UPLOADS:,} files. Uploads are deleted "
            "when a job has imported all of their rows, or by DELETE: try again then",
            limit="max_upload_bytes_per_org",
            value=quota,
            present=int(present),
        )


def _upload_of(row: Row[Any]) -> Upload:
    return Upload(
        id=row.id,
        org_id=row.org_id,
        name=row.name,
        size=row.size,
        sha256=row.sha256,
        is_complete=row.is_complete,
        expires_at=datetime.fromtimestamp(row.expires_at / 1000, UTC),
    )


def _missing(upload_id: str) -> UploadNotFound:
    return UploadNotFound(
        f"there is no upload {upload_id} any more: uploads are deleted when a job has imported all of their rows, "
        "and when they are too old (upload_retention). Upload the file again",
        upload=upload_id,
    )
