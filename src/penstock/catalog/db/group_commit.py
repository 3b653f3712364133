"""Small writes of many threads in one transaction: they wait for the disk together, not one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from penstock.errors import PenstockError

__all__ = ["GroupCommit"]

Result = TypeVar("Result")


class _PendingWrite:
    """One thread's write, and what came of it."""

    def __init__(self, function: Callable[[Connection], object]) -> None:
        self._function = function
        self._value: object = None
        self._error: BaseException | None = None
        self.ended = False

    def write(self, connection: Connection) -> None:
        self._value = self._function(connection)

    def write_beside_others(self, connection: Connection) -> None:
        """An error of its own undoes nobody else's write."""
        try:
            with connection.begin_nested():
                self.write(connection)
        except (IntegrityError, PenstockError) as error:
            self.fail(error)

    def fail(self, error: BaseException | None) -> None:
        self._error = error

    def result(self) -> object:
        if self._error is not None:
            raise self._error
        return self._value


class GroupCommit:
    """While one thread's transaction is on its way to the disk, the writes of others gather for the next one.

    ``begin`` opens a transaction that is committed when it ends well.
    """

    def __init__(self, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._begin = begin
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: list[_PendingWrite] = []

    def run(self, function: Callable[[Connection], Result]) -> Result:
        """The function's result, once it is committed. What it raises undoes what it wrote."""
        work = _PendingWrite(function)
        with self._guard:
            self._waiting.append(work)
        with self._turn:
            if not work.ended:  # else another thread has taken it along
                with self._guard:
                    group, self._waiting = self._waiting, []
                self._write(group)
        return cast(Result, work.result())

    def _write(self, group: Sequence[_PendingWrite]) -> None:
        try:
            if not self._commit_batch(group):
                for each in group:
                    self._commit_single(each)
        finally:
            for each in group:
                each.ended = True

    def _commit_batch(self, group: Sequence[_PendingWrite]) -> bool:
        """Whether that was done. If not, nothing was written: who is alone meets the error that is its own."""
        if len(group) == 1:
            return False
        try:
            with self._begin() as connection:
                for each in group:
                    each.write_beside_others(connection)
        except Exception:  # noqa: BLE001 - it comes again where it belongs
            return False
        return True

    def _commit_single(self, work: _PendingWrite) -> None:
        work.fail(None)
        try:
            with self._begin() as connection:
                work.write(connection)
        except Exception as error:  # noqa: BLE001 - raised in the thread whose write it is
            work.fail(error)
