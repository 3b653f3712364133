"""A table that replaces the one before it on a terminal, and is repeated elsewhere when a state changes."""

from __future__ import annotations

import os
import sys

import pytest

from penstock.cli.live_table import LiveTable


def test_a_terminal_gets_one_table_that_is_redrawn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    drawing = LiveTable()
    drawing.draw(["Job", "%", "State"], [("7", 10, "a")], is_last=False)
    capsys.readouterr()
    drawing.draw(["Job", "%", "State"], [("7", 20, "a")], is_last=True)
    assert capsys.readouterr().out.endswith("\x1b[2F\x1b[JJob  % State\n7   20 a\n")


def test_a_table_that_is_longer_than_the_terminal_is_cut_until_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, 6)))
    drawing = LiveTable(1)
    rows = [(str(number), "a") for number in range(9)]
    drawing.draw(["Job", "State"], rows, is_last=False)
    assert capsys.readouterr().out.splitlines() == ["Job State", "0   a", "1   a", "2   a", "… and 6 more"]
    drawing.draw(["Job", "State"], rows, is_last=True)
    last = capsys.readouterr().out
    assert last.startswith("\x1b[5F\x1b[J")
    assert len(last.splitlines()) == 10


def test_lines_that_the_terminal_breaks_are_redrawn_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((20, 6)))
    drawing = LiveTable(1)
    rows = [(f"/a/path/of/thirty/characters/{number}", "x") for number in range(3)]
    drawing.draw(["File", "State"], rows, is_last=False)
    assert len(capsys.readouterr().out.splitlines()) == 3, "header and first row, two lines each, and how many more"
    drawing.draw(["File", "State"], rows, is_last=True)
    assert capsys.readouterr().out.startswith("\x1b[5F\x1b[J")


def test_a_table_on_the_standard_error_fits_its_terminal_though_the_output_goes_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((40, 24)))
    LiveTable(1, err=True).draw(["File", "State"], [("a", "waiting for the others " * 4)], is_last=False)
    assert max(map(len, capsys.readouterr().err.splitlines())) <= 40


def test_a_pipe_gets_it_again_when_a_state_changes(capsys: pytest.CaptureFixture[str]) -> None:
    drawing = LiveTable(1)
    for state in ("a", "a", "b"):
        drawing.draw(["Job", "State"], [("7", state)], is_last=False)
    assert capsys.readouterr().out == "Job State\n7   a\n\nJob State\n7   b\n"
