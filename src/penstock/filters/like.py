"""``like`` patterns taken apart, so that every engine reads them the same way."""

from __future__ import annotations

import re
from enum import Enum

from penstock.errors import InvalidFilter

__all__ = ["Wildcard", "like_expression", "split_pattern"]


class Wildcard(Enum):
    ONE = "_"
    RUN = "%"


def split_pattern(pattern: str) -> list[str | Wildcard]:
    """Single literal characters and wildcards, in order.

    Raises:
        InvalidFilter: the pattern ends in a lone backslash.
    """
    parts: list[str | Wildcard] = []
    characters = iter(pattern)
    for each in characters:
        if each == "\\":
            literal = next(characters, None)
            if literal is None:
                raise InvalidFilter(
                    f"the pattern {pattern!r} ends in a lone escape character; write \\\\ for a backslash"
                )
            parts.append(literal)
        elif each == "%":
            if not parts or parts[-1] is not Wildcard.RUN:
                parts.append(Wildcard.RUN)
        elif each == "_":
            parts.append(Wildcard.ONE)
        else:
            parts.append(each)
    return parts


def like_expression(pattern: str) -> re.Pattern[str]:
    """A regular expression whose ``fullmatch`` says whether a string is like ``pattern``."""
    meanings = {Wildcard.ONE: ".", Wildcard.RUN: ".*"}
    return re.compile(
        "".join(meanings[part] if isinstance(part, Wildcard) else re.escape(part) for part in split_pattern(pattern)),
        re.DOTALL,
    )
