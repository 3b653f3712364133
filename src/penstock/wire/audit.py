"""Write the dialects' calls to the audit log: those that change something, and denied ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from penstock.access.audit import Audit
from penstock.domain.access import Caller
from penstock.domain.audit import AuditEntry, entry_of, plain
from penstock.errors import AccessDenied, ClusterNotFound, PenstockError
from penstock.wire.decoding import MAX_INT64, Fields, whole_number

__all__ = ["AuditScope", "action_of", "audited"]

_READS = re.compile(r"(list|describe|has|get|query|search|hybrid_search|advanced_search)(_|[A-Z]|\Z)")
_SUBJECTS = ("partitionName", "indexName", "userName", "roleName")
_LONGEST_NAME = 256


@dataclass(slots=True)
class AuditScope:
    """What a call is about, filled in as it is decoded. Without a caller the outcome is logged elsewhere."""

    action: str
    caller: Caller | None = None
    cluster_id: str | None = None
    database: str | None = None
    collection: str | None = None
    job_id: int | None = None
    subject: str | None = None

    @property
    def changes(self) -> bool:
        return not _READS.match(self.action.rpartition(".")[2])

    def read(self, fields: Fields) -> None:
        """Fill in the fields from a call's body or query."""
        self.cluster_id = _text(fields, "clusterId")
        self.collection = _text(fields, "collectionName")
        self.database = _text(fields, "dbName")
        job_id = whole_number(fields.value("jobId"))
        self.job_id = job_id if job_id is not None and 0 <= job_id <= MAX_INT64 else None
        self.subject = " ".join(filter(None, (_text(fields, key) for key in _SUBJECTS))) or None

    def entry(self, caller: Caller) -> AuditEntry:
        return replace(
            entry_of(caller, self.action),
            cluster_id=self.cluster_id,
            database=self.database,
            collection=self.collection,
            job_id=self.job_id,
            subject=self.subject,
        )


def action_of(path: str) -> str:
    """``/jobs/import/create`` is ``import.create``, ``/collections/drop`` is ``collection.drop``."""
    words = path.strip("/").removeprefix("jobs/").split("/")
    nouns = [re.sub(r"e?s\Z" if word == "indexes" else r"s\Z", "", word) for word in words[:-1]]
    nouns = [re.sub(r"ie\Z", "y", noun) for noun in nouns]
    return ".".join([*nouns, words[-1]])


@contextmanager
def audited(audit: Audit, action: str, *, stored: bool = False) -> Iterator[AuditScope]:
    """Audit a call that runs in this context. ``stored``: a successful call has written its own audit entry."""
    scope = AuditScope(action)
    try:
        yield scope
    except Exception as error:
        if scope.caller is not None and (scope.changes or _is_refusal(error, scope.caller)):
            code, reason = "internal", None
            if isinstance(error, PenstockError):
                code, reason = error.code, plain(str(error))
            audit.refused(replace(scope.entry(scope.caller), outcome=code, reason=reason))
        raise
    if scope.changes and not stored and scope.caller is not None:
        audit.done(scope.entry(scope.caller))


def _is_refusal(error: Exception, caller: Caller) -> bool:
    """Whether the call was denied, also where the error hides that the object exists."""
    if isinstance(error, AccessDenied):
        return True
    hidden = isinstance(error, PenstockError) and bool(error.details.get("hidden"))
    return hidden or (isinstance(error, ClusterNotFound) and not caller.is_anybody)


def _text(fields: Fields, key: str) -> str | None:
    value = fields.value(key)
    return value[:_LONGEST_NAME] if isinstance(value, str) and value else None
