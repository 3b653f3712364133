"""Conditions on the words of texts: built from a call in the expression, and evaluated on a text."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence

from penstock.analyzers import Analyzer, analyzer_from_params, field_analyzer
from penstock.domain.deadline import check_deadline
from penstock.domain.schema import ANALYZER_PARAMS, Field
from penstock.errors import InvalidFilter, InvalidParameter
from penstock.filters.ast import Column, PhraseMatch, TextMatch

_MAX_MINIMUM = 1000
_MAX_SLOP = 2**32 - 1
_MAX_PATTERN_TERMS = 32
_MAX_PATTERN_TERM = 64
"""Characters of a term. With a pattern of 4,000 RE2 takes 50 us for each character of a text."""
_STEPS_BETWEEN_CHECKS = 65_536


def text_match(field: Field, text: str, minimum: int) -> TextMatch:
    """Build the condition that a field has ``minimum`` of the words of ``text``; a repeated word counts once.

    Raises:
        InvalidFilter: the field isn't analyzed for filters, or ``minimum`` is out of range.
    """
    analyzer = _analyzer(field, "text match")
    if minimum < 1:
        raise InvalidFilter(f"minimum_should_match should be >= 1, got {minimum}")
    if minimum > _MAX_MINIMUM:
        raise InvalidFilter(f"minimum_should_match should be <= {_MAX_MINIMUM}, got {minimum}")
    terms = tuple(dict.fromkeys(analyzer.terms(text)))
    return TextMatch(Column(field.name, field.type), terms, minimum, field.params.get(ANALYZER_PARAMS, ""))


def phrase_match(field: Field, phrase: str, slop: int) -> PhraseMatch:
    """Build the condition that a field has the words of ``phrase`` in this order, as far as ``slop`` lets them move.

    Raises:
        InvalidFilter: the field isn't analyzed for filters, or ``slop`` is out of range.
    """
    analyzer = _analyzer(field, "phrase match")
    if slop < 0:
        raise InvalidFilter(f'"slop" should not be a negative interger. "slop" passed: {slop}')
    if slop > _MAX_SLOP:
        raise InvalidFilter(f'"slop" exceeds the range of "uint32". "slop" expression passed: {slop}')
    terms = tuple((position, term) for position, term in enumerate(analyzer.positions(phrase)) if term is not None)
    return PhraseMatch(Column(field.name, field.type), terms, slop, field.params.get(ANALYZER_PARAMS, ""))


def _analyzer(field: Field, operation: str) -> Analyzer:
    if not field.type.is_text:
        raise InvalidFilter(f"{operation} operation on non-string is unsupported", field=field.name)
    if not field.enable_match:
        raise InvalidFilter(f'field "{field.name}" does not enable match', field=field.name)
    try:
        return field_analyzer(field)
    except InvalidParameter as error:
        raise InvalidFilter(error.message, **error.details) from error


def text_condition(filter: TextMatch | PhraseMatch) -> Callable[[str], bool]:
    """Compile a condition to a function of a text."""
    analyzer = analyzer_from_params(filter.analyzer)
    if isinstance(filter, TextMatch):
        wanted = frozenset(filter.terms)
        minimum = filter.minimum
        if len(wanted) < minimum:
            return lambda text: False
        return lambda text: len(wanted.intersection(map(analyzer.term, analyzer.split(text)))) >= minimum
    return lambda text: _has_phrase(analyzer.positions(text), filter)


def necessary_pattern(filter: TextMatch | PhraseMatch) -> str | None:
    """A regular expression (RE2, ignoring case) that matches every text for which the condition is true, if any."""
    terms = filter.terms if isinstance(filter, TextMatch) else [term for _, term in filter.terms[:1]]
    if len(terms) > _MAX_PATTERN_TERMS:
        return None
    if not all(len(term) <= _MAX_PATTERN_TERM and term.isascii() for term in terms):
        return None
    return "|".join(map(re.escape, terms)) if terms and analyzer_from_params(filter.analyzer).keeps_spelling else None


def _has_phrase(text: Sequence[str | None], phrase: PhraseMatch) -> bool:
    positions_of: dict[str, list[int]] = {term: [] for _, term in phrase.terms}
    for position, term in enumerate(text):
        if term in positions_of:
            positions_of[term].append(position)
    return _are_close(
        [positions_of[term] for _, term in phrase.terms], [place for place, _ in phrase.terms], phrase.slop
    )


def _are_close(lists: Sequence[Sequence[int]], shifts: Sequence[int], most: int) -> bool:
    """Whether there are values, one of each list, of which the highest and the lowest differ by ``most`` at most.

    The shift of its list is subtracted from a value. The lists ascend. They are read in turn, each from the first
    value on that is near enough to the highest so far: values before it are in no answer.
    """
    if not lists or not all(lists):
        return False
    starts = [0] * len(lists)
    highest = lists[0][0] - shifts[0]
    near = step = 0
    while near < len(lists):
        if step % _STEPS_BETWEEN_CHECKS == 0:
            check_deadline()
        turn = step % len(lists)
        values, shift = lists[turn], shifts[turn]
        start = starts[turn] = bisect_left(values, highest - most + shift, starts[turn])
        if start == len(values):
            return False
        value = values[start] - shift
        near = near + 1 if value <= highest else 1
        highest = max(highest, value)
        step += 1
    return True
