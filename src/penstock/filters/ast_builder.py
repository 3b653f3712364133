"""Build the typed tree from lark's parse tree: resolve names to fields, templates to values, fold constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from lark import Token, Transformer

from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.errors import InvalidFilter
from penstock.filters import literals, typecheck
from penstock.filters.ast import (
    And,
    Arithmetic,
    ArithmeticOp,
    ArrayColumn,
    Column,
    CompareOp,
    Constant,
    Element,
    Exists,
    Filter,
    IsNull,
    JsonPath,
    Length,
    Not,
    Or,
    Term,
    Value,
)
from penstock.filters.limits import characters_of, check_templates, size_of
from penstock.filters.numbers import fold, power
from penstock.filters.text_condition import phrase_match, text_match
from penstock.filters.time_condition import Interval, compare_times, interval_of

MAX_DEPTH = 32
"""Nesting depth of brackets and prefix operators, and of lists in a template's value. Engines nest parentheses as
deep, and their limit is fifty."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant that is not yet part of a condition."""

    value: Value


@dataclass(frozen=True, slots=True)
class Time:
    """A point in time, as text: its time zone is that of the field it is compared with."""

    text: str


@dataclass(frozen=True, slots=True)
class ShiftedTime:
    """A Timestamptz field, moved by an interval."""

    column: Column
    shift: Interval


@dataclass(frozen=True, slots=True)
class Minimum:
    """The option ``minimum_should_match`` of a call."""

    value: int


Part: TypeAlias = "Literal | Term | ArrayColumn | Filter | Time | Interval | ShiftedTime"

MAX_MATCHED_TEXT = 16_384
"""Characters of all texts that an expression matches words of. They are analyzed before any row is read; a stemmer
takes 70 us a word."""

_DYNAMIC_FIELD = Field(name=META_FIELD, type=DataType.JSON)
_NULLS = frozenset({"null", "NULL", "Null", "None"})
_CONTAINS = {"contains": (True, False), "contains_all": (True, True), "contains_any": (False, True)}
"""Function name without prefix → (all of the values required, takes a list)."""


def as_filter(part: Part) -> Filter:
    """Require a condition; a constant ``true`` or ``false`` is one, a lone field is not."""
    if isinstance(part, Filter):
        return part
    if isinstance(part, Literal) and isinstance(part.value, bool):
        return Constant(part.value)
    hint = ""
    if isinstance(part, Time | Interval | ShiftedTime):
        raise InvalidFilter("predicate is not a boolean expression: it is a time or an interval")
    if isinstance(part, Column) and part.type is DataType.BOOL:
        hint = f"; write {part.name} == true"
    kind = typecheck.type_name(part.value if isinstance(part, Literal) else part)
    raise InvalidFilter(f"predicate is not a boolean expression: it is a {kind}{hint}")


def _as_term(part: Part) -> Term | ArrayColumn:
    if isinstance(part, Filter):
        raise InvalidFilter(
            "a condition can't be compared or calculated with; put parentheses around what belongs together"
        )
    if isinstance(part, Time | Interval | ShiftedTime):
        raise InvalidFilter(_TIMES_ONLY)
    assert not isinstance(part, Literal)
    return part


_TIMES_ONLY = (
    "times and intervals stand in comparisons of a Timestamptz field only, as in "
    "ts + INTERVAL 'P1D' > ISO '2025-01-01T00:00:00Z'"
)


@dataclass(frozen=True, slots=True)
class _Template:
    """What a template stands for, and its size: the values of a list, and the characters of its texts."""

    literal: Literal
    listed: int
    characters: int


def _template(value: Value) -> _Template:
    return _Template(Literal(value), size_of(value) if isinstance(value, tuple) else 0, characters_of(value))


class _BareKey(str):
    """A key without quotes: how a field within a struct is named, and an error anywhere else."""

    __slots__ = ()


