"""Limit the work that a filter takes, before any row is read.

Values come from the text and from templates alike, so the tree is counted, not the text.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.errors import InvalidFilter
from penstock.filters.ast import (
    And,
    Arithmetic,
    ArithmeticOp,
    Compare,
    Constant,
    Contains,
    Exists,
    Filter,
    In,
    IsNull,
    JsonPath,
    Length,
    Like,
    Not,
    Or,
    PhraseMatch,
    TextMatch,
    Value,
)

MAX_CONDITIONS = 1024
"""Conditions of a filter. Each is evaluated for each row."""

MAX_JSON_CONDITIONS = 128
"""Conditions on JSON paths among them: one takes about 0.6 us a row, a hundred times as long as one on a column."""

MAX_VALUES = 200_000
"""Constants in lists, nested ones too. They become sets: each row costs one look-up, however many there are."""

MAX_TEMPLATE_VALUES = 1_000_000
"""Values of the lists that templates stand for, counted at each place where one does: they are looked through there
before the tree is counted. A short text can name a long list ten thousand times."""

MAX_TEMPLATE_TEXT = 32 * 1024 * 1024
"""Characters of the texts that templates stand for, counted likewise: an engine gets the filter as text, which has
a copy at each place."""

MAX_NESTED_LISTS = 256
"""Lists among the values of ``json_contains`` and its kin: they are compared one by one."""

MAX_KEYS = 128
"""Keys of a JSON path."""

MAX_TEXT_CONDITIONS = 32
"""Conditions on the words of texts among them: each analyzes the text of the row, in about 0.3 us a word."""

MAX_PHRASE = 64
"""Words of a phrase: a text may have each at every second position."""

MAX_PATTERN = 4096
"""Characters of a ``like`` pattern."""


@dataclass(slots=True)
class _Work:
    conditions: int = 0
    json: int = 0
    values: int = 0
    nested: int = 0
    keys: int = 0
    texts: int = 0
    phrase: int = 0


def json_conditions(filter: Filter) -> int:
    """Count the look-ups of a filter in JSON documents, per row."""
    work = _Work()
    _count(filter, work)
    return work.json


def check_limits(filter: Filter) -> None:
    """Raise InvalidFilter if the filter takes more work than this server does for one call."""
    work = _Work()
    _count(filter, work)
    for number, limit, what, remedy in (
        (work.conditions, MAX_CONDITIONS, "conditions", "put the values of a field into a list, as in a in [1, 2]"),
        (
            work.json,
            MAX_JSON_CONDITIONS,
            "conditions on JSON paths",
            'put the values of a path into a list, as in doc["a"] in [1, 2]',
        ),
        (work.values, MAX_VALUES, "values in lists", "filter in steps"),
        (work.nested, MAX_NESTED_LISTS, "lists among the values of a contains operation", "filter in steps"),
        (work.keys, MAX_KEYS, "keys in a JSON path", "shorten the path"),
        (
            work.texts,
            MAX_TEXT_CONDITIONS,
            "conditions on the words of texts",
            "put the words of a field into one, as in text_match(a, 'one two')",
        ),
        (work.phrase, MAX_PHRASE, "words in a phrase", "shorten the phrase"),
    ):
        if number > limit:
            raise _exceeded(number, limit, what, remedy)


def _count(filter: Filter, work: _Work) -> None:
    match filter:
        case Constant():
            return
        case Not(part):
            _count(part, work)
            return
        case And(parts) | Or(parts):
            for part in parts:
                _count(part, work)
            return
        case In(values=values):
            work.values += len(values)
        case Contains(values=constants):
            work.values += sum(map(size_of, constants))
            work.nested += sum(isinstance(value, tuple) for value in constants)
        case Compare(value=tuple() as value):
            work.values += size_of(value)
        case TextMatch(terms=terms):
            work.texts += 1
            work.values += len(terms)
        case PhraseMatch(terms=phrase):
            work.texts += 1
            work.phrase = max(work.phrase, len(phrase))
    times = evaluations(filter)
    work.conditions += times
    if path := json_path(filter):
        work.json += times
        work.keys = max(work.keys, len(path.keys))


def evaluations(filter: Filter) -> int:
    """Count the look-ups of a single condition's term, per row: an engine without bit operators shifts and adds.

    A mask takes two shifts for each of its runs of set bits.
    """
    if isinstance(filter, Compare) and isinstance(filter.term, Arithmetic):
        op, mask = filter.term.op, filter.term.value
        if op in (ArithmeticOp.BIT_AND, ArithmeticOp.BIT_OR, ArithmeticOp.BIT_XOR):
            bits = int(mask) % 2**64
            return 1 + 2 * (bits & ~(bits << 1)).bit_count()
    return 1


def is_on_json(filter: Filter) -> bool:
    """Whether a single condition reads a JSON document."""
    return json_path(filter) is not None


def json_path(filter: Filter) -> JsonPath | None:
    """The path in a JSON document that a single condition reads."""
    match filter:
        case In(term) | Like(term) | Contains(term) | IsNull(term) | Compare(_, term) | Exists(term):
            inner: object = term
            while isinstance(inner, Arithmetic | Length):
                inner = inner.of if isinstance(inner, Length) else inner.term
            return inner if isinstance(inner, JsonPath) else None
    return None


def check_pattern(pattern: str) -> None:
    """Raise InvalidFilter for a ``like`` pattern that is too long, before it is taken apart."""
    if len(pattern) > MAX_PATTERN:
        raise _exceeded(len(pattern), MAX_PATTERN, "characters in a like pattern", "shorten the pattern")


def check_templates(values: int, characters: int) -> None:
    """Raise InvalidFilter if the templates so far stand for lists of too many values, or for too much text."""
    if values > MAX_TEMPLATE_VALUES:
        raise _exceeded(
            values, MAX_TEMPLATE_VALUES, "values in lists of its templates", "name each list once, or filter in steps"
        )
    if characters > MAX_TEMPLATE_TEXT:
        raise _exceeded(
            characters,
            MAX_TEMPLATE_TEXT,
            "characters in texts of its templates",
            "name each once, or filter in steps",
        )


def _exceeded(number: int, limit: int, what: str, remedy: str) -> InvalidFilter:
    return InvalidFilter(f"it has {number:,} {what}, more than {limit:,}; {remedy}", limit=limit)


def size_of(value: Value) -> int:
    """Count the scalars and lists in a value."""
    return 1 + sum(map(size_of, value)) if isinstance(value, tuple) else 1


def characters_of(value: Value) -> int:
    """Count the characters of the texts in a value."""
    if isinstance(value, tuple):
        return sum(map(characters_of, value))
    return len(value) if isinstance(value, str) else 0
