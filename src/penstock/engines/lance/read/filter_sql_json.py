"""Compile conditions on JSON documents to the SQL of Lance's scanner.

Lance keeps JSON as JSONB. Its ``json_get_int`` and kin turn strings into numbers and fail the whole query at one odd
row, so everything here starts from ``json_extract``: the value at a path as compact JSON text (strings quoted and
escaped as ``json.dumps(ensure_ascii=False)`` does), or null. The first character gives the type, ``try_cast`` reads
numbers.

Paths may end in a predicate, ``$."a"?(@ < "x")``. Predicates are lax: on an array they check its scalars in turn
and return true at the first hit, *unknown* at the first value of another type, and false at the end; a predicate that
is unknown in any part selects nothing. :func:`_not_nested` makes use of that. Floats must be written ``.15e1`` there,
and the empty string can't be written at all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import TypeAlias

from penstock.engines.lance.layout.names import quoted
from penstock.engines.lance.read.sql_literals import SQL_OPS, floating, integer, integer_step, text
from penstock.errors import InvalidFilter
from penstock.filters.ast import Arithmetic, CompareOp, JsonPath, Scalar, Value
from penstock.filters.like import Wildcard, split_pattern

_EXACT_IN_DOUBLE = 2**53
_LAST_INDEX = 2**31 - 1
_ONE_CHARACTER = r'(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9a-f]{4}))'
_SPECIAL = frozenset(r"\.+*?()|[]{}^$")

Place: TypeAlias = tuple[str, str]
"""A JSONB expression and the JSON path in it, not yet quoted."""


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _place(path: JsonPath) -> Place:
    document, keys = quoted(path.name), path.keys
    if "" in keys:
        # Paths have no way to write the empty key. json_get has, but takes "0" for an index and 0 for a key.
        if any(isinstance(key, int) or key.lstrip("+").isdigit() for key in keys):
            raise InvalidFilter('a JSON path with the empty key "" can\'t have numbers among its keys')
        for key in keys:
            document = f"json_get({document}, {text(str(key))})"
        return document, "$"
    steps = (f".{_quote(key)}" if isinstance(key, str) else f"[{min(key, _LAST_INDEX)}]" for key in keys)
    return document, "$" + "".join(steps)


def value_sql(path: JsonPath) -> str:
    """The value at a path as JSON text, null where there is none."""
    return _value(_place(path))


def _value(place: Place) -> str:
    return f"json_extract({place[0]}, {text(place[1])})"


def _selects(place: Place, predicate: str, step: str = "") -> str:
    return f"json_exists({place[0]}, {text(f'{place[1]}{step}?({predicate})')})"


def _is_string(place: Place) -> str:
    return f"starts_with({_value(place)}, '\"')"


def _is_list(place: Place) -> str:
    return f"starts_with({_value(place)}, '[')"


def _double(place: Place) -> str:
    return f"try_cast({_value(place)} as double)"


def _bigint(place: Place) -> str:
    return f"try_cast({_value(place)} as bigint)"


def exists(path: JsonPath, negated: bool) -> str:
    value = _value(_place(path))
    if negated:
        return f"({value} is null or {value} in ('null', '{{}}'))"
    return f"{value} not in ('null', '{{}}')"


def is_null(path: JsonPath, negated: bool) -> str:
    column, value = quoted(path.name), _value(_place(path))
    return f"{value} <> 'null'" if negated else f"({column} is null or {value} = 'null')"


def compare(op: CompareOp, path: JsonPath, value: Value) -> str:
    place = _place(path)
    if isinstance(value, bool):
        return f"{_value(place)} = '{json.dumps(value == (op is CompareOp.EQ))}'"
    if isinstance(value, str):
        return _compare_string(op, place, value)
    assert not isinstance(value, tuple)  # lists are compared on the batches of a scan
    return _compare_number(op, place, value)


def _compare_number(op: CompareOp, place: Place, value: int | float) -> str:
    sign = SQL_OPS[op]
    inexact = f"{_double(place)} {sign} {floating(float(value))}"
    # Below 2^53 rounding an integer to a double can't carry it past the constant.
    if isinstance(value, float) or abs(value) < _EXACT_IN_DOUBLE:
        return inexact
    return f"coalesce({_bigint(place)} {sign} {integer(value)}, {inexact})"


def _compare_string(op: CompareOp, place: Place, value: str) -> str:
    same = f"{_value(place)} {SQL_OPS[op]} {text(_quote(value))}"
    match op:
        case CompareOp.EQ:
            return same
        case CompareOp.NE:
            return f"({_is_string(place)} and {same})"
        case CompareOp.GE if not value:
            return _is_string(place)
        case CompareOp.LT if not value:
            return "false"
        case CompareOp.GT | CompareOp.LE if not value:
            return _compare_string(CompareOp.NE if op is CompareOp.GT else CompareOp.EQ, place, value)
    return f"({_is_string(place)} and {_selects(place, f'@ {op} {_quote(value)}')})"


def compare_step(op: CompareOp, term: Arithmetic, value: int | float) -> str:
    """``path step constant op value``: on integers as bigint, on other numbers as double."""
    assert isinstance(term.term, JsonPath)
    place, sign = _place(term.term), SQL_OPS[op]
    double = f"({_double(place)} {term.op} {floating(float(term.value))}) {sign} {floating(float(value))}"
    if isinstance(term.value, float):
        return double
    whole = integer_step(term.op, _bigint(place), term.value)
    if isinstance(value, float):
        whole = f"cast({whole} as double) {sign} {floating(value)}"
    else:
        whole = f"{whole} {sign} {integer(value)}"
    return whole if term.op.integers_only else f"coalesce({whole}, {double})"


def is_in(path: JsonPath, values: Sequence[Scalar], negated: bool) -> str:
    """Compile ``in``: true for a value of one of the constants' types that is (not) among them."""
    place = _place(path)
    if not values:
        return f"{_value(place)} <> 'null'" if negated else "false"
    word, joint = ("not in", "and") if negated else ("in", "or")
    op = CompareOp.NE if negated else CompareOp.EQ
    kinds = []
    names = [json.dumps(value) for value in values if isinstance(value, bool)]
    if names:
        guard = f"{_value(place)} in ('true', 'false') and " if negated else ""
        kinds.append(f"({guard}{_value(place)} {word} ({', '.join(map(text, names))}))")
    strings = [text(_quote(value)) for value in values if isinstance(value, str)]
    if strings:
        guard = f"{_is_string(place)} and " if negated else ""
        kinds.append(f"({guard}{_value(place)} {word} ({', '.join(strings)}))")
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if numbers:
        large = [number for number in numbers if isinstance(number, int) and abs(number) >= _EXACT_IN_DOUBLE]
        small = [
            float(number) for number in numbers if not (isinstance(number, int) and abs(number) >= _EXACT_IN_DOUBLE)
        ]
        parts = []
        if large:
            # Integers are compared exactly, other numbers with the constants as doubles.
            exact = f"{_bigint(place)} {word} ({', '.join(map(integer, large))})"
            inexact = f"{_double(place)} {word} ({', '.join(floating(float(number)) for number in large)})"
            parts.append(f"coalesce({exact}, {inexact})")
        if small:
            parts.append(f"{_double(place)} {word} ({', '.join(map(floating, small))})")
        if any(number == 0 for number in small):
            parts.append(_compare_number(op, place, 0))
        kinds.append(f"({f' {joint} '.join(parts)})")
    return f"({' or '.join(kinds)})"


