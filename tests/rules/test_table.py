"""The table of rules: complete, said once, and with words that can be filled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.domain.schema import DataType, Field
from penstock.rules import table
from penstock.rules.forms import FORMS, type_error
from penstock.rules.rule import Rule
from penstock.rules.table import ARRAY_CAPACITY, NOT_NULL, RULES, SPARSE_ORDER, TEXT_LENGTH

TAG = Field(name="tag", type=DataType.VARCHAR, max_length=4)
SOURCES = Path(table.__file__).parents[1]


def test_every_rule_is_in_the_table() -> None:
    assert [rule for rule in vars(table).values() if isinstance(rule, Rule)] == list(RULES)


def test_every_type_has_forms_and_rules() -> None:
    assert set(FORMS) == set(DataType)
    assert {kind for rule in RULES for kind in rule.types} == set(DataType)


def test_an_error_names_rule_field_value_and_remedy() -> None:
    error = TEXT_LENGTH.error(TAG, row=3, value="äöü", length=6)
    assert str(error) == (
        "row 3, field 'tag': value length(6) for field tag exceeds max_length(4); value: äöü. "
        "Lengths count UTF-8 bytes. Shorten the text, or use a field with a larger max_length."
    )


def test_a_value_of_another_kind_is_refused_with_the_forms_that_are_taken() -> None:
    bits = Field(name="bits", type=DataType.BINARY_VECTOR, dim=16)
    error = type_error(bits, "str", FORMS[bits.type].python, value="01")
    assert error.rule == "the value is str, the field is BinaryVector(16)"
    assert error.remedy == "BinaryVector fields take 16 bits (a list of 0 and 1) or 2 bytes."


@pytest.mark.parametrize("rule", [ARRAY_CAPACITY, SPARSE_ORDER, TEXT_LENGTH, NOT_NULL])
def test_the_words_of_a_rule_stand_in_the_table_only(rule: Rule) -> None:
    words = max(re.split(r"\{.*?\}", rule.message), key=len)
    files = [path.name for path in SOURCES.rglob("*.py") if words in path.read_text(encoding="utf-8")]
    assert files == ["table.py"]
