"""A cache of what was read from a catalog in SQLite, valid until the next commit of any process.

Every call looks up its cluster, database and collection, and a search the indexes, too: four statements, a fifth of a
millisecond of Python each. SQLite's ``data_version`` changes with each commit of another connection: so a connection
that only asks for it sees all commits, also those of administration commands while a server runs. Asking takes ten
microseconds or so.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

Result = TypeVar("Result")

_MAX_VALUES = 1_000


class ReadCache:
    """Values read from a SQLite file, each by its key. They are shared, and must not be changed. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: Any = None
        self._version: int | None = None
        self._values: dict[Hashable, Any] = {}

    def get(self, key: Hashable, read: Callable[[], Result]) -> Result:
        """The value of a key, which ``read`` reads if none was read since the last commit."""
        with self._lock:
            version = self._data_version()
            if version is None or version != self._version:
                self._values.clear()
                self._version = version
            elif key in self._values:
                value: Result = self._values[key]
                return value
        value = read()
        with self._lock:
            if version is not None and version == self._version:
                if len(self._values) >= _MAX_VALUES:
                    self._values.clear()
                self._values[key] = value
        return value

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _data_version(self) -> int | None:
        """The number of the last commit that is visible; None if the database can't be read: ``read`` raises why."""
        try:
            if self._connection is None:
                self._values.clear()  # the numbers of two connections can't be compared
                self._version = None
                self._connection = self._engine.raw_connection()
            number: int = self._connection.driver_connection.execute("PRAGMA data_version").fetchone()[0]
        except (sqlite3.Error, SQLAlchemyError):
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            return None
        return number