def like(path: JsonPath, pattern: str, negated: bool) -> str:
    """Compile ``like`` to a regular expression on the quoted text, an escape sequence being one character."""
    place = _place(path)
    parts = []
    for part in split_pattern(pattern):
        if part is Wildcard.ONE:
            parts.append(_ONE_CHARACTER)
        elif part is Wildcard.RUN:
            parts.append(f"{_ONE_CHARACTER}*")
        else:
            assert isinstance(part, str)
            escaped = _quote(part)[1:-1]
            parts.append("".join(f"\\{character}" if character in _SPECIAL else character for character in escaped))
    expression = f'^"{"".join(parts)}"$'
    matches = f"regexp_like({_value(place)}, {text(expression)})"
    return f"({_is_string(place)} and not {matches})" if negated else matches


def contains(path: JsonPath, values: Sequence[Value], every: bool, negated: bool) -> str:
    place = _place(path)
    condition = (" and " if every else " or ").join(_holds(place, value) for value in values)
    if not condition:
        condition = "true" if every else "false"
    return f"({_is_list(place)} and {'not ' if negated else ''}({condition}))"


def _holds(place: Place, value: Value) -> str:
    """True if one element of the list at ``place`` equals ``value``."""
    assert not isinstance(value, tuple)  # lists are compared on the batches of a scan
    if isinstance(value, str):
        # This function compares an element's JSON text; only strings are safe from its second, laxer comparison.
        return f"json_array_contains({place[0]}, {text(place[1])}, {text(_quote(value))})"
    return _selects(place, _equal_predicate("@", value), "[*]")


def _equal_predicate(at: str, value: Scalar) -> str:
    return f"({at} == {_predicate_literal(value)} || {_not_nested(at)})"


def _not_nested(at: str) -> str:
    """False for a scalar, unknown for an array that begins with a scalar: no value is both a number and a string."""
    return f'({at}[0] == 1 || {at}[0] == "x")'


def _predicate_literal(value: Scalar) -> str:
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, float) and value:
        sign, digits, exponent = Decimal(repr(value)).as_tuple()
        assert isinstance(exponent, int)
        return f"{'-' if sign else ''}.{''.join(map(str, digits))}e{exponent + len(digits)}"
    return json.dumps(value) if isinstance(value, bool) else str(int(value))
