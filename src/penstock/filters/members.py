"""Equality and set membership of JSON values, by the rules of filters.

Two integers are equal exactly, an integer and a float as floats. That is no equivalence (2**53 + 1 equals the float
2**53, which equals the integer 2**53), so a plain Python set is not enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from penstock.filters.literals import INT64_MAX, INT64_MIN


def kind_of(value: Any) -> str:
    """The kind of a JSON value; values of different kinds are neither equal nor comparable."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list() | tuple():
            return "list"
    return "other"


def json_equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same; objects and null equal nothing."""
    kind = kind_of(left)
    if kind != kind_of(right) or kind == "other":
        return False
    if kind == "list":
        return len(left) == len(right) and all(map(json_equal, left, right))
    if isinstance(left, float) or isinstance(right, float):
        return float(left) == float(right)
    return bool(left == right)


class Members:
    """A set of JSON values, by kind: a look-up takes constant time. Only lists are compared one by one."""

    def __init__(self, values: Iterable[Any]) -> None:
        self._bools: set[bool] = set()
        self._strings: set[str] = set()
        self._integers: set[int] = set()
        self._floats: set[float] = set()
        self._rounded: set[float] = set()
        self._lists: list[Any] = []
        for value in values:
            match value:
                case bool():
                    self._bools.add(value)
                case int():
                    self._integers.add(value)
                    self._rounded.add(float(value))
                case float():
                    self._floats.add(value)
                case str():
                    self._strings.add(value)
                case list() | tuple():
                    self._lists.append(value)
        self._kinds = {
            kind
            for kind, members in (
                ("bool", self._bools),
                ("number", self._integers or self._floats),
                ("string", self._strings),
                ("list", self._lists),
            )
            if members
        }

    def hold(self, value: Any) -> bool:
        """Whether one of them equals ``value``."""
        match value:
            case bool():
                return value in self._bools
            case int():
                return value in self._integers or float(value) in self._floats
            case float():
                return value in self._floats or value in self._rounded
            case str():
                return value in self._strings
            case list() | tuple():
                return any(json_equal(value, item) for item in self._lists)
        return False

    def contain(self, value: Any) -> bool | None:
        """Evaluate ``in``: unknown for null, and for a value of a kind that none of them has."""
        if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
            value = float(value)
        if value is None or (self._kinds and kind_of(value) not in self._kinds):
            return None
        return self.hold(value)
