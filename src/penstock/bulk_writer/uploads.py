"""Upload files to object stores: in parts, with retries, and verified against the stored object."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from penstock.bulk_writer.connection import AzureConnectParam, S3ConnectParam
from penstock.errors import InvalidParameter

__all__ = ["Uploader", "open_uploader"]


class Uploader(Protocol):
    """Uploads into one bucket or container."""

    def put(self, path: Path, key: str) -> None:
        """Upload a file under ``key``, replacing an existing object, and verify it.

        Raises:
            StoreUnavailable: the store can't be reached (transient).
            StoreError: the store refuses (bucket missing, access denied), or the stored object differs from the file.
        """
        ...


def open_uploader(param: S3ConnectParam | AzureConnectParam) -> Uploader:
    """Create an uploader; it connects at the first file.

    Raises:
        InvalidParameter: the parameters name no store.
        Unsupported: the store's library is not installed.
    """
    if isinstance(param, S3ConnectParam):
        from penstock.bulk_writer.uploads_s3 import S3Uploader

        return S3Uploader(param)
    if isinstance(param, AzureConnectParam):
        from penstock.bulk_writer.uploads_azure import AzureUploader

        return AzureUploader(param)
    raise InvalidParameter(
        "connect_param is a RemoteBulkWriter.S3ConnectParam or RemoteBulkWriter.AzureConnectParam, "
        f"not {type(param).__name__}"
    )
