"""Compile a filter to the SQL of Lance's scanner.

Only rows for which a filter is *true* are selected, so ``not`` is pushed down to the conditions, and each condition
is true exactly where Milvus's three-valued logic makes it true (or, negated, false). Where it is unknown, the SQL is
null or false.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from penstock.domain.schema import META_FIELD, CollectionSchema, DataType
from penstock.engines.lance.layout.names import quoted
from penstock.engines.lance.read import filter_sql_json
from penstock.engines.lance.read.sql_literals import SQL_OPS, floating, integer_step, literal, text
from penstock.errors import InvalidFilter
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
    Or,
    Scalar,
    Term,
    field_names,
)
from penstock.filters.like import Wildcard, split_pattern

_CHAIN = 32

_LAST_ELEMENT = 1_000_000
"""Past the capacity of any Array field; the engine fails on indexes that don't fit in 32 bits."""


def to_sql(filter: Filter, schema: CollectionSchema) -> str:
    """Compile a filter to SQL for ``scanner(filter=…)`` on the collection's dataset.

    Raises:
        InvalidFilter: it can't be translated exactly, or names a field that the schema lacks.
    """
    for name in sorted(field_names(filter)):
        if schema.get(name) is None and not (name == META_FIELD and schema.dynamic):
            raise InvalidFilter(f"field {name} not exist", field=name)
    return to_sql_of(filter, negated=False)


def to_sql_of(filter: Filter, negated: bool) -> str:
    """SQL that is true where the filter is true or, ``negated``, where it is false; its fields have been checked."""
    return _sql(filter, negated)


def _sql(filter: Filter, negated: bool) -> str:
    match filter:
        case Constant(value):
            return literal(value != negated)
        case Not(part):
            return _sql(part, not negated)
        case And(parts) | Or(parts):
            conjunction = isinstance(filter, And) != negated
            return _joined(parts, conjunction, negated)
        case Compare(op, term, value):
            return _compare(op.inverse if negated else op, term, value)
        case CompareColumns(op, left, right):
            return _compare_columns(op.inverse if negated else op, left, right)
        case In(JsonPath() as path, values):
            return filter_sql_json.is_in(path, values, negated)
        case In(term, values):
            return _is_in(_term(term), _type(term), values, negated)
        case Like(JsonPath() as path, pattern):
            return filter_sql_json.like(path, pattern, negated)
        case Like(term, pattern):
            return f"{_term(term)} {'not like' if negated else 'like'} {text(_sql_pattern(pattern))}"
        case IsNull(JsonPath() as path):
            return filter_sql_json.is_null(path, negated)
        case IsNull(term):
            return f"{quoted(term.name)} is {'not ' if negated else ''}null"
        case Exists(path):
            return filter_sql_json.exists(path, negated)
        case Contains(JsonPath() as path, values, every):
            return filter_sql_json.contains(path, values, every, negated)
        case Contains(ArrayColumn() as array, values, every):
            return _contains(array, values, every, negated)  # type: ignore[arg-type]
    raise AssertionError(f"unknown node {filter!r}")


def _joined(parts: Sequence[Filter], conjunction: bool, negated: bool) -> str:
    """Join conditions in chains of :data:`_CHAIN` at most: the engine's tree is as deep as a chain is long.

    Only looser operators within an ``and`` and the links of long chains get parentheses: the engine takes at most
    fifty nested ones. So a part with parentheses of its own is put into no link.
    """
    word = " and " if conjunction else " or "
    single, nested = [], []
    for part in parts:
        inner = part.part if isinstance(part, Not) else part
        sql = _sql(part, negated)
        if isinstance(inner, And | Or) and "(" in sql:
            nested.append(f"({sql})" if conjunction else sql)
        else:
            single.append(f"({sql})" if conjunction and isinstance(inner, And | Or) else sql)
    while len(single) > _CHAIN:
        links = [single[start : start + _CHAIN] for start in range(0, len(single), _CHAIN)]
        single = [f"({word.join(link)})" for link in links]
    return word.join([*single, *nested])


