"""Map errors of remote stores to Penstock's error tree."""

from __future__ import annotations

import re

from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from penstock.errors import FileMissing, FileUnreadable, PathNotAllowed, SourceError, SourceUnavailable

__all__ = ["STORE_FAILURES", "changed", "of_status", "translate"]

STORE_FAILURES = (BaseError, OSError, ValueError)
"""All exceptions that the object store client raises."""

_NO_KEYS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --s3-anonymous for public data",
    "gs": "Set a service account with --gcs-service-account, or --gcs-anonymous for public data",
    "az": "Set PENSTOCK_AZURE_ACCOUNT and PENSTOCK_AZURE_KEY, or --azure-anonymous for public data",
}
_METADATA_SERVICE = re.compile(r"169\.254\.169\.254|metadata\.google\.internal|metadata/identity")
"""The instance metadata services, which give a cloud machine its own credentials."""


def translate(error: Exception, where: str, name: str) -> SourceError:
    """Map a client error to ours. Its text is not passed on: it may hold parts of the signed request."""
    text = str(error)
    shown = _shown(where, name)
    match = re.search(r"non-2xx status code: (\d{3})", text)
    status = int(match[1]) if match else 0
    if _METADATA_SERVICE.search(text):
        return FileUnreadable(
            f"object {shown}: the server has no credentials for the object store. "
            f"{_NO_KEYS[where.partition('://')[0]]}, or pass accessKey and secretKey with the import",
            path=name,
            uri=where,
        )
    if isinstance(error, PreconditionError):
        return changed(name, where)
    if isinstance(error, FileNotFoundError):
        return of_status(404, where, name)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return of_status(403, where, name)
    if isinstance(error, InvalidPathError | ValueError):
        return PathNotAllowed(
            f"object {shown}: a key there has an empty segment or a '.' segment, which cannot be read. "
            "Copy the objects to plain keys",
            path=name,
            uri=where,
        )
    return of_status(300 if "Received redirect" in text else status, where, name)


def of_status(status: int, where: str, name: str) -> SourceError:
    """Map an HTTP status other than success to an error; 0 means no response."""
    shown = _shown(where, name)
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


def changed(name: str, where: str, difference: str = "") -> FileUnreadable:
    """The error for a file that has changed since the job was planned."""
    return FileUnreadable(
        f"file {_shown(where, name)} has changed while it was imported{f': {difference}' if difference else ''}. "
        "None of the job's rows are visible. Once the file is complete, retry the job or import the file "
        "again",
        path=name,
        uri=where,
    )


def _shown(where: str, name: str) -> str:
    return f"{name!r} ({where})" if name != where else repr(name)
