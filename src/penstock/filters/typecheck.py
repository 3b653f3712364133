"""Type-check conditions: which types can be compared, and how constants are cast to a field's type."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.domain.schema import INTEGER_RANGES, DataType
from penstock.errors import InvalidFilter, shorten
from penstock.filters.ast import (
    Arithmetic,
    ArithmeticOp,
    ArrayColumn,
    Column,
    Compare,
    CompareColumns,
    CompareOp,
    Constant,
    Contains,
    Element,
    Filter,
    In,
    JsonPath,
    Length,
    Like,
    Scalar,
    Term,
    Value,
)
from penstock.filters.like import split_pattern
from penstock.filters.limits import check_pattern
from penstock.filters.literals import INT64_MAX, INT64_MIN
from penstock.filters.numbers import check_step, integer_bound, to_float32


def type_name(value: object) -> str:
    """The type of a term or constant, for messages."""
    match value:
        case Column(type=kind) | Element(type=kind):
            return kind.value
        case JsonPath():
            return "JSON"
        case ArrayColumn() | tuple() | list():
            return "Array"
        case Length():
            return "Int64"
        case Arithmetic(term=term):
            return type_name(term)
        case bool():
            return "Bool"
        case int():
            return "Int64"
        case float():
            return "Double"
        case str():
            return "VarChar"
    return "Bool"


def _not_comparable(left: object, right: object) -> InvalidFilter:
    hint = "; write times as ISO '2025-01-01T00:00:00Z'" if type_name(left) == DataType.TIMESTAMPTZ else ""
    return InvalidFilter(f"comparisons between {type_name(left)} and {type_name(right)} are not supported{hint}")


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def checked_value(value: Value) -> Value:
    """``value``, if its integers fit in 64 bits."""
    if isinstance(value, tuple):
        for item in value:
            checked_value(item)
    elif isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        raise InvalidFilter(f"integer {value} is out of the range of Int64")
    return value


def _numeric_type(term: Term) -> DataType | None:
    """The type that a term's values are compared in; None for JSON."""
    match term:
        case Column(type=kind) | Element(type=kind):
            return kind
        case Length():
            return DataType.INT64
        case Arithmetic(term=inner, value=value):
            base = _numeric_type(inner)
            if base is None or not base.is_integer:
                return base
            return DataType.INT64 if isinstance(value, int) else DataType.DOUBLE
    return None


def _check_term(term: object, verb: str = "compared") -> None:
    if isinstance(term, JsonPath) and not term.keys:
        raise InvalidFilter(
            f'the JSON field {term.name} can\'t be {verb} as a whole; name a path in it, as in {term.name}["key"]'
        )


def compare(op: CompareOp, term: Term, value: Value) -> Filter:
    """Build ``term op value``, with the value cast to the term's type."""
    _check_term(term)
    value = checked_value(value)
    kind = _numeric_type(term)
    if kind is None:
        if isinstance(term, Arithmetic) and not is_number(value):
            raise _not_comparable(term, value)
        if op.is_ordering and isinstance(value, bool | tuple):
            raise InvalidFilter(f"the operator {op} is not supported between JSON and {type_name(value)}")
        return Compare(op, term, value)
    if kind.is_number and is_number(value):
        assert isinstance(value, int | float)
        if kind.is_integer:
            low, high = INTEGER_RANGES[kind] if isinstance(term, Column | Element) else (INT64_MIN, INT64_MAX)
            bound_op, bound = integer_bound(op, value, low, high)
            return Compare(bound_op, term, bound)
        return Compare(op, term, _as_float(kind, value))
    if kind is DataType.VARCHAR and isinstance(value, str):
        return Compare(op, term, value)
    if kind is DataType.BOOL and isinstance(value, bool):
        if op.is_ordering:
            raise InvalidFilter(f"the operator {op} is not supported on Bool")
        return Compare(op, term, value)
    raise _not_comparable(term, value)


def _as_float(kind: DataType, value: int | float) -> float:
    # Adding zero turns -0.0 into 0.0; they are equal, and engines need not distinguish them.
    return (to_float32(value) if kind is DataType.FLOAT else float(value)) + 0.0


def compare_columns(op: CompareOp, left: object, right: object) -> Filter:
    """Build ``left op right`` for two scalar fields."""
    if not isinstance(left, Column) or not isinstance(right, Column):
        raise InvalidFilter(
            f"comparisons between two fields take scalar fields only, not {type_name(left)} and {type_name(right)}"
        )
    if left.type != right.type and not (left.type.is_number and right.type.is_number):
        raise _not_comparable(left, right)
    if left.type is DataType.BOOL and op.is_ordering:
        raise InvalidFilter(f"the operator {op} is not supported on Bool")
    return CompareColumns(op, left, right)


