"""Objects of S3 and of stores that speak its protocol."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import obstore
import pyarrow as pa
from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from penstock.errors import FileMissing, FileUnreadable, PathNotAllowed, SourceError, SourceUnavailable
from penstock.sources.base import Location, is_marker
from penstock.sources.ranges import RangeReader

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

__all__ = ["ObjectSource", "find_objects", "probe", "settings_from_environment", "with_keys"]

STREAM_BUFFER = 1 << 20
_CLIENT: ClientConfig = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
_RETRY: RetryConfig = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
"""Short: it rides out a hiccup. What lasts longer is the scheduler's to try again, with the job saying so."""

_ENVIRONMENT = {
    "endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "access_key_id": ("AWS_ACCESS_KEY_ID",),
    "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "session_token": ("AWS_SESSION_TOKEN",),
}
_KEYS = ("access_key_id", "secret_access_key", "session_token")
_HIDDEN = re.compile(r"(^|/)\.")


def settings_from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings of the object store from the standard ``AWS_*`` variables.

    Keys: ``endpoint``, ``region``, ``access_key_id``, ``secret_access_key``, ``session_token``; and, not from the
    environment, ``skip_signature`` and ``virtual_hosted_style_request`` (``"true"``).
    """
    found = {
        setting: next((environment[name] for name in names if environment.get(name)), "")
        for setting, names in _ENVIRONMENT.items()
    }
    return {setting: value for setting, value in found.items() if value}


def with_keys(settings: Mapping[str, str], access_key: str, secret_key: str, token: str) -> dict[str, str]:
    """The store's settings with the caller's own keys instead of the server's, if the caller gave any."""
    if not (access_key or secret_key or token):
        return dict(settings)
    own = {"access_key_id": access_key, "secret_access_key": secret_key, "session_token": token}
    kept = {name: value for name, value in settings.items() if name not in (*_KEYS, "skip_signature")}
    return kept | {name: value for name, value in own.items() if value}


def find_objects(bucket: str, key: str, name: str, is_folder: bool, settings: Mapping[str, str]) -> list[Location]:
    """The object, or all objects below the prefix, sorted by key; empty when there is none.

    Hidden objects and the empty ones that consoles make to show a folder are left out.

    Raises:
        FileUnreadable: access denied, or the store refuses the request.
        SourceUnavailable: the store can't be reached.
    """
    where = f"s3://{bucket}/{key}"
    try:
        if not is_folder:
            meta = obstore.head(_store(bucket, settings), key)
            version = _version(meta)
            return [Location(uri=where, name=name, size=meta["size"], version=version, credentials=settings)]
        found = obstore.list(_store(bucket, settings), key or None).collect()
    except (BaseError, OSError, ValueError) as error:
        problem = _translate(error, where + ("/" if is_folder and key else ""), name)
        if isinstance(problem, FileMissing):
            return []
        raise problem from None  # the client's own text holds the request, keys and all
    prefix = f"{key}/" if key else ""
    members = sorted((each["path"].removeprefix(prefix), each["size"], _version(each)) for each in found)
    folders = {member.rpartition("/")[0] for member, _, _ in members}
    return [
        Location(
            uri=f"s3://{bucket}/{prefix}{member}",
            name=name + member,
            size=size,
            version=version,
            credentials=settings,
        )
        for member, size, version in members
        if member and not (size == 0 and (is_marker(member) or member in folders)) and not _HIDDEN.search(member)
    ]


def probe(bucket: str, key: str, settings: Mapping[str, str]) -> None:
    """Look whether the bucket can be listed below the prefix; an empty one is fine.

    Raises:
        FileMissing, FileUnreadable, SourceUnavailable: it can't.
    """
    where = f"s3://{bucket}/{key}"
    try:
        next(iter(obstore.list(_store(bucket, settings), key or None, chunk_size=1)), None)
    except (BaseError, OSError, ValueError) as error:
        raise _translate(error, where, where) from None


def _version(meta: ObjectMeta) -> str:
    return meta["e_tag"] or meta["last_modified"].isoformat()