class Builder(Transformer[Token, Part]):
    """Callbacks of the grammar's rules, for one schema and one set of template values."""

    def __init__(self, schema: CollectionSchema, params: Mapping[str, Any]) -> None:
        super().__init__()
        self._schema = schema
        self._params = params
        self._matched_text = 0
        self._templates: dict[str, _Template] = {}
        self._template_values = 0
        self._template_text = 0

    # Literals

    def boolean(self, items: list[Token]) -> Literal:
        return Literal(items[0].lower() == "true")

    def integer(self, items: list[Token]) -> Literal:
        return Literal(literals.whole_number(items[0]))

    def float_literal(self, items: list[Token]) -> Literal:
        return Literal(literals.number(items[0]))

    def string(self, items: list[Token]) -> Literal:
        return Literal(literals.string(items[0]))

    def raw_string(self, items: list[Token]) -> Literal:
        return Literal(literals.raw_string(items[0]))

    def iso_time(self, items: list[Token]) -> Time:
        return Time(literals.string(items[0]))

    def interval(self, items: list[Token]) -> Interval:
        return interval_of(literals.string(items[0]))

    def long_list(self, items: list[Token]) -> Literal:
        return Literal(tuple(literals.long_list(items[0])))

    def list_literal(self, items: list[Part | None]) -> Literal:
        values = []
        for item in items:
            if item is None:
                continue
            if not isinstance(item, Literal):
                raise InvalidFilter("a list holds constants only")
            values.append(item.value)
        return Literal(tuple(values))

    def template(self, items: list[Token]) -> Literal:
        name = str(items[0])
        if name not in self._params:
            raise MissingTemplateValue(
                f"the value of expression template variable name {{{name}}} is not found", template=name
            )
        if name not in self._templates:
            self._templates[name] = _template(template_value(name, self._params[name]))
        template = self._templates[name]
        self._template_values += template.listed
        self._template_text += template.characters
        check_templates(self._template_values, self._template_text)
        return template.literal

    # Names

    def index(self, items: list[Token]) -> str | int:
        token = items[0]
        if token.type == "IDENTIFIER":
            return _BareKey(token)
        if token.type == "INTEGER":
            return literals.whole_number(token)
        return literals.raw_string(token) if token.type == "RAW_STRING" else literals.string(token)

    def reference(self, items: list[Any]) -> Part:
        name, keys = str(items[0]), tuple(items[1:])
        field = self._schema.get(name)
        if field is not None and field.type is DataType.ARRAY_OF_STRUCT:
            raise InvalidFilter(
                f"filters on the struct array field {field.name} are not supported by this server", field=field.name
            )
        for key in keys:
            if isinstance(key, _BareKey):
                raise InvalidFilter(f"json key must be enclosed in double quotes or single quotes: [{key}]")
        if field is not None:
            return self._field(field, keys)
        if name in _NULLS:
            raise InvalidFilter("null can't be compared with; write `is null` or `is not null`")
        if not self._schema.dynamic:
            raise InvalidFilter(f"field {name} not exist", field=name)
        if name == META_FIELD:
            return JsonPath(META_FIELD, keys)
        return JsonPath(META_FIELD, (name, *keys))

    @staticmethod
    def _field(field: Field, keys: tuple[str | int, ...]) -> Part:
        if field.type.is_vector:
            raise InvalidFilter(f"the vector field {field.name} can't stand in a filter", field=field.name)
        if field.type is DataType.JSON:
            return JsonPath(field.name, keys)
        if field.type is DataType.ARRAY:
            assert field.element_type is not None
            match keys:
                case ():
                    return ArrayColumn(field.name, field.element_type)
                case (int() as index,):
                    return Element(field.name, field.element_type, index)
            raise InvalidFilter(f"the array field {field.name} takes one index, a whole number", field=field.name)
        if keys:
            raise InvalidFilter(
                f"{field.type.value} field {field.name} has no parts to be named by [ ]", field=field.name
            )
        # Conditions on both kinds of text are the same.
        return Column(field.name, DataType.VARCHAR if field.type.is_text else field.type)

    # Conditions

    def disjunction(self, items: list[Part]) -> Filter:
        return _joined(Or, items, decided_by=True)

    def conjunction(self, items: list[Part]) -> Filter:
        return _joined(And, items, decided_by=False)

    def negation(self, items: list[Part]) -> Part:
        if not isinstance(items[0], Filter) and not (
            isinstance(items[0], Literal) and isinstance(items[0].value, bool)
        ):
            raise InvalidFilter("'not' can only be applied to a condition; put it in parentheses, as in not (a == 1)")
        part = as_filter(items[0])
        if isinstance(part, Constant):
            return Constant(not part.value)
        return part.part if isinstance(part, Not) else Not(part)

    def compare(self, items: list[Any]) -> Filter:
        left, op, right = items
        return self._compare(CompareOp(op), left, right)

    def relation(self, items: list[Any]) -> Filter:
        if len(items) == 3:
            return self.compare(items)
        if len(items) != 5 or items[1][0] != items[3][0]:
            raise InvalidFilter("a chained comparison has three parts and one direction, as in 1 < a <= 5")
        low, op, middle, other_op, high = items
        constants = Literal | Time
        if (
            not isinstance(low, constants)
            or not isinstance(high, constants)
            or isinstance(middle, constants | Filter)
        ):
            raise InvalidFilter("a chained comparison has a field between two constants, as in 1 < a <= 5")
        both = [self._compare(CompareOp(op), low, middle), self._compare(CompareOp(other_op), middle, high)]
        return _joined(And, list(both), decided_by=False)

    def _compare(self, op: CompareOp, left: Part, right: Part) -> Filter:
        if isinstance(left, Time):
            left, right, op = right, left, op.flipped
        if not isinstance(right, Time):
            return _compare(op, left, right)
        match left:
            case Column(type=DataType.TIMESTAMPTZ):
                return compare_times(op, self._schema[left.name], right.text, Interval(0, 0))
            case ShiftedTime(column, shift):
                return compare_times(op, self._schema[column.name], right.text, shift)
            case Column() | Element():
                raise InvalidFilter(f"field '{left.name}' is not a timestamptz datatype", field=left.name)
        raise InvalidFilter(_TIMES_ONLY)

    def is_in(self, items: list[Part]) -> Filter:
        left, right = items
        if not isinstance(right, Literal) or not isinstance(right.value, tuple):
            raise InvalidFilter("the right side of 'in' must be a list, as in a in [1, 2]")
        if isinstance(left, Literal):
            raise InvalidFilter("the left side of 'in' must be a field")
        return typecheck.is_in(_as_term(left), right.value)

    def is_not_in(self, items: list[Part]) -> Filter:
        return Not(self.is_in(items))

    def like(self, items: list[Part]) -> Filter:
        left, right = items
        if not isinstance(right, Literal) or isinstance(left, Literal):
            raise InvalidFilter("like compares a field with a string pattern")
        return typecheck.like(_as_term(left), right.value)

    def exists(self, items: list[Part]) -> Filter:
        if not isinstance(items[0], JsonPath):
            raise InvalidFilter("exists operations are supported on JSON fields and dynamic keys only")
        return Exists(items[0])

    def is_null(self, items: list[Part]) -> Filter:
        term = _as_term(items[0])
        if isinstance(term, JsonPath) and (term.keys or term.name == META_FIELD):
            return Not(Exists(term))
        if not isinstance(term, Column | ArrayColumn | JsonPath):
            raise InvalidFilter("is null is supported on whole fields and JSON paths, not on an element of an array")
        return IsNull(term) if self._schema[term.name].nullable else Constant(False)

    def is_not_null(self, items: list[Part]) -> Filter:
        return as_filter(self.negation([self.is_null(items)]))

    def minimum(self, items: list[Token]) -> Minimum:
        return Minimum(literals.whole_number(items[0]))

    def call(self, items: list[Any]) -> Part:
        name = str(items[0])
        arguments = [item for item in items[1:] if item is not None]
        function = name.lower() if name in (name.lower(), name.upper()) else name
        if function == "text_match":
            return self._text_match(name, arguments)
        if any(isinstance(argument, Minimum) for argument in arguments):
            raise InvalidFilter(f"minimum_should_match is an option of text_match only, not of {name}")
        if function == "phrase_match":
            return self._phrase_match(name, arguments)
        if function == "array_length":
            return self._length(name, arguments)
        prefix, _, kind = function.partition("_")
        if prefix in ("json", "array") and kind in _CONTAINS:
            return self._contains(name, arguments, *_CONTAINS[kind])
        if prefix == "st":
            raise InvalidFilter(
                f"the spatial function {name} is not supported by this server; keep coordinates in fields of numbers "
                "too, and compare these, as in lon > 13.0 and lon < 13.8"
            )
        raise InvalidFilter(f"the function {name} is not supported")

    def _text_match(self, name: str, arguments: list[Any]) -> Filter:
        minimum = 1
        if arguments and isinstance(arguments[-1], Minimum):
            minimum = arguments.pop().value
        match arguments:
            case [Column() | ArrayColumn() | JsonPath() as column, Literal(str() as text)]:
                return text_match(self._matched_field(column, text), text, minimum)
        raise InvalidFilter(f"{name} takes a VarChar field, a string, and optionally minimum_should_match")

    def _phrase_match(self, name: str, arguments: list[Any]) -> Filter:
        match arguments:
            case [Column() | ArrayColumn() | JsonPath() as column, Literal(str() as phrase), *rest] if len(rest) < 2:
                slop = rest[0].value if rest and isinstance(rest[0], Literal) else None if rest else 0
                if isinstance(slop, bool) or not isinstance(slop, int):
                    raise InvalidFilter('"slop" should be a const integer expression with "uint32" value')
                return phrase_match(self._matched_field(column, phrase), phrase, slop)
        raise InvalidFilter(f"{name} takes a VarChar field, a string, and optionally a slop")

    def _matched_field(self, column: Column | ArrayColumn | JsonPath, text: str) -> Field:
        """The field of a call that matches words, whose texts are bounded together."""
        self._matched_text += len(text)
        if self._matched_text > MAX_MATCHED_TEXT:
            raise InvalidFilter(
                f"it matches words of texts of {self._matched_text:,} characters, more than {MAX_MATCHED_TEXT:,}; "
                "filter in steps",
                limit=MAX_MATCHED_TEXT,
            )
        return self._schema[column.name] if column.name != META_FIELD else _DYNAMIC_FIELD

    @staticmethod
    def _length(name: str, arguments: list[Part]) -> Length:
        match arguments:
            case [ArrayColumn() | JsonPath() as array]:
                return Length(array)
        raise InvalidFilter(f"{name} takes one Array field or JSON path")

    @staticmethod
    def _contains(name: str, arguments: list[Part], every: bool, takes_list: bool) -> Filter:
        match arguments:
            case [term, Literal(value)] if not isinstance(term, Literal):
                if not takes_list:
                    return typecheck.contains(_as_term(term), (value,), every)
                if not isinstance(value, tuple):
                    raise InvalidFilter(f"{name} operation element must be an array")
                return typecheck.contains(_as_term(term), value, every)
        raise InvalidFilter(f"{name} takes an Array field or JSON path and a constant")

    # Arithmetic

    def arithmetic(self, items: list[Any]) -> Part:
        left, token, right = items
        op = ArithmeticOp(token)
        if isinstance(right, Interval):
            return _shifted(op, left, right)
        if isinstance(left, Literal) and isinstance(right, Literal):
            return Literal(fold(op, _numeric(left, op), _numeric(right, op)))
        if isinstance(right, Literal):
            return typecheck.arithmetic(op, _as_term(left), right.value)
        if isinstance(left, Literal):
            if not op.commutes:
                raise InvalidFilter(f"the constant must stand on the right of {op}")
            return typecheck.arithmetic(op, _as_term(right), left.value)
        raise InvalidFilter("arithmetic takes one field and one constant, not two fields")

    def sign(self, items: list[Any]) -> Part:
        sign, part = items
        if not isinstance(part, Literal):
            if isinstance(part, Time | Interval | ShiftedTime):
                raise InvalidFilter(_TIMES_ONLY)
            if isinstance(part, Filter):
                raise InvalidFilter(f"the sign {sign} can't stand before a condition")
            return part if sign == "+" else typecheck.arithmetic(ArithmeticOp.MULTIPLY, part, -1)
        value = _numeric(part, sign)
        return Literal(value if sign == "+" else -value)

    def complement(self, items: list[Any]) -> Part:
        part: Part = items[1]
        if not isinstance(part, Literal):
            return typecheck.arithmetic(ArithmeticOp.BIT_XOR, _as_term(part), -1)
        return Literal(fold(ArithmeticOp.BIT_XOR, _numeric(part, "~"), -1))

    def power(self, items: list[Part]) -> Literal:
        left, right = items
        if not isinstance(left, Literal) or not isinstance(right, Literal):
            raise InvalidFilter("the operator ** takes constants only")
        return Literal(power(_numeric(left, "**"), _numeric(right, "**")))


