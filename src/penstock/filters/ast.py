"""The syntax tree of a parsed filter: frozen nodes that name schema fields, ready to be evaluated or compiled.

A *term* is what a condition reads: a column, an element of an array, a path in a JSON document, the length of an
array, or one of these with one arithmetic step. A *filter* is true, false or unknown for a row; only rows for which
it is true are selected. The nodes' constants have been checked against the schema and cast to the term's type:

* integer terms hold integers within the range of the field's type,
* ``Float`` terms hold floats that are exact in 32 bits, ``Double`` terms floats,
* JSON terms hold constants as written: bool, int (64 bits), float, str, or a nested list of these.

Filters are equal if they say the same, so constants are equal only if their types are: for Python ``True``, ``1`` and
``1.0`` are equal, but ``doc["a"] == true`` is no ``doc["a"] == 1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from penstock.domain.schema import DataType

Scalar: TypeAlias = bool | int | float | str
Value: TypeAlias = "Scalar | tuple[Value, ...]"
"""A constant; tuples stand for list literals, which only JSON terms are compared with."""


def same_constants(left: Value, right: Value) -> bool:
    """Whether two constants are equal, and of the same type. Lists of many take milliseconds."""
    if type(left) is not type(right) or left != right:
        return False
    if not isinstance(left, tuple) or not isinstance(right, tuple):
        return True
    types = list(map(type, left))
    return types == list(map(type, right)) and (tuple not in types or all(map(same_constants, left, right)))


class CompareOp(StrEnum):
    EQ = "=="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="

    @property
    def flipped(self) -> CompareOp:
        """The operator that gives the same answer with the sides swapped."""
        return _FLIPPED.get(self, self)

    @property
    def inverse(self) -> CompareOp:
        """The operator that gives the opposite answer wherever neither side is unknown."""
        return _INVERSE[self]

    @property
    def is_ordering(self) -> bool:
        return self not in (CompareOp.EQ, CompareOp.NE)


_FLIPPED = {
    CompareOp.LT: CompareOp.GT,
    CompareOp.LE: CompareOp.GE,
    CompareOp.GT: CompareOp.LT,
    CompareOp.GE: CompareOp.LE,
}
_INVERSE = {
    CompareOp.EQ: CompareOp.NE,
    CompareOp.NE: CompareOp.EQ,
    CompareOp.LT: CompareOp.GE,
    CompareOp.GE: CompareOp.LT,
    CompareOp.GT: CompareOp.LE,
    CompareOp.LE: CompareOp.GT,
}


class ArithmeticOp(StrEnum):
    """Integers behave as in C: 64 bits that wrap, division towards zero, remainder with the dividend's sign."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    REMAINDER = "%"
    BIT_AND = "&"
    BIT_OR = "|"
    BIT_XOR = "^"
    SHIFT_LEFT = "<<"
    SHIFT_RIGHT = ">>"

    @property
    def integers_only(self) -> bool:
        return self not in (ArithmeticOp.ADD, ArithmeticOp.SUBTRACT, ArithmeticOp.MULTIPLY, ArithmeticOp.DIVIDE)

    @property
    def commutes(self) -> bool:
        return self in _COMMUTING


_COMMUTING = frozenset(
    {
        ArithmeticOp.ADD,
        ArithmeticOp.MULTIPLY,
        ArithmeticOp.BIT_AND,
        ArithmeticOp.BIT_OR,
        ArithmeticOp.BIT_XOR,
    }
)


@dataclass(frozen=True, slots=True)
class Column:
    """A scalar field."""

    name: str
    type: DataType


@dataclass(frozen=True, slots=True)
class ArrayColumn:
    """A whole Array field; ``type`` is the type of its elements."""

    name: str
    type: DataType


