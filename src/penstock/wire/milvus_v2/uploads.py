"""``/v2/vectordb/jobs/import/uploads``: upload files for imports, by the tus protocol 1.0 (resumable uploads).

Extensions: creation, expiration, checksum, termination. Beyond tus, a create call needs the whole file's SHA-256 in
its metadata, and repeated for the same file it returns the same upload, which is then continued. A complete upload is
named by ``upload://ID/name`` in ``files`` of an import.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.utils import format_datetime

from penstock import errors
from penstock.access.admission import AdmittedCall, CallNames
from penstock.domain.access import Caller
from penstock.domain.collections import Cluster
from penstock.domain.names import DEFAULT_DATABASE
from penstock.domain.parameter_values import MAX_INT64
from penstock.domain.uploads import Upload
from penstock.errors import InvalidParameter, MissingParameter, PenstockError, shorten
from penstock.imports.upload_files import UploadWriter
from penstock.imports.uploads import UploadService
from penstock.wire.http import BodyWriter, Call, Reply, Route
from penstock.wire.milvus_v2 import upload_docs as docs
from penstock.wire.milvus_v2.dialect import PREFIX, MilvusV2

PATH = f"{PREFIX}/jobs/import/uploads"
VERSION = "1.0.0"
MEDIA_TYPE = "application/offset+octet-stream"
CHECKSUMS = ("sha256", "sha1", "md5")
_MAX_METADATA = 8192
_VERSION_HEADERS = {"tus-resumable": VERSION}
_STATUSES: Mapping[type[PenstockError], int] = {
    errors.NotFound: 404,
    errors.UploadConflict: 409,
    errors.UploadCorrupt: 460,
    errors.QuotaExceeded: 429,
    errors.LimitExceeded: 413,
    errors.StorageFull: 507,
    errors.StorageError: 500,
    errors.CatalogUnavailable: 503,
    errors.CatalogError: 500,
    errors.InvalidParameter: 400,
    errors.ImportRefused: 400,
    errors.SourceError: 400,
    errors.AccessDenied: 403,
    errors.PenstockError: 400,
}


@dataclass(frozen=True, slots=True)
class TusDialect:
    """The errors of the v2 dialect, with the HTTP statuses of tus."""

    v2: MilvusV2

    @property
    def statuses(self) -> Mapping[int, str]:
        return docs.STATUSES

    def failure(self, error: Exception, request_id: str) -> Reply:
        reply = self.v2.failure(error, request_id)
        headers = dict(_VERSION_HEADERS)
        if isinstance(error, PenstockError):
            kind = next(kind for kind in type(error).__mro__ if kind in _STATUSES)
            status = _STATUSES[kind] if reply.status == 200 else reply.status
            if "offset" in error.details:
                headers["upload-offset"] = str(error.details["offset"])
            reply = replace(reply, status=status)
        return replace(reply, headers=headers)

    def timeout(self, call: Call) -> float | None:
        return self.v2.timeout(call)


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where a call applies: uploads belong to the org of a cluster."""

    caller: Caller
    cluster: Cluster
    database: str


class _Body:
    """The body of a PATCH call, written to its upload."""

    def __init__(self, uploads: UploadService, writer: UploadWriter, checksum: tuple[str, bytes] | None) -> None:
        self._uploads = uploads
        self._writer = writer
        self._checksum = checksum

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def finish(self) -> Reply:
        if self._checksum is not None:
            self._writer.check_piece(*self._checksum)
        self._uploads.finish(self._writer)
        return Reply(content=b"", status=204, headers=_headers(self._writer.upload, self._writer.offset))

    def close(self) -> None:
        self._uploads.close(self._writer)


