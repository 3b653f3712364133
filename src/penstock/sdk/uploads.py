"""Upload local files to the server, for imports: resumable, by the tus protocol.

The server knows an unfinished upload by the file's name, size and SHA-256: the same file again continues where an
earlier attempt stopped, whatever became of it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import requests

from penstock.sdk.connection import Connection
from penstock.sdk.errors import AccessDenied, ApiError, ConnectionFailed, ImportCallError, NotFound
from penstock.sdk.polling import LONGEST_OUTAGE

__all__ = ["UploadProgress", "Uploader", "upload_items"]

_PATH = "/jobs/import/uploads"
_PIECE_BYTES = 8 << 20
"""Bytes of one call: they are sent again when it fails."""
_LONGEST_PAUSE = 5.0
_CORRUPT = 460
_RESUMABLE = frozenset({408, 409, 429, 500, 502, 503, 504, _CORRUPT})
"""HTTP statuses after which the upload may be continued."""
_HASHED_BYTES_PER_SECOND = 50e6
"""At least; the server verifies the checksum of a whole file before it answers the last call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadProgress:
    """How far an upload is.

    ``stage`` is ``"hashing"`` or ``"uploading"``; ``done`` of ``size`` bytes of all files have been uploaded.
    ``file`` is the local path of the current one, of which ``hashed`` bytes have been hashed.
    """

    stage: str
    file: str
    hashed: int
    done: int
    size: int


Report = Callable[[UploadProgress], object]


