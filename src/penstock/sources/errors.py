"""Errors of files in remote stores, of disks, and of files that change."""

from __future__ import annotations

import errno
from typing import TypeGuard

from penstock.errors import FileMissing, FileUnreadable, SourceError, SourceUnavailable


def of_status(status: int, where: str, name: str) -> SourceError:
    """Map an HTTP status other than success to an error; 0 means no response."""
    shown = described(where, name)
    if status in (404, 410):
        return FileMissing(f"object {shown} does not exist", path=name, uri=where)
    if status in (401, 403):
        return FileUnreadable(
            f"object {shown}: access denied. Check the credentials and their permissions", path=name, uri=where
        )
    if status in (412, 416):
        return changed(name, where)
    if 300 <= status < 400:
        return FileUnreadable(
            f"object {shown}: the bucket is in another region. Set the region of the object store",
            path=name,
            uri=where,
        )
    if 400 <= status < 500 and status not in (408, 429):
        return FileUnreadable(
            f"object {shown}: the object store rejects the request with status {status}. "
            "Check region, endpoint and credentials",
            path=name,
            uri=where,
        )
    why = f"status {status}" if status else "it cannot be reached"
    return SourceUnavailable(f"object {shown}: the object store failed: {why}", path=name, uri=where, status=status)


def is_of_disk(error: Exception) -> TypeGuard[OSError]:
    """Whether a library that reads a file failed to read the disk: its errors of the content have no number.

    Where a damaged file says that data is at a place that no file has, the number is EINVAL.
    """
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def changed(name: str, where: str, difference: str = "") -> FileUnreadable:
    """The error for a file that has changed since the job was planned."""
    return FileUnreadable(
        f"file {described(where, name)} has changed while it was imported{f': {difference}' if difference else ''}. "
        "None of the job's rows are visible. Once the file is complete, retry the job or import the file "
        "again",
        path=name,
        uri=where,
    )


def described(where: str, name: str) -> str:
    """Quote a file's name, and its address where that is another text."""
    return f"{name!r} ({where})" if name != where else repr(name)