def compare_constants(op: CompareOp, left: Value, right: Value) -> Constant:
    comparable = (
        (is_number(left) and is_number(right))
        or (isinstance(left, str) and isinstance(right, str))
        or (isinstance(left, bool) and isinstance(right, bool) and not op.is_ordering)
    )
    if not comparable:
        raise _not_comparable(left, right)
    smaller: bool = left < right  # type: ignore[operator]
    return Constant(
        {
            CompareOp.EQ: left == right,
            CompareOp.NE: left != right,
            CompareOp.LT: smaller,
            CompareOp.LE: smaller or left == right,
            CompareOp.GT: not smaller and left != right,
            CompareOp.GE: not smaller,
        }[op]
    )


def arithmetic(op: ArithmeticOp, term: object, value: object) -> Arithmetic:
    """Build ``term op value``, one step on a number."""
    if isinstance(term, Arithmetic | Length):
        raise InvalidFilter("complicated arithmetic operations are not supported: one field and one constant only")
    if not isinstance(term, Column | Element | JsonPath) or not is_number(value):
        raise InvalidFilter(f"the operator {op} is not supported between {type_name(term)} and {type_name(value)}")
    _check_term(term, "calculated with")
    kind = _numeric_type(term)
    if kind is not None and not kind.is_number:
        raise InvalidFilter(f"arithmetic operations are not supported on {kind.value}: {op}")
    if kind is not None and op.integers_only and not kind.is_integer:
        raise InvalidFilter(f"the operator {op} takes integers only, not the {kind.value} field {term.name}")
    checked_value(value)  # type: ignore[arg-type]
    assert isinstance(value, int | float)
    if kind in (DataType.FLOAT, DataType.DOUBLE):
        value = _as_float(kind, value)
    check_step(op, value)
    return Arithmetic(op, term, value)


def is_in(term: object, values: Iterable[Value]) -> Filter:
    """Build ``term in values``; values that no row can hold are left out."""
    if not isinstance(term, Column | Element | JsonPath):
        raise InvalidFilter(f"'in' looks at a single field or path, not at {type_name(term)}")
    _check_term(term)
    kind = _numeric_type(term)
    cast = []
    for _, value in dict.fromkeys((type(value), value) for value in values):
        if isinstance(value, tuple):
            raise InvalidFilter(f"value '{shorten(value)}' in list cannot be casted to {type_name(term)}")
        checked_value(value)
        if kind is None:
            cast.append(value)
        elif fits(kind, value):
            cast.append(_as_float(kind, value) if kind in (DataType.FLOAT, DataType.DOUBLE) else value)  # type: ignore[arg-type]
    return In(term, tuple(dict.fromkeys(cast) if kind is not None else cast))


def fits(kind: DataType, value: Scalar) -> bool:
    """Whether a row can hold ``value``; InvalidFilter where it can't be cast to the type at all."""
    if kind.is_integer and isinstance(value, int) and not isinstance(value, bool):
        low, high = INTEGER_RANGES[kind]
        return low <= value <= high
    if kind in (DataType.FLOAT, DataType.DOUBLE) and is_number(value):
        return True
    if (kind is DataType.VARCHAR and isinstance(value, str)) or (kind is DataType.BOOL and isinstance(value, bool)):
        return True
    raise InvalidFilter(f"value '{shorten(value)}' in list cannot be casted to {kind.value}")


def contains(term: object, values: tuple[Value, ...], every: bool) -> Filter:
    """Build ``array_contains`` and its variants."""
    if isinstance(term, JsonPath):
        for value in values:
            checked_value(value)
        return Contains(term, values, every)
    if not isinstance(term, ArrayColumn):
        raise InvalidFilter(
            f"contains operations are supported on Array and JSON fields only, not on {type_name(term)}"
        )
    cast: list[Value] = []
    for value in values:
        if isinstance(value, tuple):
            raise InvalidFilter(f"value '{shorten(value)}' in list cannot be casted to {term.type.value}")
        checked_value(value)
        if fits(term.type, value):
            cast.append(_as_float(term.type, value) if term.type in (DataType.FLOAT, DataType.DOUBLE) else value)  # type: ignore[arg-type]
        elif every:
            # An array can't hold a value beyond its type's range: false wherever there is an array.
            return Contains(term, (), every=False)
    return Contains(term, tuple(dict.fromkeys(cast)), every)


def like(term: object, pattern: object) -> Filter:
    if not isinstance(term, Column | Element | JsonPath) or _numeric_type(term) not in (None, DataType.VARCHAR):
        raise InvalidFilter(f"like operation on non-string field or expression is unsupported, got {type_name(term)}")
    _check_term(term)
    if not isinstance(pattern, str):
        raise InvalidFilter(f"like takes a string pattern, not {type_name(pattern)}")
    check_pattern(pattern)
    split_pattern(pattern)
    return Like(term, pattern)