def _type(term: Column | Element | Length | Arithmetic | JsonPath) -> DataType:
    match term:
        case Column(type=kind) | Element(type=kind):
            return kind
        case Arithmetic(term=inner, value=value):
            kind = _type(inner)
            return DataType.DOUBLE if kind.is_integer and isinstance(value, float) else kind
    return DataType.INT64


def term_sql(term: Column | Element) -> str:
    return _term(term)


def _term(term: Column | Element | Length | Arithmetic | JsonPath) -> str:
    match term:
        case Column(name):
            return quoted(name)
        case Element(name, _, index):
            return f"array_element({quoted(name)}, {min(index, _LAST_ELEMENT) + 1})"
        case Length(of):
            return f"cast(array_length({quoted(of.name)}) as bigint)"
        case Arithmetic(op, inner, value):
            base, kind = _term(inner), _type(term)
            if isinstance(value, int):
                return integer_step(op, f"cast({base} as bigint)", value)
            if kind is DataType.FLOAT:
                return f"({base} {op} {_single(value)})"
            return f"(cast({base} as double) {op} {floating(value)})"
    raise AssertionError(f"unknown term {term!r}")


def _single(value: float) -> str:
    return f"cast('{value}' as float)" if math.isinf(value) else f"cast({value!r} as float)"


def _compare(op: CompareOp, term: Term, value: object) -> str:
    match term, value:
        case JsonPath(), _:
            return filter_sql_json.compare(op, term, value)  # type: ignore[arg-type]
        case Arithmetic(term=JsonPath()), int() | float():
            return filter_sql_json.compare_step(op, term, value)
    constant = literal(value)  # type: ignore[arg-type]
    if isinstance(value, float) and _type(term) is DataType.FLOAT:
        constant = _single(value)
    return f"{_term(term)} {SQL_OPS[op]} {constant}"


def _compare_columns(op: CompareOp, left: Column, right: Column) -> str:
    sides = [quoted(left.name), quoted(right.name)]
    if DataType.FLOAT in (left.type, right.type) or DataType.DOUBLE in (left.type, right.type):
        # The engine orders -0.0 before 0.0; adding zero makes them equal.
        sides = [f"(cast({side} as double) + 0.0)" for side in sides]
    return f"{sides[0]} {SQL_OPS[op]} {sides[1]}"


def _is_in(term: str, kind: DataType, values: Sequence[Scalar], negated: bool) -> str:
    if not values:
        return f"{term} is not null" if negated else "false"
    condition = f"{term} {'not in' if negated else 'in'} ({', '.join(map(literal, values))})"
    if kind in (DataType.FLOAT, DataType.DOUBLE) and 0.0 in values:
        # -0.0 is not a member of a list that holds 0.0.
        return f"({condition} and {term} <> 0.0)" if negated else f"({condition} or {term} = 0.0)"
    return condition


def _sql_pattern(pattern: str) -> str:
    parts = []
    for part in split_pattern(pattern):
        if isinstance(part, Wildcard):
            parts.append(part.value)
        else:
            parts.append(f"\\{part}" if part in "\\%_" else part)
    return "".join(parts)


def _contains(array: ArrayColumn, values: Sequence[Scalar], every: bool, negated: bool) -> str:
    column = quoted(array.name)
    if not values:
        return f"{column} is not null" if every != negated else "false"
    if every:
        condition = " and ".join(_holds_one(column, array.type, _equal_values(value)) for value in values)
    else:
        condition = _holds_one(column, array.type, [twin for value in values for twin in _equal_values(value)])
    return f"not ({condition})" if negated else f"({condition})"


def _equal_values(value: Scalar) -> list[Scalar]:
    """A value and the equal ones that the engine distinguishes: array functions take -0.0 and 0.0 for different."""
    return [0.0, -0.0] if isinstance(value, float) and value == 0 else [value]


def _holds_one(column: str, kind: DataType, values: Sequence[Scalar]) -> str:
    items = [_single(value) if kind is DataType.FLOAT else literal(value) for value in values]  # type: ignore[arg-type]
    if len(items) == 1:
        return f"array_has({column}, {items[0]})"
    return f"array_has_any({column}, make_array({', '.join(items)}))"
