"""A table that replaces the one before it on a terminal, and is repeated elsewhere when a state changes."""

from __future__ import annotations

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


def test_a_pipe_gets_it_again_when_a_state_changes(capsys: pytest.CaptureFixture[str]) -> None:
    drawing = LiveTable(1)
    for state in ("a", "a", "b"):
        drawing.draw(["Job", "State"], [("7", state)], is_last=False)
    assert capsys.readouterr().out == "Job State\n7   a\n\nJob State\n7   b\n"
