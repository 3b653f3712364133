"""Upload files to object stores: in parts, with retries, and verified against the stored object."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from penstock.bulk_writer.connection import AzureConnectParam, S3ConnectParam
from penstock.errors import InvalidParameter
from penstock.extras import require_extra

__all__ = ["Uploader", "open_uploader"]


class Uploader(Protocol):
    """Uploads into one bucket or container."""

    def put(self, path: Path, key: str) -> None:
        """Upload a file under ``key``, replacing an existing object, and verify it.

        Raises:
            StorageUnavailable: the store can't be reached (transient).
            StorageError: the store refuses (no bucket, access denied), or the stored object differs from the file.
        """
        ...


def open_uploader(param: S3ConnectParam | AzureConnectParam) -> Uploader:
    """Create an uploader; it connects at the first file.

    Raises:
        InvalidParameter: the parameters name no store.
        MissingExtra: the store's library is not installed.
    """
    if isinstance(param, S3ConnectParam):
        require_extra("s3", "botocore", reason="uploads to S3 need its client library")
        from penstock.bulk_writer.uploads_s3 import S3Uploader

        return S3Uploader(param)
    if isinstance(param, AzureConnectParam):
        require_extra("azure", "azure.storage.blob", reason="uploads to Azure need its client library")
        from penstock.bulk_writer.uploads_azure import AzureUploader

        return AzureUploader(param)
    raise InvalidParameter(
        "connect_param is a RemoteBulkWriter.S3ConnectParam or RemoteBulkWriter.AzureConnectParam, "
        f"not {type(param).__name__}"
    )
