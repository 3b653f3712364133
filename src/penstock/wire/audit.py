"""What a dialect tells the audit log of its calls: those that change something, and those that are refused."""

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
    """A call, as far as it is known by now. Until the caller is known, others tell what became of it."""

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
        """Take from a call's body or query what it is about."""
        self.cluster_id = _text(fields, "clusterId")
        self.collection = _text(fields, "collectionName")
        self.database = _text(fields, "dbName")
        job_id = whole_number(fields.value("jobId"))
        self.job_id = job_id if job_id is not None and 0 <= job_id <= MAX_INT64 else None
        self.subject = " ".join(filter(None, (_text(fields, each) for each in _SUBJECTS))) or None

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
    things = [re.sub(r"e?s\Z" if word == "indexes" else r"s\Z", "", word) for word in words[:-1]]
    things = [re.sub(r"ie\Z", "y", thing) for thing in things]
    return ".".join([*things, words[-1]])


@contextmanager
def audited(audit: Audit, action: str, *, stored: bool = False) -> Iterator[AuditScope]:
    """Around all that a call does. ``stored``: what is done stands in the log when the call ends well."""
    watched = AuditScope(action)
    try:
        yield watched
    except Exception as error:
        if watched.caller is not None and (watched.changes or _is_refusal(error, watched.caller)):
            code, reason = "internal", None
            if isinstance(error, PenstockError):
                code, reason = error.code, plain(str(error))
            audit.refused(replace(watched.entry(watched.caller), outcome=code, reason=reason))
        raise
    if watched.changes and not stored and watched.caller is not None:
        audit.done(watched.entry(watched.caller))


def _is_refusal(error: Exception, caller: Caller) -> bool:
    """Whether the caller asked for what isn't his, however he is told so."""
    if isinstance(error, AccessDenied):
        return True
    hidden = isinstance(error, PenstockError) and bool(error.details.get("hidden"))
    return hidden or (isinstance(error, ClusterNotFound) and not caller.is_anybody)


def _text(fields: Fields, key: str) -> str | None:
    value = fields.value(key)
    return value[:_LONGEST_NAME] if isinstance(value, str) and value else None
