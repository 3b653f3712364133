"""Names of import options, and separators as they are written."""

from __future__ import annotations

import pytest

from penstock.domain.import_options import SERVED_OPTIONS, option_warnings, parse_separator, unknown_option


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"\t", "\t"),
        ("\t", "\t"),
        (r"\x01", "\x01"),
        (r"\u0001", "\x01"),
        (r"\001", "\x01"),
        (r"\x7C", "|"),
        (r"\\\\"[:2], "\\"),
        ("\\", "\\"),
        ("|", "|"),
        ("||", "||"),
        ("", ""),
        (r"\q", r"\q"),
    ],
)
def test_a_separator_is_a_character_or_its_escape(written: str, meant: str) -> None:
    assert parse_separator(written) == meant


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("separator", "sep"),
        ("Sep", "sep"),
        ("delimiter", "sep"),
        ("null_key", "nullkey"),
        ("nulkey", "nullkey"),
        ("autoCommit", "auto_commit"),
        ("auto-comit", "auto_commit"),
        ("time_out", "timeout"),
    ],
)
def test_a_misspelt_option_comes_with_the_nearest_name(name: str, near: str) -> None:
    assert unknown_option(name) == f"option {name!r} is unknown. Did you mean {near!r}?"


def test_an_option_that_is_like_none_comes_with_all_names() -> None:
    assert unknown_option("x" * 500) == (
        f"option '{'x' * 100}…' is unknown. Options are {', '.join(sorted(SERVED_OPTIONS))}"
    )


@pytest.mark.parametrize("name", [*sorted(SERVED_OPTIONS), "backup", "startTs", "sdk", "scene"])
def test_known_options(name: str) -> None:
    assert unknown_option(name) is None


def test_warnings_are_bounded_and_silent_about_what_is_served() -> None:
    assert option_warnings(["sep", "timeout", "sdk", "scene"]) == []
    assert option_warnings(["storage_version", "nulkey"]) == [
        "option 'nulkey' is unknown. Did you mean 'nullkey'? It was ignored",
        "option 'storage_version' only concerns backups of Milvus, which are not imported. It was ignored",
    ]
    assert len(option_warnings([f"option {number}" for number in range(1000)])) == 11
