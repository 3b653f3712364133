"""The audit log of a server: changes and refusals.

Changes are stored before the response is sent. Refused calls are free for the caller, so they are deduplicated to
bound the log: equal ones within a minute are stored once, and once more with their count when the minute is over; of
too many different ones, only the count is stored.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from typing import Protocol, TypeAlias

import structlog

from penstock.access.authentication import Authentication
from penstock.catalog.access.audit import AuditRepository
from penstock.domain.access import Caller
from penstock.domain.audit import AuditEntry, plain
from penstock.errors import AccessDenied, PenstockError

log = structlog.get_logger(__name__)

WINDOW = 60.0
PER_ADDRESS_LIMIT, OF_ALL = 30, 300
"""Limits of different refusals stored within a window: per address, and in total."""
AGGREGATED = "various"

_Kind: TypeAlias = tuple[object, ...]


class Audit(Protocol):
    """Records changes and refusals."""

    def done(self, entry: AuditEntry) -> None:
        """Store a change; raises the catalog's errors."""
        ...

    def refused(self, entry: AuditEntry) -> None:
        """Record a call that was refused or failed."""
        ...


class NoAudit:
    """Discards all entries."""

    def done(self, entry: AuditEntry) -> None:
        del entry

    def refused(self, entry: AuditEntry) -> None:
        del entry


class AuditLog:
    """Write the audit log to the catalog, with refusals deduplicated per ``window`` seconds. Thread-safe."""

    def __init__(self, store: AuditRepository, window: float = WINDOW) -> None:
        self._store = store
        self._window = window
        self._lock = threading.Lock()
        self._seen: dict[_Kind, AuditEntry] = {}
        self._again: Counter[_Kind] = Counter()
        self._addresses: Counter[str] = Counter()
        self._rest: Counter[str] = Counter()
        self._timer: threading.Timer | None = None

    def done(self, entry: AuditEntry) -> None:
        self._store.add(entry)

    def refused(self, entry: AuditEntry) -> None:
        if self._store_now(entry):
            self._add_or_log(entry)

    def close(self) -> None:
        """Store the counts of refusals that are not yet stored."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
        self._end_window()

    def _store_now(self, entry: AuditEntry) -> bool:
        """Whether to store the entry now; else it is counted."""
        kind = (
            *(entry.action, entry.outcome, entry.address, entry.caller_id, entry.caller),
            *(entry.cluster_id, entry.database),
        )
        with self._lock:
            if self._timer is None:
                self._timer = self._start_timer()
            if kind in self._seen:
                self._again[kind] += 1
                return False
            if len(self._seen) >= OF_ALL or self._addresses[entry.address] >= PER_ADDRESS_LIMIT:
                self._rest[entry.outcome] += 1
                return False
            self._seen[kind] = entry
            self._addresses[entry.address] += 1
            return True

    def _end_window(self) -> None:
        with self._lock:
            again = [replace(self._seen[kind], times=times) for kind, times in self._again.items()]
            rest = [
                AuditEntry(caller=AGGREGATED, action=AGGREGATED, address=AGGREGATED, outcome=outcome, times=times)
                for outcome, times in self._rest.items()
            ]
            for window_data in (self._seen, self._again, self._addresses, self._rest):
                window_data.clear()
            self._timer = None
        for entry in (*again, *rest):
            self._add_or_log(entry)

    def _start_timer(self) -> threading.Timer | None:
        """The timer that ends a window; None without a free thread: then the next refusal tries again."""
        timer = threading.Timer(self._window, self._end_window)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError as error:
            log.warning("audit.timer_not_started", error=str(error))
            return None
        return timer

    def _add_or_log(self, entry: AuditEntry) -> None:
        try:
            self._store.add(entry)
        except PenstockError as error:
            # The call is refused anyway; the server's log has the entry that the catalog couldn't store.
            log.error(
                "audit.lost",
                action=entry.action,
                caller=entry.caller,
                address=entry.address,
                outcome=entry.outcome,
                times=entry.times,
                error=str(error),
            )


class AuditedAuthentication:
    """Record failed authentication in the audit log, as the action ``login``."""

    def __init__(self, inner: Authentication, audit: Audit) -> None:
        self._inner = inner
        self._audit = audit

    @property
    def is_enabled(self) -> bool:
        return self._inner.is_enabled

    @property
    def is_enabled_cached(self) -> bool:
        return self._inner.is_enabled_cached

    def fairness_key(self, header: str) -> str:
        return self._inner.fairness_key(header)

    def identify(self, header: str, address: str) -> Caller:
        try:
            return self._inner.identify(header, address)
        except AccessDenied as error:
            self._audit.refused(
                AuditEntry(
                    # Only names of existing users: an unknown name may be a password sent in its place.
                    caller=error.details.get("name", "unknown"),
                    caller_id=error.details.get("id"),
                    org_id=error.details.get("org_id"),
                    action="login",
                    address=address,
                    outcome=error.code,
                    reason=plain(str(error)),
                )
            )
            raise
