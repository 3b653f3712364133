"""Group commit: small writes of many threads share a transaction, so they wait for one fsync, not for one each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from penstock.catalog.db.dialects import run_in_driver
from penstock.errors import PenstockError

Result = TypeVar("Result")

_SAVEPOINT = "grouped"


class _PendingWrite:
    """One thread's write, and its result."""

    def __init__(self, function: Callable[[Connection], object]) -> None:
        self._function = function
        self._value: object = None
        self._error: BaseException | None = None
        self.ended = False

    def write(self, connection: Connection) -> None:
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

    def fail(self, error: BaseException | None) -> None:
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
        """Run a write and return its result once committed. An error it raises rolls it back."""
        pending = _PendingWrite(function)
        with self._waiting_lock:
            self._waiting.append(pending)
        with self._commit_lock:
            if not pending.ended:  # else another thread has committed it
                with self._waiting_lock:
                    group, self._waiting = self._waiting, []
                self._write(group)
        return cast(Result, pending.result())

    def _write(self, group: Sequence[_PendingWrite]) -> None:
        try:
            if not self._commit_batch(group):
                for pending in group:
                    self._commit_single(pending)
        finally:
            for pending in group:
                pending.ended = True

    def _commit_batch(self, group: Sequence[_PendingWrite]) -> bool:
        """Commit the writes together. False: nothing was written; committed singly, each raises its own error."""
        if len(group) == 1:
            return False
        try:
            with self._begin() as connection:
                for pending in group:
                    pending.write_in_savepoint(connection)
        except Exception:  # noqa: BLE001 - it is raised again by the write that causes it
            return False
        return True

    def _commit_single(self, pending: _PendingWrite) -> None:
        pending.fail(None)
        try:
            with self._begin() as connection:
                pending.write(connection)
        except Exception as error:  # noqa: BLE001 - raised in the thread whose write it is
            pending.fail(error)
