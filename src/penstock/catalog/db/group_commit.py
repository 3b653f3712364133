"""Group commit: small writes of many threads share a transaction, so they wait for one fsync, not for one each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from penstock.catalog.db.dialects import run_in_driver
from penstock.errors import CatalogUnavailable, PenstockError

Result = TypeVar("Result")

_SAVEPOINT = "grouped"
_INTERRUPTED = (
    "the catalog's process was interrupted while it committed: the change may be stored or not. "
    "Look before you try again"
)


class _PendingWrite:
    """One thread's write, and its result."""

    def __init__(self, function: Callable[[Connection], object]) -> None:
        self._function = function
        self._value: object = None
        self._error: Exception | None = None
        self.ended = False
        """Whether it is committed, or has failed for good."""

    def write(self, connection: Connection) -> None:
        self._error = None  # of an attempt that was rolled back
        self._value = self._function(connection)

    def write_in_savepoint(self, connection: Connection) -> None:
        """Write in a savepoint of SQLite, so that an error rolls back only this write."""
        run_in_driver(connection, f"SAVEPOINT {_SAVEPOINT}")
        try:
            self.write(connection)
        except (IntegrityError, PenstockError) as error:
            run_in_driver(connection, f"ROLLBACK TO {_SAVEPOINT}")
            self.fail(error)
        run_in_driver(connection, f"RELEASE {_SAVEPOINT}")

    def fail(self, error: Exception) -> None:
        self._error = error

    def result(self) -> object:
        if self._error is not None:
            raise self._error
        return self._value


class GroupCommit:
    """Collect the writes that arrive during one thread's transaction, and commit them together in the next one.

    ``begin`` opens a transaction that is committed unless its block raises.
    """

    def __init__(self, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._begin = begin
        self._commit_lock = threading.Lock()
        self._waiting_lock = threading.Lock()
        self._waiting: list[_PendingWrite] = []

    def run(self, function: Callable[[Connection], Result]) -> Result:
        """Run a write and return its result once committed. An error it raises rolls it back.

        A thread that is interrupted (Ctrl-C, exit) while it commits for all leaves the writes of the others to them.

        Raises:
            CatalogUnavailable: that happened during the commit itself, so the write may be stored or not.
        """
        pending = _PendingWrite(function)
        try:
            with self._waiting_lock:
                self._waiting.append(pending)
            with self._commit_lock:
                if not pending.ended:  # else another thread has committed it
                    self._write(self._take_group(pending))
        except BaseException:  # interrupted: no other thread commits later what this one no longer waits for
            with self._waiting_lock:
                self._waiting = [other for other in self._waiting if other is not pending]
            raise
        return cast(Result, pending.result())

    def _take_group(self, pending: _PendingWrite) -> Sequence[_PendingWrite]:
        """The writes that wait; ``pending`` is among them even if an interrupted thread has taken it before."""
        with self._waiting_lock:
            group, self._waiting = self._waiting, []
        return group if pending in group else [*group, pending]

    def _write(self, group: Sequence[_PendingWrite]) -> None:
        if self._commit_batch(group):
            return
        for pending in group:
            try:
                self._commit([pending], _PendingWrite.write)
            except Exception as error:  # noqa: BLE001 - raised in the thread whose write it is
                pending.fail(error)
                pending.ended = True

    def _commit_batch(self, group: Sequence[_PendingWrite]) -> bool:
        """Commit the writes together. False: nothing was written; committed singly, each raises its own error."""
        if len(group) == 1:
            return False
        try:
            self._commit(group, _PendingWrite.write_in_savepoint)
        except Exception:  # noqa: BLE001 - it is raised again by the write that causes it
            return False
        return True

    def _commit(self, group: Sequence[_PendingWrite], write: Callable[[_PendingWrite, Connection], None]) -> None:
        """Commit writes in one transaction. If it raises an error, none of them was committed."""
        is_committing = False
        try:
            with self._begin() as connection:
                for pending in group:
                    write(pending, connection)
                is_committing = True
            for pending in group:
                pending.ended = True
        except BaseException as error:
            if is_committing and not isinstance(error, Exception):
                for pending in group:
                    pending.fail(CatalogUnavailable(_INTERRUPTED))
                    pending.ended = True
            raise
