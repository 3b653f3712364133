"""Names of databases, collections, fields and partitions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.domain.names import (
    check_collection_name,
    check_database_name,
    check_field_name,
    check_partition_name,
)
from penstock.errors import InvalidName

CHECKS = [
    pytest.param(check_collection_name, "collection", id="collection"),
    pytest.param(check_database_name, "database", id="database"),
    pytest.param(check_field_name, "field", id="field"),
]


@pytest.mark.parametrize(("check", "kind"), CHECKS)
def test_letters_digits_and_underscores(check: Callable[[str], None], kind: str) -> None:
    for name in ("c", "_c", "Docs_2024", "x" * 255):
        check(name)


@pytest.mark.parametrize(("check", "kind"), CHECKS)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "must not be empty"),
        ("1c", "the first character of a {kind} name must be an underscore or letter"),
        ("é", "the first character of a {kind} name must be an underscore or letter"),
        ("a-b", "{kind} name can only contain numbers, letters and underscores"),
        ("a b", "{kind} name can only contain numbers, letters and underscores"),
        ("a\n", "{kind} name can only contain numbers, letters and underscores"),
        ("../a", "the first character of a {kind} name must be an underscore or letter"),
        ("x" * 256, "the length of a {kind} name must be less than 255 characters"),
    ],
)
def test_anything_else_is_refused(check: Callable[[str], None], kind: str, name: str, reason: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check(name)
    assert reason.format(kind=kind) in str(caught.value)
    assert str(caught.value).startswith(f"Invalid {kind} name")


def test_a_partition_may_begin_with_a_digit_and_hold_a_dash() -> None:
    for name in ("_default", "2024-01", "p1"):
        check_partition_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a.b", "x" * 256])
def test_other_partition_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="Partition name can only contain numbers, letters and underscores"):
        check_partition_name(name)
