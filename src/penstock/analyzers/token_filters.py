"""Token filters: functions that change a token, or drop it by returning None."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Lock
from typing import Any


@dataclass(frozen=True, slots=True)
class TokenFilter:
    """A function of a token. ``keeps_spelling``: it changes nothing but the case; it may drop some tokens."""

    apply: Callable[[str], str | None]
    keeps_spelling: bool = True


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

_MAX_STEMMED = 1024
"""Characters of a token that is stemmed: a stemmer takes quadratic time for some, and longer ones are no words."""


def _fold(token: str) -> str:
    if token.isascii():
        return token
    folded = "".join(map(_without_marks, token.translate(_FOLDED)))
    return folded if folded.isascii() else unicodedata.normalize("NFC", folded)


@lru_cache(4096)
def _without_marks(character: str) -> str:
    """The decomposition of a character without combining marks.

    By character, since Unicode's order of the marks of a whole token takes quadratic time for thousands of them.
    """
    decomposed = unicodedata.normalize("NFKD", character)
    return "".join(part for part in decomposed if not unicodedata.combining(part))


LOWERCASE = TokenFilter(str.lower)
ASCII_FOLDING = TokenFilter(_fold, keeps_spelling=False)
"""Replace letters with diacritics by ASCII ones. What has none stays."""
ALPHANUMERIC_ONLY = TokenFilter(lambda token: token if token.isascii() and token.isalnum() else None)
"""Drop tokens of anything but ASCII letters and digits."""


def length_filter(most: int) -> TokenFilter:
    """Drop tokens of more than so many UTF-8 bytes."""
    return TokenFilter(lambda token: token if len(token.encode()) <= most else None)


def stop_filter(words: Iterable[str]) -> TokenFilter:
    """Drop these tokens."""
    dropped = frozenset(words)
    return TokenFilter(lambda token: None if token in dropped else token)


@cache
def stemmer_filter(language: str) -> TokenFilter:
    """Replace a token by its stem in one of :data:`STEMMER_LANGUAGES`; one of over 1,024 characters stays."""
    import snowballstemmer  # of the extra server; the bulk writers import this module, too

    stemmer: Any = snowballstemmer.stemmer(language)
    lock = Lock()  # a stemmer keeps the word that it works on

    def stem(token: str) -> str:
        if len(token) > _MAX_STEMMED:
            return token
        with lock:
            return str(stemmer.stemWord(token))

    return TokenFilter(stem, keeps_spelling=False)
