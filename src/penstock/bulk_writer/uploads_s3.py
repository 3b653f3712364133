"""Uploads to S3 and to stores that speak its protocol."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
import requests
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from penstock.bulk_writer.connect import S3ConnectParam
from penstock.errors import InvalidParameter, StoreError, StoreUnavailable

__all__ = ["S3Uploader"]

_PART_BYTES = 8 << 20
_MAX_PARTS = 10_000
_PARALLEL_PARTS = 4
_CLIENT: dict[str, Any] = {"connect_timeout": timedelta(seconds=10), "timeout": timedelta(seconds=120)}
_RETRY: Any = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=120),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=10), "base": 2},
}
"""For each part on its own: a broken connection repeats one part, not the file."""


class S3Uploader:
    """One bucket. The store checks each part against the SHA-256 in its signature; the whole is checked here."""

    def __init__(self, param: S3ConnectParam) -> None:
        if param.http_client is not None:
            raise InvalidParameter(
                "http_client is not used here: proxies and CA files are set by environment variables"
            )
        self._bucket = param.bucket_name
        self._endpoint = _endpoint(param)
        self._param = param
        self._store: S3Store | None = None

    def put(self, path: Path, key: str) -> None:
        size = path.stat().st_size
        part = max(_PART_BYTES, -(-size // _MAX_PARTS))
        try:
            store = self._opened()
            obstore.put(
                store,
                key,
                path,
                use_multipart=size > part,
                chunk_size=part,
                max_concurrency=_PARALLEL_PARTS,
            )
            self._verify(store, path, key, size, part)
        except (BaseError, OSError, requests.RequestException) as error:
            raise self._translate(error, key) from None  # the client's text may hold parts of the signed request

    def _verify(self, store: S3Store, path: Path, key: str, size: int, part: int) -> None:
        meta = obstore.head(store, key)
        if meta["size"] != size:
            raise StoreError(f"{self._name(key)} has {meta['size']} bytes after the upload, the file has {size}")
        if (meta["e_tag"] or "").strip('"') == _etag(path, size, part):
            return
        # With some kinds of encryption the tag is no checksum: then only the content tells.
        there, here = hashlib.sha256(), hashlib.sha256()
        for chunk in obstore.get(store, key):
            there.update(chunk)
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                here.update(block)
        if there.digest() != here.digest():
            raise StoreError(f"{self._name(key)} differs from the file that was uploaded. Commit again to repeat it")

    def _opened(self) -> S3Store:
        if self._store is None:
            param = self._param
            options: Any = dict(_CLIENT)
            if self._endpoint and self._endpoint.startswith("http://"):
                options["allow_http"] = True
            config: Any = {"region": param.region or _region(self._endpoint, self._bucket)}
            if self._endpoint:
                config["endpoint"] = self._endpoint
            config["virtual_hosted_style_request"] = param.enable_virtual_style_endpoint
            self._store = S3Store(
                self._bucket,
                config=config,
                client_options=options,
                retry_config=_RETRY,
                credential_provider=_credentials(param),
            )
        return self._store

    def _name(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    def _translate(self, error: Exception, key: str) -> StoreError:
        place = f"bucket {self._bucket!r}" + (f" at {self._endpoint}" if self._endpoint else "")
        found = re.search(r"status code: (\d{3})", str(error))
        status = int(found[1]) if found else 0
        facts = {"bucket": self._bucket, "key": key}
        if isinstance(error, FileNotFoundError) or status == 404:
            return StoreError(f"{place} does not exist; make it, or check its name and endpoint", **facts)
        if isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in (401, 403):
            return StoreError(
                f"{place}: access denied for {self._name(key)}. Check that the keys are right and may write there",
                **facts,
            )
        reason = f"it answered with status {status}" if status else "it can't be reached or broke the connection"
        return StoreUnavailable(f"{place}: {self._name(key)} could not be uploaded: {reason}", **facts)


def _endpoint(param: S3ConnectParam) -> str | None:
    if not param.endpoint:
        return None
    scheme = "https" if param.secure else "http"
    url = param.endpoint if "://" in param.endpoint else f"{scheme}://{param.endpoint}"
    if param.enable_virtual_style_endpoint:
        # The client wants the bucket in the host name that it is given.
        scheme, _, host = url.partition("://")
        url = url if host.startswith(f"{param.bucket_name}.") else f"{scheme}://{param.bucket_name}.{host}"
    return url.rstrip("/")


def _region(endpoint: str | None, bucket: str) -> str:
    """AWS tells a bucket's region to anybody; other stores take any."""
    if endpoint and "amazonaws.com" not in endpoint:
        return "us-east-1"
    answer = requests.head(f"https://s3.amazonaws.com/{bucket}", timeout=10, allow_redirects=False)
    return answer.headers.get("x-amz-bucket-region", "us-east-1")


def _credentials(param: S3ConnectParam) -> Callable[[], Any] | None:
    """Asked for whenever the client signs; None lets it look into the environment."""
    if param.credentials is not None:
        provider = param.credentials

        def retrieve() -> Any:
            keys = provider.retrieve()
            return {
                "access_key_id": keys.access_key,
                "secret_access_key": keys.secret_key,
                "token": keys.session_token,
                "expires_at": getattr(keys, "expiration", None),
            }

        return retrieve
    if not (param.access_key or param.secret_key):
        return None
    # As plain settings the keys would be mixed with a session token of the environment.
    return lambda: {
        "access_key_id": param.access_key or "",
        "secret_access_key": param.secret_key or "",
        "token": param.session_token,
        "expires_at": None,
    }


def _etag(path: Path, size: int, part: int) -> str:
    """The tag that S3 gives an unencrypted object: the MD5 of its bytes, or that of its parts' MD5s."""
    parts = []
    with path.open("rb") as stream:
        while block := stream.read(part):
            parts.append(hashlib.md5(block, usedforsecurity=False))
    if size <= part:
        return parts[0].hexdigest() if parts else hashlib.md5(b"", usedforsecurity=False).hexdigest()
    joined = b"".join(each.digest() for each in parts)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"