@dataclass(frozen=True, slots=True)
class Element:
    """One element of an Array field, counted from 0; null beyond the end."""

    name: str
    type: DataType
    index: int


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A value in a JSON field or in ``$meta``: text keys name members of objects, integers elements of arrays.

    Without keys it is the whole document.
    """

    name: str
    keys: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Length:
    """The number of elements of an array; null for what is not an array."""

    of: ArrayColumn | JsonPath


Operand: TypeAlias = Column | Element | JsonPath
Term: TypeAlias = "Operand | Length | Arithmetic"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``term op value``; in floating point when one of both is a float."""

    op: ArithmeticOp
    term: Operand
    value: int | float

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Arithmetic):
            return NotImplemented
        return self.op == other.op and self.term == other.term and same_constants(self.value, other.value)


@dataclass(frozen=True, slots=True)
class Filter:
    """Base of all nodes that are true, false or unknown for a row."""


@dataclass(frozen=True, slots=True)
class Constant(Filter):
    value: bool


@dataclass(frozen=True, slots=True)
class And(Filter):
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or(Filter):
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not(Filter):
    part: Filter


@dataclass(frozen=True, slots=True)
class Compare(Filter):
    """Unknown where the term is null, missing, or (JSON) of another type than the value."""

    op: CompareOp
    term: Term
    value: Value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Compare):
            return NotImplemented
        return self.op == other.op and self.term == other.term and same_constants(self.value, other.value)


@dataclass(frozen=True, slots=True)
class CompareColumns(Filter):
    op: CompareOp
    left: Column
    right: Column


@dataclass(frozen=True, slots=True)
class In(Filter):
    """Unknown where a JSON value has a type that none of ``values`` has."""

    term: Operand
    values: tuple[Scalar, ...]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, In):
            return NotImplemented
        return self.term == other.term and same_constants(self.values, other.values)


@dataclass(frozen=True, slots=True)
class Like(Filter):
    """``pattern``: ``%`` is any run of characters, ``_`` one character, a backslash takes the next one literally."""

    term: Operand
    pattern: str


@dataclass(frozen=True, slots=True)
class IsNull(Filter):
    """Never unknown. A JSON document that is ``null`` counts as null."""

    term: Column | ArrayColumn | JsonPath


@dataclass(frozen=True, slots=True)
class Exists(Filter):
    """Never unknown: the path exists and holds neither ``null`` nor an empty object."""

    path: JsonPath


@dataclass(frozen=True, slots=True)
class Contains(Filter):
    """An array holds every one (or any one) of ``values``; unknown for what is not an array."""

    term: ArrayColumn | JsonPath
    values: tuple[Value, ...]
    every: bool

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Contains):
            return NotImplemented
        return self.every == other.every and self.term == other.term and same_constants(self.values, other.values)


@dataclass(frozen=True, slots=True)
class TextMatch(Filter):
    """A text has at least ``minimum`` of the ``terms``, by the analyzer of these parameters. False without terms."""

    term: Column
    terms: tuple[str, ...]
    minimum: int
    analyzer: str


@dataclass(frozen=True, slots=True)
class PhraseMatch(Filter):
    """A text has the terms of a phrase as the phrase has them, or moved by ``slop`` positions in all.

    ``terms`` come with their positions in the phrase. Let each be at some position of the text: its shift is this
    position minus that in the phrase, and the highest and the lowest shift differ by ``slop`` at most. False without
    terms.
    """

    term: Column
    terms: tuple[tuple[int, str], ...]
    slop: int
    analyzer: str


def field_names(filter: Filter) -> frozenset[str]:
    """The fields that a filter reads; ``$meta`` for dynamic keys."""
    match filter:
        case Not(part):
            return field_names(part)
        case And(parts) | Or(parts):
            return frozenset().union(*map(field_names, parts))
        case CompareColumns(_, left, right):
            return frozenset({left.name, right.name})
        case Compare(_, term, _):
            return frozenset({_field_name(term)})
        case (
            In(term) | Like(term) | IsNull(term) | Exists(term) | Contains(term) | TextMatch(term) | PhraseMatch(term)
        ):
            return frozenset({term.name})
    return frozenset()


def _field_name(term: Term) -> str:
    while isinstance(term, Arithmetic | Length):
        if isinstance(term, Length):
            return term.of.name
        term = term.term
    return term.name
