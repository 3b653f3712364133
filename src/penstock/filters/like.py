"""Parse ``like`` patterns, so that every engine reads them the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum

from penstock.errors import InvalidFilter


class Wildcard(Enum):
    ONE = "_"
    RUN = "%"


def split_pattern(pattern: str) -> list[str | Wildcard]:
    """Split a pattern into literal characters and wildcards, in order.

    Raises:
        InvalidFilter: the pattern ends in a lone backslash.
    """
    parts: list[str | Wildcard] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            literal = next(characters, None)
            if literal is None:
                raise InvalidFilter(
                    f"the pattern {pattern!r} ends in a lone escape character; write \\\\ for a backslash"
                )
            parts.append(literal)
        elif character == "%":
            if not parts or parts[-1] is not Wildcard.RUN:
                parts.append(Wildcard.RUN)
        elif character == "_":
            parts.append(Wildcard.ONE)
        else:
            parts.append(character)
    return parts


def like_matcher(pattern: str) -> Callable[[str], bool]:
    """Compile ``pattern`` to a function that matches a string.

    Runs of characters between two ``%`` are searched one after the other, the first position being as good as any
    later one. One regular expression for all of them would backtrack over the positions of each run.
    """
    runs: list[list[str | Wildcard]] = [[]]
    for part in split_pattern(pattern):
        if part is Wildcard.RUN:
            runs.append([])
        else:
            runs[-1].append(part)
    finders = [_finder(run) for run in runs]
    width = len(runs[-1])

    def matches(text: str) -> bool:
        end = finders[0](text, 0, True)
        if len(finders) == 1 or end is None:
            return end == len(text)
        for finder in finders[1:-1]:
            end = finder(text, end, False)
            if end is None:
                return False
        return len(text) - width >= end and finders[-1](text, len(text) - width, True) is not None

    return matches


_Finder = Callable[[str, int, bool], "int | None"]
"""(text, start, anchored there) → the end of the run's match."""


def _finder(run: Sequence[str | Wildcard]) -> _Finder:
    if Wildcard.ONE not in run:
        literal = "".join(map(str, run))

        def find(text: str, start: int, anchored: bool) -> int | None:
            place = (
                start
                if anchored and text.startswith(literal, start)
                else -1
                if anchored
                else text.find(literal, start)
            )
            return None if place < 0 else place + len(literal)

        return find
    expression = re.compile("".join("." if part is Wildcard.ONE else re.escape(str(part)) for part in run), re.DOTALL)

    def find_expression(text: str, start: int, anchored: bool) -> int | None:
        match = expression.match(text, start) if anchored else expression.search(text, start)
        return None if match is None else match.end()

    return find_expression
