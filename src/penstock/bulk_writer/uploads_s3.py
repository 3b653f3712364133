"""Upload files to S3 and compatible stores."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import botocore.session
import requests
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from penstock.bulk_writer.connection import S3ConnectParam
from penstock.bulk_writer.multipart import send_parts
from penstock.errors import InvalidParameter, StorageError, StorageUnavailable

__all__ = ["S3Uploader"]

_PART_BYTES = 8 << 20
_MAX_PARTS = 10_000
_PARALLEL_PARTS = 4
_RETRY: Any = {"total_max_attempts": 9, "mode": "standard"}
"""Per part: a broken connection repeats one part, not the file."""


class S3Uploader:
    """Upload into one bucket. The store checks the MD5 of each part; the whole object is verified here.

    A retried upload is resumed: only the parts that are not uploaded yet are sent.
    """

    def __init__(self, param: S3ConnectParam) -> None:
        if param.http_client is not None:
            raise InvalidParameter(
                "http_client is not used here: proxies and CA files are set by environment variables"
            )
        self._bucket = param.bucket_name
        self._endpoint = _endpoint(param)
        self._param = param
        self._client: Any = None
        self._unfinished: dict[str, str] = {}

    def put(self, path: Path, key: str) -> None:
        size = path.stat().st_size
        part_bytes = max(_PART_BYTES, -(-size // _MAX_PARTS))
        try:
            client = self._connect()
            if size > part_bytes:
                tag = self._put_parts(client, path, key, part_bytes)
            else:
                content = path.read_bytes()
                tag = hashlib.md5(content, usedforsecurity=False).hexdigest()
                client.put_object(Bucket=self._bucket, Key=key, Body=content, ContentMD5=_content_md5(tag))
            self._verify(client, path, key, size, tag)
        except (BotoCoreError, ClientError, requests.RequestException) as error:
            raise self._translate(error, key) from None  # the client's text may hold parts of the signed request

    def _put_parts(self, client: Any, path: Path, key: str, part_bytes: int) -> str:
        """Upload the missing parts; return S3's ETag of an unencrypted object, the MD5 of its parts' MD5s."""
        upload, existing = self._resume_upload(client, key)

        def send(number: int, content: bytes) -> tuple[str, str]:
            tag = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if existing.get(number) == tag:
                return tag, tag
            response = client.upload_part(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload,
                PartNumber=number,
                Body=content,
                ContentMD5=_content_md5(tag),
            )
            return tag, response["ETag"]

        tags = send_parts(path, part_bytes, _PARALLEL_PARTS, send)
        parts = [{"PartNumber": number, "ETag": tag} for number, (_, tag) in enumerate(tags, 1)]
        try:
            client.complete_multipart_upload(
                Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except ClientError as error:
            # Also the response to a retry whose first response was lost: the later check of the object decides.
            if _error_code(error) != "NoSuchUpload":
                raise
        del self._unfinished[key]
        joined = b"".join(bytes.fromhex(tag) for tag, _ in tags)
        return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(tags)}"

    def _resume_upload(self, client: Any, key: str) -> tuple[str, dict[int, str]]:
        """Return the key's unfinished multipart upload with the ETags of its parts, or create a new one."""
        upload = self._unfinished.get(key)
        if upload is not None:
            pages = client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=upload)
            try:
                parts = [part for page in pages for part in page.get("Parts", ())]
                return upload, {part["PartNumber"]: part["ETag"].strip('"') for part in parts}
            except ClientError as error:
                if _error_code(error) != "NoSuchUpload":  # aborted, by a lifecycle rule for example
                    raise
        response = client.create_multipart_upload(Bucket=self._bucket, Key=key)
        self._unfinished[key] = response["UploadId"]
        return response["UploadId"], {}

    def _verify(self, client: Any, path: Path, key: str, size: int, tag: str) -> None:
        meta = client.head_object(Bucket=self._bucket, Key=key)
        if meta["ContentLength"] != size:
            raise StorageError(
                f"{self._name(key)} has {meta['ContentLength']} bytes after the upload, the file has {size}. "
                "Commit again to repeat it"
            )
        if meta["ETag"].strip('"') == tag:
            return
        # With some kinds of encryption the ETag is no checksum: then the content is compared.
        remote, local = hashlib.sha256(), hashlib.sha256()
        for chunk in client.get_object(Bucket=self._bucket, Key=key)["Body"].iter_chunks(1 << 20):
            remote.update(chunk)
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                local.update(block)
        if remote.digest() != local.digest():
            raise StorageError(
                f"{self._name(key)} differs from the file that was uploaded. Commit again to repeat it"
            )

    def _connect(self) -> Any:
        if self._client is None:
            param = self._param
            session = botocore.session.Session()
            if param.credentials is not None:
                session._credentials = _ProviderCredentials(param.credentials)
            self._client = session.create_client(
                "s3",
                region_name=param.region or _region(self._endpoint, self._bucket),
                endpoint_url=self._endpoint,
                aws_access_key_id=param.access_key or None,
                aws_secret_access_key=param.secret_key or None,
                aws_session_token=param.session_token or None,
                config=Config(
                    connect_timeout=10,
                    read_timeout=120,
                    retries=_RETRY,
                    max_pool_connections=_PARALLEL_PARTS,
                    s3={"addressing_style": "virtual" if param.enable_virtual_style_endpoint else "path"},
                    # Not every store supports the newer checksums; parts are sent with their MD5.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        return self._client

    def _name(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    def _translate(self, error: Exception, key: str) -> StorageError:
        place = f"bucket {self._bucket!r}" + (f" at {self._endpoint}" if self._endpoint else "")
        status = error.response["ResponseMetadata"]["HTTPStatusCode"] if isinstance(error, ClientError) else 0
        facts = {"bucket": self._bucket, "key": key}
        if status == 404:
            return StorageError(f"{place} does not exist; make it, or check its name and endpoint", **facts)
        if isinstance(error, NoCredentialsError):
            return StorageError(f"{place}: no keys were given, and the environment has none", **facts)
        if status in (401, 403):
            return StorageError(
                f"{place}: access denied for {self._name(key)}. Check that the keys are right and may write there",
                **facts,
            )
        reason = f"it answered with status {status}" if status else "it can't be reached or broke the connection"
        return StorageUnavailable(f"{place}: {self._name(key)} could not be uploaded: {reason}", **facts)


class _ProviderCredentials(Credentials):  # type: ignore[misc]  # botocore has no types
    """Adapter for minio's credential providers: the keys are fetched for each request that is signed."""

    def __init__(self, provider: Any) -> None:
        super().__init__("", "")
        self._provider = provider

    def get_frozen_credentials(self) -> Any:
        keys = self._provider.retrieve()
        return ReadOnlyCredentials(keys.access_key, keys.secret_key, keys.session_token)


def _endpoint(param: S3ConnectParam) -> str | None:
    if not param.endpoint:
        return None
    scheme = "https" if param.secure else "http"
    url = param.endpoint if "://" in param.endpoint else f"{scheme}://{param.endpoint}"
    if param.enable_virtual_style_endpoint:
        # The client prepends the bucket itself.
        url = url.replace(f"://{param.bucket_name}.", "://", 1)
    return url.rstrip("/")


def _region(endpoint: str | None, bucket: str) -> str:
    """Look up a bucket's region: AWS returns it without authentication; other stores accept any."""
    if endpoint and "amazonaws.com" not in endpoint:
        return "us-east-1"
    response = requests.head(f"https://s3.amazonaws.com/{bucket}", timeout=10, allow_redirects=False)
    return response.headers.get("x-amz-bucket-region", "us-east-1")


def _error_code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def _content_md5(tag: str) -> str:
    """Encode a checksum for the ``Content-MD5`` header."""
    return base64.b64encode(bytes.fromhex(tag)).decode()
