"""Whole numbers that come as text, from people who may send anything."""

from __future__ import annotations

import re

__all__ = ["number_of_digits"]

_DIGITS = re.compile(r"[+-]?[0-9]{1,100}\Z")
"""Python refuses to read thousands of digits; nothing that is compared with a limit needs a hundred."""


def number_of_digits(text: str) -> int | None:
    """The number that ASCII digits spell, with a sign or without; None for any other text, and for an endless one."""
    return int(text) if _DIGITS.match(text) else None
