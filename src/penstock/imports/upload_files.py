"""The files of uploads: one per upload, named by its id, in a folder that all servers of a catalog reach.

A file's size is how far its upload has come, so a killed server loses nothing that it has written.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from penstock.domain.uploads import UPLOAD_ID, Upload
from penstock.errors import InvalidParameter, StorageError, StorageFull, UploadConflict, UploadCorrupt

_READ_BYTES = 4 << 20
_SPARE_BYTES = 64 << 20
"""Free space that uploads leave to the catalog and the collections."""
_MAX_HASHES = 256
"""Uploads whose SHA-256 is computed while they arrive; that of others is computed at their end."""


class UploadFolder:
    """The folder of uploads. Thread-safe, and shared with other processes by file locks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hashes: OrderedDict[str, tuple[int, Any]] = OrderedDict()
        """The SHA-256 of the first bytes of an upload, and their number."""
        self._lock = threading.Lock()

    def path(self, upload_id: str) -> Path:
        assert UPLOAD_ID.fullmatch(upload_id)
        return self.folder / upload_id

    def offset(self, upload_id: str) -> int:
        """Bytes received so far."""
        try:
            return self.path(upload_id).stat().st_size
        except FileNotFoundError:
            return 0

    def check_space(self, size: int) -> None:
        """Check that so many bytes can be written.

        Raises:
            StorageFull: the disk has too little space for them.
            StorageError: the folder is away.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = os.statvfs(self.folder)
        except OSError as error:
            raise _failed(error) from error
        free = status.f_bavail * status.f_frsize
        if size + _SPARE_BYTES > free:
            raise StorageFull(
                f"the upload lacks {size:,} bytes, and the disk of the server's uploads has {free:,} free. Free some "
                "space, or set another upload_dir",
                free=free,
            )

    def open(self, upload: Upload, offset: int) -> UploadWriter:
        """Open an upload for writing at its end.

        Raises:
            UploadConflict: another call is writing to it, or ``offset`` is not its end.
            StorageError: the file can't be opened.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(self.path(upload.id), flags, 0o600)
        except OSError as error:
            raise _failed(error) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UploadConflict(
                    f"another call is writing to the upload {upload.id}. Continue when it has ended, or has been "
                    "interrupted for half a minute",
                    upload=upload.id,
                ) from None
            size = os.fstat(handle).st_size
            if size != offset:
                raise UploadConflict(
                    f"the upload {upload.id} has {size:,} bytes; the call continues at {offset:,}. Ask for its "
                    "offset (HEAD), and continue there",
                    upload=upload.id,
                    offset=size,
                )
            os.lseek(handle, 0, os.SEEK_END)
        except BaseException:
            os.close(handle)
            raise
        return UploadWriter(self, upload, handle, offset)

    def delete(self, upload_id: str) -> None:
        with self._lock:
            self._hashes.pop(upload_id, None)
        with suppress(FileNotFoundError):
            self.path(upload_id).unlink()

    def ids(self) -> Iterator[str]:
        """The ids of the files in the folder."""
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if UPLOAD_ID.fullmatch(entry.name):
                    yield entry.name

    def take_hash(self, upload_id: str, size: int) -> Any | None:
        """The SHA-256 of the first ``size`` bytes, if it is known; for one writer."""
        with self._lock:
            hashed, digest = self._hashes.pop(upload_id, (0, None))
        if size == 0:
            return hashlib.sha256()
        return digest if hashed == size else None

    def keep_hash(self, upload_id: str, size: int, digest: Any) -> None:
        with self._lock:
            self._hashes[upload_id] = (size, digest)
            while len(self._hashes) > _MAX_HASHES:
                self._hashes.popitem(last=False)


class UploadWriter:
    """Appends to one upload. Its calls may come from different threads; :meth:`close` ends it at any time."""

    def __init__(self, folder: UploadFolder, upload: Upload, handle: int, offset: int) -> None:
        self.upload = upload
        self.offset = offset
        self._folder = folder
        self._handle: int | None = handle
        self._start = offset
        self._hash = folder.take_hash(upload.id, offset)
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            InvalidParameter: more than the upload's size; none of these is written.
            StorageFull, StorageError: they can't be written.
        """
        with self._lock:
            if self._handle is None:
                return  # the client has gone
            if self.offset + len(data) > self.upload.size:
                raise too_long(self.upload, self.offset + len(data))
            view = memoryview(data)
            try:
                while view:
                    count = os.write(self._handle, view)
                    if self._hash is not None:
                        self._hash.update(view[:count])
                    self.offset += count
                    view = view[count:]
            except OSError as error:
                raise _failed(error) from error

    def check_piece(self, name: str, expected: bytes) -> None:
        """Compare the checksum of what this writer has appended; on a difference, take it back.

        Raises:
            UploadCorrupt: it differs.
        """
        with self._lock:
            if self._handle is None:
                return
            actual = self._digest(name, self._start)
            if actual == expected.hex():
                return
            os.ftruncate(self._handle, self._start)
            self._hash = None
            self.offset = self._start
        raise UploadCorrupt(
            f"the {name} of the bytes sent is {actual}, the call says {expected.hex()}. They were discarded: send "
            f"them again, from offset {self._start}",
            upload=self.upload.id,
            expected=expected.hex(),
            actual=actual,
        )

    def flush(self) -> None:
        """Write what has been appended to the disk. Raises StorageError."""
        with self._lock:
            if self._handle is not None:
                try:
                    os.fsync(self._handle)
                except OSError as error:
                    raise _failed(error) from error

    def check_whole(self) -> None:
        """Compare the SHA-256 of all bytes. Raises UploadCorrupt: it differs."""
        with self._lock:
            if self._handle is None:
                return
            actual = self._digest("sha256", 0) if self._hash is None else self._hash.hexdigest()
        if actual != self.upload.sha256:
            raise UploadCorrupt(
                f"the SHA-256 of the uploaded file {self.upload.name!r} is {actual}, it was announced as "
                f"{self.upload.sha256}. It was deleted: upload the file again, and do not change it meanwhile",
                upload=self.upload.id,
                expected=self.upload.sha256,
                actual=actual,
            )

    def close(self) -> None:
        """Close the file and release its lock; what was written stays."""
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None
                if self._hash is not None and self.offset:
                    self._folder.keep_hash(self.upload.id, self.offset, self._hash)

    def _digest(self, name: str, start: int) -> str:
        """The digest of the bytes from ``start`` on, read from the file."""
        assert self._handle is not None
        digest = hashlib.new(name, usedforsecurity=False)
        while data := os.pread(self._handle, _READ_BYTES, start):
            digest.update(data)
            start += len(data)
        return digest.hexdigest()


def too_long(upload: Upload, size: int) -> InvalidParameter:
    """The error of a call that sends more than was announced."""
    return InvalidParameter(
        f"the upload {upload.id} was announced with {upload.size:,} bytes; this call would make it {size:,}. Send "
        "only the rest, or delete the upload and create it with its real size",
        upload=upload.id,
    )


def _failed(error: OSError) -> StorageError:
    kind = StorageFull if error.errno in (28, 122) else StorageError
    return kind(f"the upload cannot be written: {error.strerror}. What was received before stays; continue later")
