"""What the writes of a catalog transaction share: what they read, statements at its commit, callbacks after it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

Result = TypeVar("Result")
Item = TypeVar("Item")

AT_COMMIT = "penstock_at_commit"
"""Execution option of a writing connection: the writes of :func:`write_at_commit`, each with one item."""

READ = "penstock_read"
"""Execution option of a writing connection: what :func:`read_once` has read, by its key."""

AFTER_COMMIT = "penstock_after_commit"
"""Execution option of a writing connection: the callbacks of ``CatalogDatabase.after_commit``."""


def write_at_commit(
    connection: Connection, write: Callable[[Connection, Sequence[Item]], None], items: Sequence[Item]
) -> None:
    """Have ``write`` called once before the transaction's commit, with the items of all calls with the same function.

    Writes of many jobs that share a transaction become one statement. What is written so, the transaction itself
    neither reads nor changes otherwise: items of one function keep their order, those of several functions don't.
    Nothing is called if it is rolled back.
    """
    connection.get_execution_options()[AT_COMMIT].extend((write, item) for item in items)


def read_once(connection: Connection, key: Hashable, read: Callable[[], Result]) -> Result:
    """What ``read`` returns, or has returned for this key in the same transaction.

    Writes of many jobs that share a transaction read their org and collection once. For what none of them changes.
    """
    values = connection.get_execution_options()[READ]
    if key not in values:
        values[key] = read()
    value: Result = values[key]
    return value


def unwritten(connection: Connection, write: Callable[[Connection, Sequence[Item]], None]) -> Sequence[Item]:
    """The items of :func:`write_at_commit` with this function that wait for the commit."""
    return [item for function, item in connection.get_execution_options()[AT_COMMIT] if function is write]


def write_deferred(connection: Connection) -> None:
    """Write now what waits for the commit, for a transaction that reads it and shares no group commit.

    In a group this would be undone with the write that asks for it, and be lost to the others, whose writes it has.
    """
    options = connection.get_execution_options()
    options[READ].clear()  # numbers that didn't have these writes
    deferred = options[AT_COMMIT]
    by_function: dict[Callable[[Connection, Sequence[Any]], None], list[Any]] = {}
    for write, item in deferred:
        by_function.setdefault(write, []).append(item)
    deferred.clear()
    for write, items in by_function.items():
        write(connection, items)


def undone_together(function: Callable[[Connection], Result], connection: Connection) -> Result:
    """Call a function; if it fails, forget what it has asked for at or after the commit.

    Its write is rolled back then, and those before it in the group may be committed.
    """
    options = connection.get_execution_options()
    waiting = [(options[name], len(options[name])) for name in (AT_COMMIT, AFTER_COMMIT)]
    try:
        return function(connection)
    except BaseException:
        for items, present in waiting:
            del items[present:]
        raise