def routes(uploads: UploadService, v2: MilvusV2) -> tuple[Route, ...]:
    """The routes of uploads."""
    dialect = TusDialect(v2)

    @contextmanager
    def admitted(call: Call, action: str) -> Iterator[_Scope]:
        """Admit a call. Creation, deletion and refusals are in the audit log, each piece of a file is not."""
        is_silent = action in ("get", "append")
        with v2.admission.call(
            f"import.upload.{action}",
            authorization=call.authorization,
            address=call.address,
            stores_entry=is_silent,
        ) as entered:
            yield _enter(call, entered)

    def create(call: Call) -> Reply:
        with admitted(call, "create") as scope:
            metadata = _metadata(call)
            upload, offset = uploads.create(
                scope.caller,
                scope.cluster,
                scope.database,
                name=metadata["filename"],
                size=_number(call, "upload-length"),
                sha256=metadata["sha256"],
            )
        reply = v2.success(
            {
                "uploadId": upload.id,
                "path": upload.path,
                "offset": offset,
                "size": upload.size,
                "complete": upload.is_complete,
                "expireTime": upload.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )
        return replace(reply, status=201, headers={**_headers(upload, offset), "location": f"{PATH}/{upload.id}"})

    def head(call: Call) -> Reply:
        with admitted(call, "get") as scope:
            upload, offset = uploads.get(scope.caller, scope.cluster, scope.database, call.parameters["id"])
        headers = {"upload-length": str(upload.size), "upload-complete": "?1" if upload.is_complete else "?0"}
        return Reply(content=b"", headers={**_headers(upload, offset), **headers})

    def append(call: Call) -> BodyWriter:
        with admitted(call, "append") as scope:
            if call.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
                raise InvalidParameter(f"the header Content-Type must be {MEDIA_TYPE}", key="Content-Type")
            announced = call.headers.get("content-length", "")
            writer = uploads.open(
                scope.caller,
                scope.cluster,
                scope.database,
                call.parameters["id"],
                offset=_number(call, "upload-offset"),
                length=int(announced) if announced.isdecimal() and len(announced) < 20 else None,
            )
            try:
                return _Body(uploads, writer, _checksum(call))
            except BaseException:
                uploads.close(writer)
                raise

    def delete(call: Call) -> Reply:
        with admitted(call, "delete") as scope:
            uploads.delete(scope.caller, scope.cluster, scope.database, call.parameters["id"])
        return Reply(content=b"", status=204, headers=_VERSION_HEADERS)

    def options(_: Call) -> Reply:
        headers = {
            "tus-version": VERSION,
            "tus-extension": "creation,expiration,checksum,termination",
            "tus-max-size": str(uploads.limits.size),
            "tus-checksum-algorithm": ",".join(CHECKSUMS),
        }
        return Reply(content=b"", status=204, headers={**_VERSION_HEADERS, **headers})

    def route(method: str, path: str, handler: Callable[[Call], Reply]) -> Route:
        return Route(method=method, path=path, handler=handler, dialect=dialect, operation=docs.OPERATIONS[method])

    one = f"{PATH}/{{id}}"
    return (
        route("POST", PATH, create),
        route("OPTIONS", PATH, options),
        route("HEAD", one, head),
        replace(route("PATCH", one, _unused), open_body=append),
        route("DELETE", one, delete),
    )


def _unused(_: Call) -> Reply:
    raise AssertionError("its body is streamed")


def _enter(call: Call, admitted: AdmittedCall) -> _Scope:
    database = call.headers.get("db-name") or DEFAULT_DATABASE
    upload_id = call.parameters.get("id", "")
    admitted.names = CallNames(database=database, subjects=(upload_id,))
    cluster = admitted.enter(call.query.get("clusterId"))
    return _Scope(admitted.caller, cluster, database)


def _headers(upload: Upload, offset: int) -> dict[str, str]:
    return {
        **_VERSION_HEADERS,
        "upload-offset": str(offset),
        "upload-expires": format_datetime(upload.expires_at, usegmt=True),
        "cache-control": "no-store",
    }


def _number(call: Call, header: str) -> int:
    """A header's number of bytes. Raises MissingParameter, InvalidParameter."""
    text = call.headers.get(header)
    if text is None:
        raise MissingParameter(f"the header {header.title()} is missing: a number of bytes", key=header)
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= MAX_INT64):
        raise InvalidParameter(f"the header {header.title()} is not a number of bytes: {shorten(text)}", key=header)
    return int(text)


def _metadata(call: Call) -> Mapping[str, str]:
    """The header Upload-Metadata: keys, each with its value in base64. Raises InvalidParameter."""
    text = call.headers.get("upload-metadata", "")[:_MAX_METADATA]
    values: dict[str, str] = {}
    for pair in text.split(","):
        key, _, encoded = pair.strip().partition(" ")
        try:
            values[key] = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, ValueError):
            raise InvalidParameter(
                f"the header Upload-Metadata has no base64 text for {shorten(key)!r}", key="upload-metadata"
            ) from None
    for key in ("filename", "sha256"):
        if not values.get(key):
            raise MissingParameter(
                f"the header Upload-Metadata has no {key}. Write 'filename NAME,sha256 DIGITS', NAME and the 64 "
                "hexadecimal DIGITS of the file's SHA-256 each in base64",
                key="upload-metadata",
            )
    return values


def _checksum(call: Call) -> tuple[str, bytes] | None:
    """The header Upload-Checksum: an algorithm and a digest in base64. Raises InvalidParameter."""
    text = call.headers.get("upload-checksum")
    if text is None:
        return None
    name, _, encoded = text.partition(" ")
    try:
        digest = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if name.lower() not in CHECKSUMS or not digest:
        raise InvalidParameter(
            f"the header Upload-Checksum is {shorten(text)!r}; it must be one of {', '.join(CHECKSUMS)} and the "
            "digest in base64",
            key="upload-checksum",
        )
    return name.lower(), digest