class MissingTemplateValue(InvalidFilter):
    """The text names a template that has no value."""


def template_value(name: str, value: Any, depth: int = 0) -> Value:
    """The constant that a template stands for; a JSON list becomes a list literal."""
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"the template value {name} nests more than {MAX_DEPTH} levels deep", template=name)
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return typecheck.checked_value(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise InvalidFilter(f"the template value {name} is not a finite number")
        return value
    if isinstance(value, list | tuple):
        return tuple(template_value(name, item, depth + 1) for item in value)
    kind = "null" if value is None else "an object" if isinstance(value, Mapping) else type(value).__name__
    raise InvalidFilter(
        f"the template value {name} is {kind}; it must be a bool, number, string or a list of these", template=name
    )


def _shifted(op: ArithmeticOp, part: Part, interval: Interval) -> ShiftedTime:
    if not isinstance(part, Column) or op not in (ArithmeticOp.ADD, ArithmeticOp.SUBTRACT):
        raise InvalidFilter(_TIMES_ONLY)
    if part.type is not DataType.TIMESTAMPTZ:
        raise InvalidFilter(f"field '{part.name}' is not a timestamptz datatype", field=part.name)
    return ShiftedTime(part, interval if op is ArithmeticOp.ADD else interval.negated)


def _numeric(literal: Literal, op: str) -> int | float:
    value = literal.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidFilter(f"the operator {op} takes numbers, not {typecheck.type_name(value)}")
    return value


def _joined(kind: Callable[[tuple[Filter, ...]], Filter], items: list[Part], decided_by: bool) -> Filter:
    """Join parts by ``and`` or ``or``: flatten nested ones, fold constants."""
    parts: list[Filter] = []
    for item in items:
        part = as_filter(item)
        if isinstance(part, Constant):
            if part.value == decided_by:
                return part
        elif isinstance(part, And | Or) and type(part) is kind:
            parts.extend(part.parts)
        else:
            parts.append(part)
    if not parts:
        return Constant(not decided_by)
    return parts[0] if len(parts) == 1 else kind(tuple(parts))


def _compare(op: CompareOp, left: Part, right: Part) -> Filter:
    if isinstance(left, Literal) and isinstance(right, Literal):
        return typecheck.compare_constants(op, left.value, right.value)
    if isinstance(left, Literal):
        left, right, op = right, left, op.flipped
    term = _as_term(left)
    if not isinstance(right, Literal):
        return typecheck.compare_columns(op, term, _as_term(right))
    if isinstance(term, ArrayColumn):
        raise InvalidFilter(f"comparisons between Array and {typecheck.type_name(right.value)} are not supported")
    if isinstance(term, Arithmetic) and isinstance(right.value, str | bool | tuple):
        raise InvalidFilter(
            f"comparisons between {typecheck.type_name(term)} and {typecheck.type_name(right.value)} "
            "are not supported"
        )
    return typecheck.compare(op, term, right.value)
