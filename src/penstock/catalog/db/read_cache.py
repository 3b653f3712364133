"""A cache of what was read from a catalog in SQLite, valid until a table that it holds rows of is changed.

Every call looks up its cluster, database and collection, and a search the indexes, too: four statements, a fifth of a
millisecond of Python each. Triggers count the changes of these tables in ``read_cache_version``, in the transactions
that make them, whichever process that is: also those of ``penstock admin`` beside a running server. Reading the
number takes five microseconds. Commits to other tables leave it, of which each job makes several.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import SQLAlchemyError

Result = TypeVar("Result")

_MAX_VALUES = 1_000
_MAX_CONNECTIONS = 8
"""Kept open only to read the version, as taking one from the pool takes longer than that."""

CACHED_TABLES = ("cluster", "database", "collection", "alias", "partition", "vector_index")
"""The tables whose changes are counted: what is read through the cache is of no other table."""


class ReadCache:
    """Values read from a SQLite file, each by its key. They are shared, and must not be changed. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connections: list[PoolProxiedConnection] = []
        """Those that no thread uses now. The version is not read under the lock: SQLite releases the GIL meanwhile,
        and a thread that waits for it must not have all others wait for the lock."""
        self._lock = threading.Lock()
        self._version = -1
        self._values: dict[Hashable, Any] = {}

    def get(self, key: Hashable, read: Callable[[], Result]) -> Result:
        """The value of a key, which ``read`` reads if none was read since the last change."""
        version = self._current_version()
        if version is None:
            return read()
        with self._lock:
            if version > self._version:
                self._values.clear()
                self._version = version
            # If another thread has read a higher one meanwhile, the values are newer than what was asked for.
            if key in self._values:
                value: Result = self._values[key]
                return value
        value = read()
        with self._lock:
            if version == self._version:
                if len(self._values) >= _MAX_VALUES:
                    self._values.clear()
                self._values[key] = value
        return value

    def close(self) -> None:
        while self._connections:
            self._connections.pop().close()

    def _current_version(self) -> int | None:
        """The number of changes that are committed; None if it can't be read: ``read`` raises why."""
        connection = None
        try:
            connection = self._connection()
            driver = connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            # All rows are fetched, which ends SQLite's read transaction.
            rows = driver.execute("SELECT number FROM read_cache_version").fetchall()
        except (sqlite3.Error, SQLAlchemyError):
            if connection is not None:
                connection.close()
            return None
        if len(self._connections) < _MAX_CONNECTIONS:
            self._connections.append(connection)
        else:
            connection.close()
        return int(rows[0][0]) if rows else None

    def _connection(self) -> PoolProxiedConnection:
        try:
            return self._connections.pop()
        except IndexError:  # others use them
            return self._engine.raw_connection()
