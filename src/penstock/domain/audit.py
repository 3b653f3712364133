"""Entries of the audit log: caller, action, subject, origin and outcome."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from penstock.domain.access import Caller

DONE = "ok"
"""The outcome of a successful action; that of a failed one is the error's code."""

_LONGEST = 300
_QUERY = re.compile(r"(?<=[^\s?])\?[^\s'\"]+")
_USER_INFO = re.compile(r"(?<=://)[^/\s'\"@]+@")
_CREDENTIALS = re.compile(r"\b(bearer|basic|session)\s+\S+|\bps[ks]_\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An entry of the audit log.

    Args:
        caller: the name of the key or user; ``anybody`` where authentication is off.
        org_id: the caller's.
        action: such as ``collection.drop``.
        subject: a further object of the action: a partition, an index, a key, a user.
        outcome: ``ok``, or the code of the error.
        reason: the error's text, without secrets.
        times: the number of equal refusals, which share an entry.
        at: None until it is stored.
    """

    caller: str
    action: str
    org_id: str | None = None
    caller_id: str | None = None
    address: str = ""
    cluster_id: str | None = None
    database: str | None = None
    collection: str | None = None
    job_id: int | None = None
    subject: str | None = None
    outcome: str = DONE
    reason: str | None = None
    times: int = 1
    at: datetime | None = None


def entry_of(caller: Caller, action: str) -> AuditEntry:
    """Create an entry with the caller and its address."""
    return AuditEntry(
        caller=caller.name, caller_id=caller.id, org_id=caller.org_id, address=caller.address, action=action
    )


def plain(text: str) -> str:
    """Remove possible secrets (queries and user names of URLs, credentials) and bound the length."""
    text = _CREDENTIALS.sub("…", _USER_INFO.sub("…@", _QUERY.sub("?…", text)))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