class Uploader:
    """Uploads files one after the other; ``report`` is called with the progress of all of them."""

    def __init__(self, connection: Connection, report: Report, size: int) -> None:
        self._connection = connection
        self._report = report
        self._size = size
        self._before = 0

    def upload(self, file: Path, name: str) -> str:
        """Upload a file; return the path that imports name it by.

        Raises:
            ImportCallError: the server refuses it, or could not be reached for a minute. What it has received stays,
                and the next attempt continues there.
            OSError: the file can't be read.
            ValueError: the file changed while it was read.
        """
        with file.open("rb") as stream:
            before = os.fstat(stream.fileno())
            sha256 = self._hash(stream, file, before.st_size)
            created = self._create(name, before.st_size, sha256)
            if not created["complete"]:
                self._send(stream, file, str(created["uploadId"]), int(created["offset"]), before.st_size)
            after = os.fstat(stream.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ValueError(f"{file} changed while it was uploaded; upload it again once it is complete")
        self._before += before.st_size
        return str(created["path"])

    def _show(self, stage: str, file: Path, *, hashed: int, sent: int = 0) -> None:
        self._report(
            UploadProgress(stage=stage, file=str(file), hashed=hashed, done=self._before + sent, size=self._size)
        )

    def _hash(self, stream: BinaryIO, file: Path, size: int) -> str:
        digest = hashlib.sha256()
        done = 0
        while done < size and (piece := stream.read(min(_PIECE_BYTES, size - done))):
            digest.update(piece)
            done += len(piece)
            self._show("hashing", file, hashed=done)
        return digest.hexdigest()

    def _create(self, name: str, size: int, sha256: str) -> dict[str, Any]:
        metadata = ",".join(
            f"{key} {_base64(value.encode())}" for key, value in (("filename", name), ("sha256", sha256))
        )
        response = self._connection.send(
            "POST", _PATH, headers={"Upload-Length": str(size), "Upload-Metadata": metadata}, repeatable=True
        )
        return self._connection.parse_response(_PATH, response, _created)

    def _send(self, stream: BinaryIO, file: Path, upload_id: str, offset: int, size: int) -> None:
        """Send the bytes from ``offset`` on. The last call makes the server verify the file."""
        outage = _Outage()
        is_complete = False
        self._show("uploading", file, hashed=size, sent=offset)
        while not is_complete:
            stream.seek(offset)
            piece = stream.read(min(_PIECE_BYTES, size - offset))
            if len(piece) < min(_PIECE_BYTES, size - offset):
                raise ValueError(f"{file} became shorter while it was uploaded; upload it again once it is complete")
            try:
                self._send_piece(upload_id, offset, piece, size)
                offset += len(piece)
                is_complete = offset == size
                outage.end()
            except (ConnectionFailed, ApiError) as error:
                if isinstance(error, ApiError) and error.http_status not in _RESUMABLE:
                    raise
                outage.wait(error)
                reached, is_complete = self._offset(upload_id, error)
                if reached > offset:
                    outage.end()
                offset = reached
            self._show("uploading", file, hashed=size, sent=offset)

    def _send_piece(self, upload_id: str, offset: int, piece: bytes, size: int) -> None:
        is_last = offset + len(piece) == size
        self._connection.send(
            "PATCH",
            f"{_PATH}/{upload_id}",
            headers={
                "Content-Type": "application/offset+octet-stream",
                "Upload-Offset": str(offset),
                "Upload-Checksum": f"sha256 {_base64(hashlib.sha256(piece).digest())}",
            },
            data=piece,
            least_timeout=60.0 + (size / _HASHED_BYTES_PER_SECOND if is_last else 0.0),
        )

    def _offset(self, upload_id: str, cause: ImportCallError) -> tuple[int, bool]:
        """The bytes that the server has, and whether the upload is complete. Raises the cause if it was deleted."""
        outage = _Outage()
        while True:
            try:
                response = self._connection.send("HEAD", f"{_PATH}/{upload_id}", headers={}, repeatable=True)
                return self._connection.parse_response(_PATH, response.headers, _reached)
            except NotFound:
                raise cause from None
            except AccessDenied:
                raise
            except (ConnectionFailed, ApiError) as error:
                if isinstance(error, ApiError) and error.http_status == 404:
                    raise cause from None
                outage.wait(error)


def _created(response: requests.Response) -> dict[str, Any]:
    data = response.json()["data"]
    return {key: data[key] for key in ("uploadId", "path", "offset", "complete")}


def _reached(headers: Mapping[str, str]) -> tuple[int, bool]:
    return int(headers["Upload-Offset"]), headers.get("Upload-Complete") == "?1"


class _Outage:
    """Pauses between attempts, which grow, for a minute at most."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._pause = 0.2

    def end(self) -> None:
        self._since, self._pause = None, 0.2

    def wait(self, error: ImportCallError) -> None:
        """Raises the error after a minute."""
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since > LONGEST_OUTAGE:
            raise error
        time.sleep(min(error.retry_after or self._pause, _LONGEST_PAUSE))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)


def upload_items(items: Sequence[Sequence[str]]) -> list[list[tuple[Path, str] | str]]:
    """Resolve groups of local paths to groups of files, each with the name that it is uploaded by.

    An address (``s3://…``) stays as it is. A folder, which is the only path of its group, becomes a group per file;
    the ``.npy`` files of one folder are one group. Side files, whose names begin with ``_`` or ``.``, are left out.

    Raises:
        FileNotFoundError: a path isn't there.
        ValueError: a folder has no files, or a link to a folder; a path is a manifest.
    """
    groups: list[list[tuple[Path, str] | str]] = []
    for group in items:
        if len(group) == 1 and "://" not in group[0] and os.path.isdir(group[0]):
            groups += _folder_groups(Path(group[0]))
        else:
            groups.append([path if "://" in path else _named(Path(path), Path(path).name) for path in group])
    return groups


def _folder_groups(folder: Path) -> Iterator[list[tuple[Path, str] | str]]:
    from penstock.sources.base import is_marker, side_file  # imports Arrow

    sets: dict[Path, list[tuple[Path, str] | str]] = {}
    files: list[list[tuple[Path, str] | str]] = []
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not side_file(name))
        for name in folders:
            if os.path.islink(os.path.join(at, name)):
                raise ValueError(
                    f"{os.path.join(at, name)} is a link to a folder, which is not followed. Name it itself"
                )
        for name in sorted(names):
            file = Path(at, name)
            if side_file(name) or (is_marker(name) and not file.stat().st_size):
                continue
            item = _named(file, file.relative_to(folder).as_posix())
            if name.lower().endswith(".npy"):
                sets.setdefault(file.parent, []).append(item)
            else:
                files.append([item])
    if not files and not sets:
        raise ValueError(f"the folder {folder} has no files")
    yield from files
    yield from sets.values()


def _named(file: Path, name: str) -> tuple[Path, str]:
    """A file and its name, with the folders above it that are partition columns (``country=DE``)."""
    if not file.is_file():
        raise FileNotFoundError(f"no file {file} here to upload")
    if name.lower().endswith((".manifest", ".manifest.json")):
        raise ValueError(
            f"{file} is a manifest, whose files the server would look for: upload these files themselves"
        )
    above = file.absolute().parts[: -len(Path(name).parts)]
    first = next((number for number, part in enumerate(above) if "=" in part), len(above))
    return file, "/".join([*above[first:], name])


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
