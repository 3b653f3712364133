"""One line of the audit log: who did what, to what, from where, and what came of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from penstock.domain.access import Caller

__all__ = ["DONE", "AuditEntry", "entry_of", "plain"]

DONE = "ok"
"""The outcome of what was done; of all else it is the error's code."""

_LONGEST = 300
_QUERY = re.compile(r"(?<=[^\s?])\?[^\s'\"]+")
_USER_INFO = re.compile(r"(?<=://)[^/\s'\"@]+@")
_CREDENTIALS = re.compile(r"\b(bearer|basic)\s+\S+|\bpsk_\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What the log keeps.

    Args:
        caller: the name of the key or user; ``anybody`` where nobody is asked who he is.
        org_id: the caller's.
        action: such as ``collection.drop``.
        subject: what else it was done to: a partition, an index, a key, a user.
        outcome: ``ok``, or the code of the error.
        reason: the error's text, without secrets.
        times: how often, of refusals that came again and again.
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
    """An entry that tells who, and from where."""
    return AuditEntry(
        caller=caller.name, caller_id=caller.id, org_id=caller.org_id, address=caller.address, action=action
    )


def plain(text: str) -> str:
    """A text without what may be secret in it (queries and user names of URLs, credentials), of bounded length."""
    text = _CREDENTIALS.sub("…", _USER_INFO.sub("…@", _QUERY.sub("?…", text)))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
