"""Parse Milvus boolean expressions, and check them against a schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from lark import Lark
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken, VisitError

from penstock.domain.schema import CollectionSchema
from penstock.errors import InvalidFilter, shorten
from penstock.filters.ast import Filter
from penstock.filters.ast_builder import MAX_DEPTH, Builder, MissingTemplateValue, as_filter
from penstock.filters.limits import check_limits

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "parse"]

MAX_LENGTH = 4 * 1024 * 1024
"""Characters. Fifty thousand UUIDs in a list take two million."""

MAX_OUTSIDE = 128 * 1024
"""Characters outside of strings and flat lists of constants. They are parsed token by token, in up to 10 us each, and
the interpreter runs little else meanwhile; a list of constants is one token."""

_MESSAGE_LENGTH = 1000

_STRINGS = re.compile(r"\"(?:[^\"\\\n]++|\\.)*\"?|'(?:[^'\\\n]++|\\.)*'?")
"""An unclosed one extends to the end of its line: else each quote in it would be tried as the start of another."""
_FLAT_LIST = re.compile(r"\[[\s0-9.,\"-]*\]")
_NESTING = re.compile(r"(?:(?:\b(?:not|NOT|exists|EXISTS)\b|!(?!=)|[-+~])\s*)+|[(\[{]|[)\]}]")
_PREFIX = re.compile(r"\b(?:not|NOT|exists|EXISTS)\b|[-!+~]")
_UNSUPPORTED = re.compile(
    r"\b(?P<function>random_sample|element_filter|match_(?:any|all|least|most|exact))"
    r"\s*\(|(?P<operator>=~|!~)|(?P<element>\$\[)",
    re.IGNORECASE,
)


@cache
def _parser() -> Lark:
    return Lark.open_from_package(
        __package__ or "penstock.filters", "filter.lark", parser="lalr", lexer="basic", maybe_placeholders=False
    )


def parse(text: str, schema: CollectionSchema, params: Mapping[str, Any] | None = None) -> Filter | None:
    """Parse ``text`` to a filter; None for an empty or blank text, which matches every row.

    Args:
        params: the values of ``{name}`` templates: bools, numbers, strings, or lists of these.

    Raises:
        InvalidFilter: the text can't be parsed, doesn't suit the schema, or uses an unsupported feature. The message
            is Milvus's ``cannot parse expression: <text>, error: …``.
    """
    if not text or text.isspace():
        return None
    try:
        if len(text) > MAX_LENGTH:
            raise InvalidFilter(
                f"it has {len(text)} characters, more than {MAX_LENGTH}; filter by template lists or in steps"
            )
        bare = _STRINGS.sub('""', text)
        _check_depth(bare)
        _check_length(bare)
        tree = _parse(text, Builder(schema, params or {}))
        check_limits(tree)
        return tree
    except MissingTemplateValue as error:
        raise InvalidFilter(error.message, **error.details) from None
    except InvalidFilter as error:
        excerpt = shorten(text, _MESSAGE_LENGTH)
        raise InvalidFilter(f"cannot parse expression: {excerpt}, error: {error.message}", **error.details) from None


def _parse(text: str, builder: Builder) -> Filter:
    try:
        return as_filter(builder.transform(_parser().parse(text)))
    except RecursionError:
        raise InvalidFilter("it chains too many operators; put the constants together") from None
    except VisitError as error:
        if isinstance(error.orig_exc, InvalidFilter):
            raise error.orig_exc from None
        raise
    except UnexpectedInput as error:
        raise InvalidFilter(_explain(text, error)) from None


def _explain(text: str, error: UnexpectedInput) -> str:
    """Describe a syntax error and its position. Lines count from 1, columns from 0, as Milvus's parser does."""
    if unsupported := _UNSUPPORTED.search(_STRINGS.sub(lambda match: '"' * len(match.group()), text)):
        return f"{next(filter(None, unsupported.groups()))} is not supported"
    match error:
        case UnexpectedToken(token=token) if token.type != "$END":
            return f"line {token.line}:{(token.column or 1) - 1} unexpected {str(token)!r}"
        case UnexpectedCharacters(line=line, column=column, pos_in_stream=place):
            character = text[place or 0]
            hint = "; the string is not closed" if character in "\"'" else ""
            hint = "; write == for equal" if character == "=" else hint
            return f"line {line}:{column - 1} unexpected {character!r}{hint}"
        case UnexpectedToken() | UnexpectedEOF():
            return (
                f"line {text.count(chr(10)) + 1}:{len(text) - text.rfind(chr(10)) - 1} the expression ends too early"
            )
    return str(error)


def _check_length(bare: str) -> None:
    """Refuse a text that would take long to parse; ``bare`` has its strings emptied."""
    outside = len(_FLAT_LIST.sub("", bare))
    if outside > MAX_OUTSIDE:
        raise InvalidFilter(
            f"it has {outside:,} characters outside of lists of constants, more than {MAX_OUTSIDE:,}; put the values "
            "into a list, as in a in [1, 2]"
        )


def _check_depth(bare: str) -> None:
    """Refuse too deep nesting before anything recursive runs; ``bare`` has its strings emptied."""
    levels: list[int] = []
    depth = prefixes = end = 0
    for match in _NESTING.finditer(bare):
        part = match.group()
        if match.start() != end:
            prefixes = 0
        end = match.end()
        if part in ")]}":
            depth -= levels.pop() if levels else 0
            continue
        if part in "([{":
            levels.append(prefixes + 1)
            depth += levels[-1]
            prefixes = 0
        else:
            prefixes = len(_PREFIX.findall(part))
        if depth + prefixes > MAX_DEPTH:
            raise InvalidFilter(f"it nests more than {MAX_DEPTH} levels deep")
