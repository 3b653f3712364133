"""Conditions on the words of texts: what they are true for, and what the largest of them take."""

from __future__ import annotations

import itertools
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.schema import DataType, Field
from penstock.filters.ast import Column, PhraseMatch
from penstock.filters.text_condition import necessary_pattern, phrase_match, text_condition, text_match

PROSE = Field(
    name="prose",
    type=DataType.TEXT,
    params={
        "enable_analyzer": "true",
        "enable_match": "true",
        "analyzer_params": '{"type": "standard", "stop_words": ["of"]}',
    },
)
WORDS = st.lists(st.sampled_from(["a", "b", "c", "of"]), max_size=9)


def is_near(text: list[str], phrase: PhraseMatch) -> bool:
    """The definition: each word at some place, moved by ``slop`` at most in all."""
    places = [
        [position - offset for position, word in enumerate(text) if word == term] for offset, term in phrase.terms
    ]
    return bool(places) and any(
        max(chosen) - min(chosen) <= phrase.slop for chosen in itertools.product(*places) if chosen
    )


@given(text=WORDS, phrase=WORDS.map(lambda words: words[:4]), slop=st.integers(0, 6))
def test_a_phrase(text: list[str], phrase: list[str], slop: int) -> None:
    condition = phrase_match(PROSE, " ".join(phrase), slop)
    assert text_condition(condition)(" ".join(text)) == is_near(text, condition)


@pytest.mark.parametrize(
    ("words", "phrase", "slop", "is_there"),
    [
        (["a"], ["a"] * 64, 0, True),
        (["a", "b"], ["a", "a", *["b"] * 62], 0, False),
        (["a", "b", "x"], ["a", "b"] * 32, 0, False),
        (["a", "b", "x"], ["a", "b"] * 32, 40, True),
    ],
)
def test_the_longest_phrase_in_the_longest_text(
    words: list[str], phrase: list[str], slop: int, is_there: bool
) -> None:
    text = " ".join(words * (200_000 // len(words)))
    holds = text_condition(phrase_match(PROSE, " ".join(phrase), slop))
    tracemalloc.start()
    started = time.process_time()
    try:
        assert holds(text) is is_there
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 64 << 20  # a list of places for each word of the phrase took half a gigabyte
    assert time.process_time() - started < 20  # in quadratic time it took minutes


def test_a_pattern_has_short_terms_only() -> None:
    assert necessary_pattern(text_match(PROSE, "a.b " + "c" * 64, 1)) == "a|b|" + "c" * 64
    assert necessary_pattern(text_match(PROSE, "a " + "b" * 65, 1)) is None
    assert necessary_pattern(phrase_match(PROSE, "b" * 65, 0)) is None
    assert necessary_pattern(PhraseMatch(Column("prose", DataType.VARCHAR), (), 0, "")) is None
