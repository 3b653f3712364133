"""Map errors of the object store client to Penstock's error tree."""

from __future__ import annotations

import re

from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from penstock.errors import FileUnreadable, PathNotAllowed, SourceError
from penstock.sources.errors import changed, described, of_status

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
    shown = described(where, name)
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
