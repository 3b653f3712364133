"""Uploads: clients on other machines send files, which imports then name by ``upload://ID/name``."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from penstock.catalog import Catalog
from penstock.domain.access import Caller, Role
from penstock.domain.collections import Cluster
from penstock.domain.uploads import UPLOAD, Upload
from penstock.errors import (
    ImportRefused,
    InvalidParameter,
    LimitExceeded,
    QuotaExceeded,
    Unsupported,
    UploadCorrupt,
)
from penstock.imports.upload_files import UploadFolder, UploadWriter, too_long
from penstock.readers.formats import PRESETS, format_of
from penstock.readers.input_files import detect
from penstock.sources.paths import parse_path

log = structlog.get_logger(__name__)

MAX_NAME = 1024
MAX_WRITERS, MAX_WRITERS_OF_ORG = 64, 16
"""Calls that send bytes at the same time, to one server."""
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """Bytes of one upload, and of all of an org; age in seconds."""

    size: int
    org_bytes: int
    age: float

    @property
    def lifetime(self) -> int:
        """The age in milliseconds."""
        return int(self.age * 1000)


class UploadService:
    """The calls of uploads. Thread-safe.

    Args:
        folder: None if this server takes no uploads; then ``reason`` says why, and what to do.
        refuse_if_full: raises StorageFull while the disk is full.
    """

    def __init__(
        self,
        catalog: Catalog,
        folder: UploadFolder | None,
        limits: UploadLimits,
        reason: str = "",
        refuse_if_full: Callable[[], None] = lambda: None,
    ) -> None:
        self._catalog = catalog
        self._folder = folder
        self._reason = reason
        self._refuse_if_full = refuse_if_full
        self._lock = threading.Lock()
        self._writers: Counter[str] = Counter()
        self.limits = limits

    def create(
        self, caller: Caller, cluster: Cluster, database: str, *, name: str, size: int, sha256: str
    ) -> tuple[Upload, int]:
        """Create an upload; return it and the bytes it has. An unfinished one of the same file is continued.

        ``size`` and ``sha256`` (hexadecimal) are those of the whole file, ``name`` is its name, with folders if they
        matter.

        Raises:
            PermissionDenied: the caller may not import into the database.
            Unsupported: this server takes no uploads.
            InvalidParameter, ImportRefused: a malformed name, size or checksum; no format has such a name.
            LimitExceeded, QuotaExceeded, StorageFull: the file is too large.
        """
        folder = self._enter(caller, cluster, database)
        self._refuse_if_full()
        _check_name(name)
        if not _SHA256.fullmatch(sha256):
            raise InvalidParameter("sha256 must be the 64 hexadecimal digits of the file's SHA-256", key="sha256")
        if size < 0:
            raise InvalidParameter("the size of an upload must not be negative", key="size")
        if size > self.limits.size:
            raise LimitExceeded(
                f"file {name!r} has {size:,} bytes; the limit per upload is {self.limits.size:,} (max_upload_bytes). "
                "Split it into several files, or copy it below an import root",
                limit="max_upload_bytes",
                value=self.limits.size,
            )
        file = cluster.org_id, name, size, sha256.lower()
        present = self._catalog.uploads.find(*file)
        if missing := size - (0 if present is None else folder.offset(present.id)):
            folder.check_space(missing)
        upload = self._catalog.uploads.create(*file, quota=self.limits.org_bytes, lifetime=self.limits.lifetime)
        return self._with_offset(folder, upload)

    def get(self, caller: Caller, cluster: Cluster, database: str, upload_id: str) -> tuple[Upload, int]:
        """An upload, and the bytes it has. Raises UploadNotFound, PermissionDenied, Unsupported."""
        folder = self._enter(caller, cluster, database)
        return self._with_offset(folder, self._catalog.uploads.get(cluster.org_id, upload_id))

    def _with_offset(self, folder: UploadFolder, upload: Upload) -> tuple[Upload, int]:
        """An upload, and the bytes it has: it is complete no more if its file was lost, for example with the disk."""
        offset = folder.offset(upload.id)
        if upload.is_complete and offset < upload.size:  # as in a restored catalog: backups have no uploads
            upload = self._catalog.uploads.reopen(upload)
        return upload, offset

    def open(
        self, caller: Caller, cluster: Cluster, database: str, upload_id: str, *, offset: int, length: int | None
    ) -> UploadWriter:
        """Open an upload to append ``length`` bytes (None: not announced) at ``offset``, which must be its end.

        The caller must :meth:`close` it.

        Raises:
            UploadNotFound, PermissionDenied, Unsupported: as :meth:`get`.
            UploadConflict: another call writes to it, or it ends elsewhere.
            InvalidParameter: with these bytes it would be larger than announced.
            QuotaExceeded: the org, or all callers, write to too many uploads at the same time.
        """
        folder = self._enter(caller, cluster, database)
        upload, _ = self._with_offset(folder, self._catalog.uploads.get(cluster.org_id, upload_id))
        if offset + (length or 0) > upload.size:
            raise too_long(upload, offset + (length or 0))
        self._catalog.uploads.extend(upload.id, self.limits.lifetime)
        with self._lock:
            if self._writers[upload.org_id] >= MAX_WRITERS_OF_ORG or sum(self._writers.values()) >= MAX_WRITERS:
                raise QuotaExceeded(
                    f"{self._writers[upload.org_id]} files of your org are being uploaded; at most "
                    f"{MAX_WRITERS_OF_ORG} may be at the same time. Try again in a few seconds",
                    limit="uploads",
                    value=MAX_WRITERS_OF_ORG,
                    seconds=5,
                )
            self._writers[upload.org_id] += 1
        try:
            return folder.open(upload, offset)
        except BaseException:
            self._release(upload)
            raise

    def finish(self, writer: UploadWriter) -> None:
        """Make the bytes durable; at the end of the file also verify its checksum.

        Raises:
            UploadCorrupt: the file is not the one that was announced; the upload is deleted.
            StorageError, UploadNotFound
        """
        writer.flush()
        upload = writer.upload
        if writer.offset < upload.size or upload.is_complete:
            return
        try:
            writer.check_whole()
        except UploadCorrupt:
            self._delete(upload)
            raise
        self._catalog.uploads.complete(upload.id)
        log.info("upload.completed", upload_id=upload.id, org=upload.org_id, size=upload.size)

    def close(self, writer: UploadWriter) -> None:
        """End a writer; called once."""
        try:
            writer.close()
        finally:
            self._release(writer.upload)

    def delete(self, caller: Caller, cluster: Cluster, database: str, upload_id: str) -> None:
        """Delete an upload. Raises UploadNotFound, UploadConflict, PermissionDenied, Unsupported."""
        self._enter(caller, cluster, database)
        self._delete(self._catalog.uploads.get(cluster.org_id, upload_id))

    def _delete(self, upload: Upload) -> None:
        self._catalog.uploads.delete(upload.org_id, upload.id)
        if self._folder is not None:
            self._folder.delete(upload.id)

    def _release(self, upload: Upload) -> None:
        with self._lock:
            self._writers[upload.org_id] -= 1
            if not self._writers[upload.org_id]:
                del self._writers[upload.org_id]

    def _enter(self, caller: Caller, cluster: Cluster, database: str) -> UploadFolder:
        caller.require(Role.WRITER, cluster, database)
        if self._folder is None:
            raise Unsupported(self._reason)
        return self._folder


def _check_name(name: str) -> None:
    """Raises InvalidParameter, PathNotAllowed, ImportRefused."""
    address = parse_path(name)
    if address.scheme or name.startswith("/") or address.path != name or len(name) > MAX_NAME:
        raise InvalidParameter(
            f"the name of an upload must be a file's name, with the folders above it if they matter, of at most "
            f"{MAX_NAME} characters; not {name[:100]!r}",
            key="filename",
        )
    if all(format_of(name, preset) is None for preset in PRESETS):
        detect([name])


def uploads_of(catalog: Catalog, org_id: str, groups: Sequence[Sequence[str]]) -> list[str]:
    """The ids of the uploads that a call names, each once, after a check that they are the org's and complete.

    Raises:
        UploadNotFound: the org has no such upload, or not any more.
        ImportRefused: it is unfinished, or has another name.
    """
    names: dict[str, str] = {}
    for group in groups:
        for path in group:
            if path.lower().startswith(f"{UPLOAD}://"):
                address = parse_path(path)
                names[address.bucket] = address.path
    for upload in catalog.uploads.get_all(org_id, list(names)):
        if not upload.is_complete:
            raise ImportRefused(
                f"the upload {upload.path!r} is not complete: continue it from the offset that HEAD returns, to its "
                f"{upload.size:,} bytes, and import it then",
                upload=upload.id,
            )
        if upload.name != names[upload.id]:
            raise ImportRefused(
                f"the upload {upload.id} has the name {upload.name!r}: name it as {upload.path!r}", upload=upload.id
            )
    return list(names)


def delete_unneeded_uploads(catalog: Catalog, folder: UploadFolder | None) -> None:
    """Delete uploads that completed jobs have read or that have expired, and files whose upload was deleted."""
    while ids := catalog.uploads.take_unneeded():
        log.info("uploads.deleted", uploads=len(ids))
    if folder is None:
        return
    present = list(folder.ids())
    for upload_id in set(present) - catalog.uploads.present(present):
        folder.delete(upload_id)
