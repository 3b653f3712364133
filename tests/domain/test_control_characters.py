"""Control characters in texts that are shown on a terminal."""

from __future__ import annotations

import pytest

from penstock.domain.control_characters import escape_controls


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("naïve ☕\tand\nso on", "naïve ☕\tand\nso on"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("over\rwritten\x7f", r"over\rwritten\x7f"),
        ("\0", r"\x00"),
    ],
)
def test_controls_become_escapes(text: str, shown: str) -> None:
    assert escape_controls(text) == shown
