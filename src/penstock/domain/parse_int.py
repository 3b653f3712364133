"""Parsing of whole numbers from untrusted text."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"[+-]?[0-9]{1,100}\Z")
"""Python refuses to parse thousands of digits; no number that is compared with a limit needs a hundred."""


def number_of_digits(text: str) -> int | None:
    """Parse ASCII digits with an optional sign; None for any other text, and for more than 100 digits."""
    return int(text) if _DIGITS.match(text) else None
