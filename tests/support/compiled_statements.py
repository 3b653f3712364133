"""Statements that one engine of SQLAlchemy has compiled serve all engines of the process.

Each engine has a cache of its own, and each test a catalog of its own, with an engine: it would compile some thirty
statements again, a fifth of the processor time of a test of the catalog.
"""

from __future__ import annotations

from collections import UserDict
from typing import Any

from sqlalchemy import Engine

__all__ = ["share_compiled_statements"]


class _Statements(UserDict[Any, Any]):
    """Compiled statements by what SQLAlchemy's caches have them by, but for the dialect: its class is in its place.

    All engines of one dialect are made alike, by :mod:`penstock.catalog.db.dialects`.
    """

    def __getitem__(self, key: Any) -> Any:
        return self.data[_by_class(key)]

    def __setitem__(self, key: Any, compiled: Any) -> None:
        self.data[_by_class(key)] = compiled

    def get(self, key: Any, default: Any = None) -> Any:
        return self.data.get(_by_class(key), default)


def _by_class(key: Any) -> Any:
    dialect, *others = key
    return (type(dialect), *others)


def share_compiled_statements() -> None:
    """Give all engines one cache."""
    statements = _Statements()
    of_engines: Any = (
        Engine  # whose constructor sets the attribute; SQLAlchemy reads its signature, so it is left alone
    )
    of_engines._compiled_cache = property(lambda engine: statements, lambda engine, cache: None)
