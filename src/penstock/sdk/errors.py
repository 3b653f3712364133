"""Errors of the Python calls and the client.

::

    SdkError
    ├── ImportCallError         a call failed: http_status, code, message, url, method
    │   ├── ApiError         the server answered with an error
    │   │   ├── AccessDenied    the key is missing, wrong or not enough
    │   │   └── NotFound        no such cluster, database, collection, partition or job
    │   ├── ConnectionFailed            nothing came back: refused, unknown host, TLS, connection cut
    │   │   └── AnswerTimeout   nothing came back in time
    │   └── InvalidResponse    something came back that is no answer of such a server
    ├── JobFailed               a job that was waited for failed: job
    ├── JobUnfinished           a job that was waited for exceeds the timeout: job
    ├── ExportFailed            an export that was waited for failed: export
    ├── ExportUnfinished        an export that was waited for exceeds the timeout: export
    └── IndexUnfinished         an index that was waited for exceeds the timeout: collection, index

No error holds an API key or an object store's keys, neither in its text nor in its attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.sdk.exports import Export
    from penstock.sdk.indexes import IndexDescription
    from penstock.sdk.jobs import ImportJob

__all__ = [
    "AccessDenied",
    "AnswerTimeout",
    "ApiError",
    "ConnectionFailed",
    "ExportFailed",
    "ExportUnfinished",
    "ImportCallError",
    "IndexUnfinished",
    "InvalidResponse",
    "JobFailed",
    "JobUnfinished",
    "NotFound",
    "SdkError",
]


class SdkError(Exception):
    """Base of all errors of the Python calls and the client."""


class ImportCallError(SdkError):
    """A call failed.

    Attributes:
        message: the server's message, or the cause of a failed connection.
        http_status: HTTP status of the answer; None when there was none.
        code: the server's own error code; None when it gave none.
        url: the address called, without credentials and query.
        method: ``GET`` or ``POST``.
        retry_after: seconds until a retry, if the server gave them.
    """

    def __init__(
        self,
        message: str,
        *,
        url: str = "",
        method: str = "",
        http_status: int | None = None,
        code: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.url = url
        self.method = method
        self.http_status = http_status
        self.code = code
        self.retry_after = retry_after

    def __str__(self) -> str:
        facts = [
            None if self.code is None else f"code {self.code}",
            None if self.http_status in (None, 200) else f"HTTP {self.http_status}",
            f"{self.method} {self.url}".strip() or None,
        ]
        context = ", ".join(fact for fact in facts if fact)
        return f"{self.message} ({context})" if context else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), dict(self.__dict__))


def _rebuild(kind: type[ImportCallError], facts: dict[str, Any]) -> ImportCallError:
    return kind(facts.pop("message"), **facts)


class ApiError(ImportCallError):
    """The server answered with an error."""


class AccessDenied(ApiError):
    """The key is missing, wrong, expired or not enough for this."""


class NotFound(ApiError):
    """The cluster, database, collection, partition or job that was named doesn't exist."""


class ConnectionFailed(ImportCallError):
    """No answer came. A call that only reads may be retried; whether a job was created must be looked up."""


class AnswerTimeout(ConnectionFailed):
    """No answer came in time."""


class InvalidResponse(ImportCallError):
    """An answer came, but not one that such a server gives: no JSON, or without the keys it must have."""


class ExportFailed(SdkError):
    """An export failed or was aborted; ``export`` is its last state and ``export.reason`` the cause."""

    def __init__(self, export: Export) -> None:
        super().__init__(export)
        self.export = export

    def __str__(self) -> str:
        return (
            f"export {self.export.id} of {self.export.collection!r} ended {self.export.state}: {self.export.reason}"
        )


class ExportUnfinished(SdkError):
    """An export isn't finished within the caller's timeout; ``export`` is its last state."""

    def __init__(self, export: Export, seconds: float) -> None:
        super().__init__(export, seconds)
        self.export = export
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f"export {self.export.id} is {self.export.state} at {self.export.progress} % after {self.seconds:g} s; "
            "it continues on the server"
        )


class JobFailed(SdkError):
    """A job failed; ``job`` is its last state and ``job.reason`` the cause."""

    def __init__(self, job: ImportJob) -> None:
        super().__init__(job)
        self.job = job

    def __str__(self) -> str:
        return f"import job {self.job.id} into {self.job.collection!r} ended {self.job.state}: {self.job.reason}"


class JobUnfinished(SdkError):
    """A job isn't finished within the caller's timeout; ``job`` is its last state."""

    def __init__(self, job: ImportJob, seconds: float) -> None:
        super().__init__(job, seconds)
        self.job = job
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f"import job {self.job.id} is {self.job.state} at {self.job.progress} % after {self.seconds:g} s; "
            "it continues on the server"
        )


class IndexUnfinished(SdkError):
    """Work on an index is still due after the caller's timeout; ``index`` is its last state."""

    def __init__(self, collection: str, index: IndexDescription, seconds: float) -> None:
        super().__init__(collection, index, seconds)
        self.collection = collection
        self.index = index
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f"{self.index.pending_rows:,} of {self.index.rows:,} rows of {self.collection!r} wait for the index "
            f"{self.index.name!r} after {self.seconds:g} s; the server continues to build it"
        )
