"""Analyzers: a tokenizer, and token filters that change or drop each token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.analyzers.token_filters import TokenFilter
from penstock.analyzers.tokenizers import Tokenizer
from penstock.domain.deadline import check_deadline

_CACHED_TOKENS = 65_536
_CACHED_LENGTH = 64
"""Maximum characters of a token in the cache. Together they bound it to some 10 MiB per analyzer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A term of a text: its place among all tokens from 0, dropped ones too, and its bytes in the UTF-8 text."""

    term: str
    position: int
    start: int
    end: int


class _Terms(dict[str, "str | None"]):
    """The terms of tokens, looked up in C: stemming takes 70 us a token, a look-up 50 ns."""

    def __init__(self, filters: Sequence[TokenFilter]) -> None:
        super().__init__()
        self._filters = tuple(filters)

    def __missing__(self, token: str) -> str | None:
        term = self._filtered(token)
        if len(token) <= _CACHED_LENGTH:
            if len(self) >= _CACHED_TOKENS:
                self.clear()
            self[token] = term
        return term

    def _filtered(self, token: str) -> str | None:
        check_deadline()  # here, since other tokens take next to no time
        for filter in self._filters:
            changed = filter.apply(token)
            if not changed:
                return None
            token = changed
        return token


class Analyzer:
    """Splits texts into terms, within the deadline of the call. Threads may share one.

    ``split`` gives the tokens of a text, ``term`` the term of a token, None where a filter drops it.
    ``keeps_spelling``: a term differs from its token in case only.
    """

    def __init__(self, tokenizer: Tokenizer, filters: Sequence[TokenFilter]) -> None:
        self._tokenizer = tokenizer
        self.keeps_spelling = all(filter.keeps_spelling for filter in filters)
        self.split = tokenizer.split
        self.term = _Terms(filters).__getitem__

    def positions(self, text: str) -> list[str | None]:
        """The terms of a text by position, None where a filter dropped the token."""
        return list(map(self.term, self.split(text)))

    def terms(self, text: str) -> list[str]:
        """The terms of a text in their order, repeated ones too."""
        return [term for term in map(self.term, self.split(text)) if term is not None]

    def tokens(self, text: str) -> list[Token]:
        """The terms of a text with their places."""
        tokens = []
        end_character = end = 0
        for position, (token, character) in enumerate(self._tokenizer.spans(text)):
            start = end + len(text[end_character:character].encode())
            end_character = character + len(token)
            end = start + len(token.encode())
            term = self.term(token)
            if term is not None:
                tokens.append(Token(term=term, position=position, start=start, end=end))
        return tokens
