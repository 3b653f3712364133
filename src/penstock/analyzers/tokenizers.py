"""Tokenizers: where the tokens of a text begin and end."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache


class Tokenizer:
    """Tokens are the matches of a pattern, which may differ from the text's characters in underscores only."""

    def __init__(self, pattern: re.Pattern[str], *, splits_at_underscores: bool) -> None:
        self._pattern = pattern
        self._splits_at_underscores = splits_at_underscores

    def split(self, text: str) -> list[str]:
        """The tokens of a text."""
        found: list[str] = self._pattern.findall(self._prepared(text))
        return found

    def spans(self, text: str) -> Iterator[tuple[str, int]]:
        """The tokens of a text, each with the index of its first character."""
        return ((match.group(), match.start()) for match in self._pattern.finditer(self._prepared(text)))

    def _prepared(self, text: str) -> str:
        return text.replace("_", " ") if self._splits_at_underscores else text


@cache
def standard_tokenizer() -> Tokenizer:
    """Runs of letters and digits of any script, with their combining marks."""
    return Tokenizer(re.compile(rf"[\w{_combining_marks()}]+"), splits_at_underscores=True)


@cache
def whitespace_tokenizer() -> Tokenizer:
    """Runs of anything but ASCII whitespace."""
    return Tokenizer(re.compile(r"[^ \t\n\r\f]+"), splits_at_underscores=False)


def _combining_marks() -> str:
    """The characters of Unicode's category M as ranges of a regular expression; ``\\w`` lacks them."""
    ranges: list[list[int]] = []
    for code in range(0x300, sys.maxunicode + 1):
        if unicodedata.category(chr(code))[0] != "M":
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
