"""Check objects of free-typed parameters against a table: which are served, which have no effect, which are refused.

Milvus ignores unknown keys, so a misspelt one has no effect and gives no error. Here each key is in one of the tables
of :mod:`penstock.collections.parameter_tables` or refused.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from penstock.domain.parameter_values import MAX_INT32, go_boolean, whole_number
from penstock.errors import InvalidParameter, Unsupported, shorten


class Effect(StrEnum):
    """The effect of a parameter."""

    SERVED = "served"
    NONE = "no effect"
    REFUSED = "refused"


class Kind(StrEnum):
    """The type of a parameter's value; JSON text of it is accepted too."""

    ANY = "a string, a number, true or false"
    FLAG = "true or false"
    COUNT = "a whole number from 1 on"
    AMOUNT = "a whole number"
    NUMBER = "a number"
    TEXT = "a string"
    OBJECT = "a JSON object, or the text of one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One key, or several with the same meaning. A name that ends in ``.`` matches as a prefix.

    ``about`` describes a served one, why another has no effect, or the alternative to a refused one.
    ``types`` are the index types that it applies to, empty for all. A refused ``FLAG`` may be false.
    """

    names: tuple[str, ...]
    effect: Effect
    about: str
    kind: Kind = Kind.ANY
    types: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class ParameterTable:
    """The allowed keys of one object of a request. ``where`` is its name in error messages."""

    title: str
    where: str
    rows: Sequence[Parameter]

    def named(self, key: str) -> Sequence[Parameter]:
        """The rows of a key."""
        by_prefix = [row for prefix, row in self._by_prefix if key.startswith(prefix)]
        return [*self._by_name.get(key, ()), *by_prefix]

    @cached_property
    def _by_name(self) -> Mapping[str, Sequence[Parameter]]:
        names = {name for row in self.rows for name in row.names if not name.endswith(".")}
        return {name: [row for row in self.rows if name in row.names] for name in names}

    @cached_property
    def _by_prefix(self) -> Sequence[tuple[str, Parameter]]:
        return [(name, row) for row in self.rows for name in row.names if name.endswith(".")]


def served(*names: str, about: str, kind: Kind = Kind.ANY, types: frozenset[str] = frozenset()) -> Parameter:
    """A parameter that has its effect."""
    return Parameter(names=names, effect=Effect.SERVED, about=about, kind=kind, types=types)


def unused(*names: str, about: str, kind: Kind = Kind.ANY, types: frozenset[str] = frozenset()) -> Parameter:
    """A parameter that is accepted without effect."""
    return Parameter(names=names, effect=Effect.NONE, about=about, kind=kind, types=types)


def refused(*names: str, about: str, kind: Kind = Kind.ANY) -> Parameter:
    """A parameter that is refused."""
    return Parameter(names=names, effect=Effect.REFUSED, about=about, kind=kind)


def check_parameters(table: ParameterTable, parameters: Mapping[str, Any], index_type: str = "") -> None:
    """Refuse parameters that the table lacks or has as refused; ``null`` and ``""`` count as absent.

    Raises:
        Unsupported: this server doesn't do it.
        InvalidParameter: the parameter is unknown, not of the index type, or has an invalid value.
    """
    if len(parameters) > _MOST:
        raise InvalidParameter(f"{table.where} has {len(parameters)} keys, at most {_MOST} are allowed")
    for key, value in parameters.items():
        if value is not None and value != "":
            _check_parameter(table, key, value, index_type)


def check_names(table: ParameterTable, names: Sequence[str]) -> None:
    """Raise InvalidParameter for the first name that the table lacks."""
    for name in names:
        if not table.named(name):
            raise InvalidParameter(
                f"{shorten(name)} is not a parameter of {table.where}{_nearest(table, name)}", key=shorten(name)
            )


_MOST = 64
"""Maximum number of keys of one such object; every table has fewer parameters."""


def _check_parameter(table: ParameterTable, key: str, value: Any, index_type: str) -> None:
    rows = table.named(key)
    if not rows:
        check_names(table, [key])
    row = next((row for row in rows if not row.types or index_type in row.types), None)
    if row is None:
        types = sorted(frozenset().union(*(row.types for row in rows)))
        raise InvalidParameter(
            f"{key} is not a parameter of an index of type {shorten(index_type)}, only of {', '.join(types)}", key=key
        )
    if row.effect is Effect.REFUSED and not (row.kind is Kind.FLAG and go_boolean(value) is False):
        raise Unsupported(
            f"{shorten(key)} in {table.where} is not supported by this server: {row.about}", key=shorten(key)
        )
    if not _FITS[row.kind](value):
        raise InvalidParameter(
            f"{shorten(key)} in {table.where} should be {row.kind.value}, but got {shorten(value)}", key=shorten(key)
        )


def _nearest(table: ParameterTable, key: str) -> str:
    names = [name.removesuffix(".") for row in table.rows if row.effect is not Effect.REFUSED for name in row.names]
    near = difflib.get_close_matches(key[:80], names, 1)
    return f"; did you mean {near[0]}?" if near else f". Known parameters: {', '.join(dict.fromkeys(names))}"


def _is_number(value: Any) -> bool:
    """Whether the value is a number or the text of one; NaN is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        return not math.isnan(float(value))
    except ValueError:
        return False


def _is_short(value: str) -> bool:
    """Whether a text may be stored; PostgreSQL stores none with a NUL."""
    return len(value) <= 1024 and "\0" not in value


def _is_count(value: Any) -> bool:
    number = whole_number(value)
    return number is not None and 1 <= number <= MAX_INT32


_FITS: Mapping[Kind, Callable[[Any], bool]] = {
    Kind.ANY: lambda value: not isinstance(value, list | dict) and (not isinstance(value, str) or _is_short(value)),
    Kind.FLAG: lambda value: go_boolean(value) is not None,
    Kind.COUNT: _is_count,
    Kind.AMOUNT: lambda value: whole_number(value) is not None,
    Kind.NUMBER: _is_number,
    Kind.OBJECT: lambda value: isinstance(value, dict) or (isinstance(value, str) and "\0" not in value),
    Kind.TEXT: lambda value: isinstance(value, str) and _is_short(value),
}
