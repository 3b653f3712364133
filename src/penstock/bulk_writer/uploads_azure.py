"""Upload files to Azure Blob Storage with Azure's client library."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient, BlobServiceClient, ContentSettings, ExponentialRetry

from penstock.bulk_writer.arguments import whole_number
from penstock.bulk_writer.connection import AzureConnectParam
from penstock.bulk_writer.multipart import send_parts
from penstock.errors import InvalidParameter, StorageError, StorageUnavailable

__all__ = ["AzureUploader"]

_TIMEOUT_SECONDS = 600
_MAX_BLOCKS = 50_000
_RETRY: Any = {"initial_backoff": 1, "increment_base": 2, "retry_total": 6, "random_jitter_range": 1}
"""Per block, for about two minutes in total."""


class AzureUploader:
    """Upload into one container. The service checks the MD5 of each block, and stores that of the whole file.

    A retried upload is resumed: only the blocks that are not uploaded yet are sent.
    """

    def __init__(self, param: AzureConnectParam) -> None:
        self._container = param.container_name
        self._concurrency = whole_number("upload_concurrency", param.upload_concurrency)
        self._block_bytes = whole_number("upload_chunk_size", param.upload_chunk_size)
        options: Any = {"max_single_put_size": self._block_bytes, "retry_policy": ExponentialRetry(**_RETRY)}
        credential: Any = param.credential
        if param.conn_str:
            self._client = BlobServiceClient.from_connection_string(param.conn_str, credential=credential, **options)
        elif param.account_url:
            self._client = BlobServiceClient(param.account_url, credential=credential, **options)
        else:
            raise InvalidParameter("AzureConnectParam needs conn_str or account_url")

    def put(self, path: Path, key: str) -> None:
        size, digest = path.stat().st_size, _md5(path)
        blob = self._client.get_blob_client(self._container, key)
        settings = ContentSettings(content_type="application/octet-stream", content_md5=bytearray(digest))
        block_bytes = max(self._block_bytes, -(-size // _MAX_BLOCKS))
        try:
            if size > block_bytes:
                self._put_blocks(blob, path, block_bytes, settings)
            else:
                blob.upload_blob(
                    path.read_bytes(),
                    length=size,
                    overwrite=True,
                    validate_content=True,
                    content_settings=settings,
                    connection_timeout=_TIMEOUT_SECONDS,
                )
            properties = blob.get_blob_properties()
        except AzureError as error:
            raise self._translate(error, key) from None  # the library's text may hold parts of the signed request
        if properties.size != size or bytes(properties.content_settings.content_md5 or b"") != digest:
            raise StorageError(
                f"{self._name(key)} differs from the file that was uploaded. Commit again to repeat it",
                container=self._container,
                key=key,
            )

    def _put_blocks(self, blob: BlobClient, path: Path, block_bytes: int, settings: ContentSettings) -> None:
        """Upload the missing blocks, identified by number and MD5, and commit the block list."""
        try:
            existing = {block.id: block.size for block in blob.get_block_list("uncommitted")[1]}
        except ResourceNotFoundError:  # no block is uploaded yet
            existing = {}

        def send(number: int, content: bytes) -> BlobBlock:
            name = f"{number:05}-{hashlib.md5(content, usedforsecurity=False).hexdigest()}"
            if existing.get(name) != len(content):
                blob.stage_block(
                    name,
                    content,
                    length=len(content),
                    validate_content=True,
                    connection_timeout=_TIMEOUT_SECONDS,
                )
            return BlobBlock(name)

        blob.commit_block_list(send_parts(path, block_bytes, self._concurrency, send), content_settings=settings)

    def _name(self, key: str) -> str:
        return f"azure://{self._container}/{key}"

    def _translate(self, error: AzureError, key: str) -> StorageError:
        place = f"container {self._container!r} of {self._client.account_name}"
        facts = {"container": self._container, "key": key}
        status = error.status_code if isinstance(error, HttpResponseError) else None
        if isinstance(error, ResourceNotFoundError):
            return StorageError(f"{place} does not exist; make it, or check its name and account", **facts)
        if isinstance(error, ClientAuthenticationError) or status in (401, 403):
            return StorageError(
                f"{place}: access denied for {self._name(key)}. Check the credential, and that it may write there",
                **facts,
            )
        reason = f"it answered with status {status}" if status else "it can't be reached or broke the connection"
        return StorageUnavailable(f"{place}: {self._name(key)} could not be uploaded: {reason}", **facts)


def _md5(path: Path) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.digest()
