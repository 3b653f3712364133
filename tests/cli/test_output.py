"""Tables: one line per row for pipes, wrapped to the width of a terminal."""

from __future__ import annotations

import sys

import pytest

from penstock.cli.errors import Failure
from penstock.cli.output import print_facts, print_table

ROWS = [("a-long-name-of-a-file", 1200, "the first line\nand a second one"), ("b", None, "日本 é")]


def test_a_pipe_gets_aligned_columns_with_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["File", "Rows", "Reason"], ROWS, none="")
    assert capsys.readouterr().out.splitlines() == [
        "File                   Rows Reason",
        "a-long-name-of-a-file 1,200 the first line",
        "                            and a second one",
        "b                         - 日本 é",
    ]


def test_a_terminal_gets_the_last_columns_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "38")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(["File", "Rows", "Reason"], ROWS[:1], none="")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        "a-long-name-of-a-file 1,200 the first",
        "                            line",
        "                            and a",
        "                            second one",
    ]
    assert "File" in lines[0]


def test_a_wide_character_takes_two_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["Name", "State"], [("日本", "x"), ("abcd", "y")], none="")
    assert capsys.readouterr().out == "Name State\n日本 x\nabcd y\n"


def test_wide_characters_are_wrapped_by_the_columns_they_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(["File", "Reason"], [("a.csv", "日本" * 10)], none="")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == ["a.csv 日本日本日本日", "      本日本日本日本", "      日本日本日本"]


def test_no_rows_are_told_on_the_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["Name"], [], none="No keys.")
    assert capsys.readouterr() == ("", "No keys.\n")


def test_control_characters_of_names_and_values_are_shown_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["id", "\x1b[2Jkey"], [("1", "\x1b]0;title\x07")], none="")
    print_facts({"Reason": "field 'a'; value: \"\x1b[31m\""})
    assert capsys.readouterr().out.splitlines() == [
        r"id \x1b[2Jkey",
        r"1  \x1b]0;title\x07",
        "Reason  field 'a'; value: \"\\x1b[31m\"",
    ]


def test_an_error_shows_control_characters_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    Failure("the server says \x1b[2J").show()
    assert capsys.readouterr().err == "Error: the server says \\x1b[2J\n"