@lru_cache(maxsize=16)
def _cached_store(bucket: str, settings: tuple[tuple[str, str], ...]) -> S3Store:
    given = dict(settings)

    def keys() -> S3Credential:
        return {
            "access_key_id": given.get("access_key_id", ""),
            "secret_access_key": given.get("secret_access_key", ""),
            "token": given.get("session_token") or None,
            "expires_at": None,
        }

    client: ClientConfig = {**_CLIENT, "allow_http": given.get("endpoint", "").startswith("http://")}
    # The keys go in by a function: as settings they would be mixed with those of the environment, a caller's keys
    # with the server's session token.
    has_keys = any(given.get(name) for name in _KEYS)
    config = cast("S3Config", {name: value for name, value in given.items() if name not in _KEYS})
    return S3Store(
        bucket,
        config=config,
        client_options=client,
        retry_config=_RETRY,
        credential_provider=keys if has_keys else None,
    )


def _store(bucket: str, settings: Mapping[str, str]) -> S3Store:
    return _cached_store(bucket, tuple(sorted(settings.items())))


def _translate(error: Exception, where: str, name: str) -> SourceError:
    """The client's error in our terms. Its text is not passed on: it may hold parts of the signed request."""
    shown = f"{name!r} ({where})" if name != where else repr(name)
    found = re.search(r"non-2xx status code: (\d{3})", str(error))
    status = int(found[1]) if found else 0
    if "169.254.169.254" in str(error):  # where a machine of the cloud asks for keys of its own
        return FileUnreadable(
            f"object {shown}: the server has no keys for the object store. "
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give accessKey and secretKey with the import",
            path=name,
            uri=where,
        )
    if isinstance(error, FileNotFoundError) or status == 404:
        return FileMissing(f"object {shown} is not there", path=name, uri=where)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in (401, 403):
        return FileUnreadable(
            f"object {shown}: access denied. Check the keys and that they may read this bucket", path=name, uri=where
        )
    if isinstance(error, InvalidPathError | ValueError):
        return PathNotAllowed(
            f"object {shown}: a key there has an empty segment or a '.' in it, which can't be read. "
            "Copy the objects to plain keys",
            path=name,
            uri=where,
        )
    if "Received redirect" in str(error) or 300 <= status < 400:
        return FileUnreadable(
            f"object {shown}: the bucket is in another region. Set the region of the object store",
            path=name,
            uri=where,
        )
    if status == 416:
        return _changed(name, where)
    if 400 <= status < 500 and status not in (408, 429):
        return FileUnreadable(
            f"object {shown}: the object store refuses the request with status {status}. "
            "Check region, endpoint and keys",
            path=name,
            uri=where,
        )
    why = f"it answers with status {status}" if status else "it can't be reached"
    return SourceUnavailable(f"object {shown}: the object store fails, {why}", path=name, uri=where, status=status)


def _changed(name: str, where: str) -> FileUnreadable:
    return FileUnreadable(
        f"object {name!r} ({where}) has changed since the job was planned. Import it again once it is complete",
        path=name,
        uri=where,
    )


@dataclass(frozen=True, slots=True)
class ObjectSource:
    """An object. It is read by ranges, some of them ahead (see ``ranges``), each retried for itself."""

    location: Location

    @property
    def name(self) -> str:
        return self.location.name

    @property
    def size(self) -> int:
        return self.location.size

    def local_path(self) -> None:
        return None

    def open_arrow(self) -> pa.NativeFile:
        return pa.PythonFile(RangeReader(self._fetch, 0, self.size), mode="r")

    def open_stream(self, start: int = 0, end: int | None = None) -> BinaryIO:
        stop = self.size if end is None else min(end, self.size)
        return cast(BinaryIO, io.BufferedReader(RangeReader(self._fetch, start, stop), STREAM_BUFFER))

    def _fetch(self, start: int, end: int) -> Any:
        where = self.location.uri
        bucket, _, key = where.removeprefix("s3://").partition("/")
        try:
            data = obstore.get_range(_store(bucket, self.location.credentials), key, start=start, end=end)
        except (BaseError, OSError, ValueError) as error:
            raise _translate(error, where, self.name) from None
        if len(data) != end - start:
            raise _changed(self.name, where)
        return data
