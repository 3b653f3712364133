"""Token filters: functions that change a token, or drop it by returning None."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from threading import Lock
from typing import Any, TypeAlias

import snowballstemmer

TokenFilter: TypeAlias = Callable[[str], "str | None"]

ENGLISH_STOP_WORDS = frozenset(
    {
        *("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not"),
        *("of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was"),
        *("will", "with"),
    }
)

STEMMER_LANGUAGES = (
    *("arabic", "danish", "dutch", "english", "finnish", "french", "german", "greek", "hungarian", "italian"),
    *("norwegian", "portuguese", "romanian", "russian", "spanish", "swedish", "tamil", "turkish"),
)
"""Languages that Milvus has stemmers for, all of them Snowball's."""

_FOLDED = str.maketrans(
    dict(zip("øØıđĐðÐłŁħĦŋŊŧŦƒĸƀɨʉɵ", "oOidDdDlLhHnNtTfqbiuo", strict=True))
    | {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "TH"}
)
"""Letters that have no decomposition in Unicode."""


def lowercase(token: str) -> str:
    return token.lower()


def ascii_folding(token: str) -> str:
    """Replace letters with diacritics by ASCII ones. What has none stays."""
    if token.isascii():
        return token
    decomposed = unicodedata.normalize("NFKD", token.translate(_FOLDED))
    folded = "".join(character for character in decomposed if not unicodedata.combining(character))
    return folded if folded.isascii() else unicodedata.normalize("NFC", folded)


def ascii_alphanumeric_only(token: str) -> str | None:
    return token if token.isascii() and token.isalnum() else None


def length_filter(most: int) -> TokenFilter:
    """Drop tokens of more than so many UTF-8 bytes."""
    return lambda token: token if len(token.encode()) <= most else None


def stop_filter(words: Iterable[str]) -> TokenFilter:
    """Drop these tokens."""
    dropped = frozenset(words)
    return lambda token: None if token in dropped else token


@cache
def stemmer_filter(language: str) -> TokenFilter:
    """Replace a token by its stem in one of :data:`STEMMER_LANGUAGES`."""
    stemmer: Any = snowballstemmer.stemmer(language)
    lock = Lock()  # a stemmer keeps the word that it works on

    def stem(token: str) -> str:
        with lock:
            return str(stemmer.stemWord(token))

    return stem
