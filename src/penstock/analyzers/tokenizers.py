"""Tokenizers: where the tokens of a text begin and end."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """The tokens of a text without their places, and with the index of the first character of each."""

    split: Callable[[str], list[str]]
    spans: Callable[[str], Iterator[tuple[str, int]]]


@cache
def standard_tokenizer() -> Tokenizer:
    """Runs of letters and digits of any script, with their combining marks."""
    any_script = re.compile(rf"[\w{_combining_marks()}]+")
    find_all, find_ascii = any_script.findall, re.compile(r"[A-Za-z0-9]+").findall

    def split(text: str) -> list[str]:
        # Twice as fast for most texts.
        return find_ascii(text) if text.isascii() else find_all(text.replace("_", " "))

    return Tokenizer(split, lambda text: _spans(any_script, text.replace("_", " ")))


@cache
def whitespace_tokenizer() -> Tokenizer:
    """Runs of anything but ASCII whitespace."""
    pattern = re.compile(r"[^ \t\n\r\f]+")
    return Tokenizer(pattern.findall, lambda text: _spans(pattern, text))


def _spans(pattern: re.Pattern[str], text: str) -> Iterator[tuple[str, int]]:
    return ((match.group(), match.start()) for match in pattern.finditer(text))


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
