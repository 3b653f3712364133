"""Evaluate a filter on one row in plain Python: the reference that engines are tested against."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from penstock.analyzers import analyzer_from_params
from penstock.domain.schema import DataType
from penstock.filters.ast import (
    And,
    Arithmetic,
    ArrayColumn,
    Column,
    Compare,
    CompareColumns,
    CompareOp,
    Constant,
    Contains,
    Element,
    Exists,
    Filter,
    In,
    IsNull,
    JsonPath,
    Length,
    Like,
    Not,
    Operand,
    Or,
    PhraseMatch,
    Term,
    TextMatch,
)
from penstock.filters.like import like_matcher
from penstock.filters.literals import INT64_MAX, INT64_MIN
from penstock.filters.members import json_equal, kind_of
from penstock.filters.numbers import calculate, to_float32

__all__ = ["evaluate"]

_COMPARE: dict[CompareOp, Callable[[Any, Any], bool]] = {
    CompareOp.EQ: operator.eq,
    CompareOp.NE: operator.ne,
    CompareOp.LT: operator.lt,
    CompareOp.LE: operator.le,
    CompareOp.GT: operator.gt,
    CompareOp.GE: operator.ge,
}

_cached_matcher = cache(like_matcher)


def evaluate(filter: Filter, row: Mapping[str, Any]) -> bool | None:
    """Evaluate to True, False, or None for unknown.

    ``row`` maps field names to Python values: JSON fields and ``$meta`` as decoded documents, arrays as lists. An
    absent field counts as null.
    """
    match filter:
        case Constant(value):
            return value
        case Not(part):
            return _not(evaluate(part, row))
        case And(parts):
            return _not(_any(_not(evaluate(part, row)) for part in parts))
        case Or(parts):
            return _any(evaluate(part, row) for part in parts)
        case Compare(op, term, value):
            return _compare(op, _value(term, row), value)
        case CompareColumns(op, left, right):
            return _compare(op, _value(left, row), _value(right, row))
        case In(term, values):
            return _is_in(_value(term, row), values)
        case Like(term, pattern):
            text = _value(term, row)
            return _cached_matcher(pattern)(text) if isinstance(text, str) else None
        case IsNull(term):
            return row.get(term.name) is None
        case Exists(path):
            return _value(path, row) not in (None, {})
        case TextMatch() | PhraseMatch():
            return _has_words(filter, row.get(filter.term.name))
        case Contains(term, values, every):
            return _contains(_array(term, row), values, every)
    raise AssertionError(f"unknown node {filter!r}")


def _not(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def _any(truths: Iterable[bool | None]) -> bool | None:
    answer: bool | None = False
    for truth in truths:
        if truth:
            return True
        if truth is None:
            answer = None
    return answer


def _value(term: Term, row: Mapping[str, Any]) -> Any:
    match term:
        case Column(name):
            return row.get(name)
        case Element(name, _, index):
            array = row.get(name)
            return array[index] if array is not None and index < len(array) else None
        case JsonPath(name, keys):
            return _walk(row.get(name), keys)
        case Length(of):
            array = _array(of, row)
            return None if array is None else len(array)
        case Arithmetic():
            return _step(term, row)


def _walk(document: Any, keys: tuple[str | int, ...]) -> Any:
    for key in keys:
        if isinstance(key, str):
            document = document.get(key) if isinstance(document, dict) else None
        else:
            document = document[key] if isinstance(document, list) and key < len(document) else None
    return _exact(document)


def _exact(value: Any) -> Any:
    """Integers beyond 64 bits are numbers like any other, but no longer exact."""
    return float(value) if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX else value


def _array(term: ArrayColumn | JsonPath, row: Mapping[str, Any]) -> list[Any] | None:
    array = row.get(term.name) if isinstance(term, ArrayColumn) else _value(term, row)
    return array if isinstance(array, list) else None


def _step(term: Arithmetic, row: Mapping[str, Any]) -> int | float | None:
    value = _value(term.term, row)
    if value is None or kind_of(value) != "number":
        return None
    result = calculate(term.op, value, term.value)
    return to_float32(result) if result is not None and _is_single(term.term) else result


def _is_single(term: Operand) -> bool:
    return isinstance(term, Column | Element) and term.type is DataType.FLOAT


def _compare(op: CompareOp, left: Any, right: Any) -> bool | None:
    if left is None or right is None or kind_of(left) != kind_of(right):
        return None
    if isinstance(left, list | tuple):
        return json_equal(left, right) if op is CompareOp.EQ else not json_equal(left, right)
    return _COMPARE[op](*_alike(left, right))


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Two integers compare exactly; an integer and a float as floats."""
    if isinstance(left, float) or isinstance(right, float):
        return float(left), float(right)
    return left, right


def _is_in(value: Any, values: tuple[Any, ...]) -> bool | None:
    if value is None or (values and kind_of(value) not in {kind_of(value) for value in values}):
        return None
    return any(json_equal(value, constant) for constant in values)


def _has_words(filter: TextMatch | PhraseMatch, text: str | None) -> bool | None:
    if text is None:
        return None
    words = analyzer_from_params(filter.analyzer).positions(text)
    if isinstance(filter, TextMatch):
        return bool(filter.terms) and sum(term in words for term in filter.terms) >= filter.minimum
    shifts = [
        [place - position for place, word in enumerate(words) if word == term] for position, term in filter.terms
    ]
    return bool(shifts) and any(max(chosen) - min(chosen) <= filter.slop for chosen in itertools.product(*shifts))


def _contains(array: list[Any] | None, values: tuple[Any, ...], every: bool) -> bool | None:
    if array is None:
        return None
    matches = (any(json_equal(element, value) for element in array) for value in values)
    return all(matches) if every else any(matches)
