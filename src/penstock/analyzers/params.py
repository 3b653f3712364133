"""Build analyzers from Milvus's ``analyzer_params``.

::

    {"type": "english", "stop_words": ["of"]}
    {"tokenizer": "standard", "filter": ["lowercase", {"type": "length", "max": 40}, {"type": "stemmer",
     "language": "english"}]}

No parameters are the analyzer ``standard``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from penstock.analyzers.analyzer import Analyzer
from penstock.analyzers.token_filters import (
    ALPHANUMERIC_ONLY,
    ASCII_FOLDING,
    ENGLISH_STOP_WORDS,
    LOWERCASE,
    STEMMER_LANGUAGES,
    TokenFilter,
    length_filter,
    stemmer_filter,
    stop_filter,
)
from penstock.analyzers.tokenizers import Tokenizer, standard_tokenizer, whitespace_tokenizer
from penstock.domain.schema import ANALYZER_PARAMS, Field
from penstock.errors import InvalidParameter, Unsupported, shorten

_CACHED_ANALYZERS = 16
_MAX_PARAMS = 64 * 1024
_MAX_FILTERS = 32
_STOP_WORD_LISTS: Mapping[str, frozenset[str]] = {"_english_": ENGLISH_STOP_WORDS}
_TOKENIZERS: Mapping[str, Callable[[], Tokenizer]] = {
    "standard": standard_tokenizer,
    "whitespace": whitespace_tokenizer,
}
_PLAIN_FILTERS: Mapping[str, TokenFilter] = {
    "lowercase": LOWERCASE,
    "asciifolding": ASCII_FOLDING,
    "alphanumonly": ALPHANUMERIC_ONLY,
}
_FURTHER_FILTERS = ("length", "stemmer", "stop")
BUILT_IN_ANALYZERS: Mapping[str, Callable[[], tuple[TokenFilter, ...]]] = {
    "standard": lambda: (LOWERCASE,),
    # Stems before stop words, as in Milvus.
    "english": lambda: (LOWERCASE, stemmer_filter("english"), stop_filter(ENGLISH_STOP_WORDS)),
}


@lru_cache(_CACHED_ANALYZERS)
def analyzer_from_params(text: str) -> Analyzer:
    """The analyzer of stored parameters, with what it has cached. Raises as :func:`build_analyzer`."""
    return build_analyzer(text)


def build_analyzer(text: str) -> Analyzer:
    """Build the analyzer of parameters in JSON; ``""`` is the standard one.

    Raises:
        InvalidParameter: they are no JSON object of the right form.
        Unsupported: they name an analyzer, tokenizer or filter that isn't served.
    """
    params = _decoded(text)
    if not params:
        return Analyzer(standard_tokenizer(), BUILT_IN_ANALYZERS["standard"]())
    if "type" in params:
        return _built_in(params)
    if "tokenizer" not in params:
        raise InvalidParameter("tokenizer name or type must be set in analyzer_params", key="tokenizer")
    _check_keys(params, ("tokenizer", "filter"), "analyzer_params")
    return Analyzer(_tokenizer(params["tokenizer"]), _filters(params.get("filter")))


def field_analyzer(field: Field) -> Analyzer:
    """The analyzer of a VarChar field, by its parameters. Raises as :func:`analyzer_from_params`; names the field."""
    try:
        return analyzer_from_params(field.params.get(ANALYZER_PARAMS, ""))
    except InvalidParameter as error:
        raise type(error)(f"{error.message}, field name = {field.name}", **error.details, field=field.name) from error


def _decoded(text: str) -> Mapping[str, Any]:
    if not text:
        return {}
    if len(text) > _MAX_PARAMS:
        raise InvalidParameter(f"analyzer_params have {len(text):,} characters, more than {_MAX_PARAMS:,}")
    try:
        params = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidParameter(f"analyzer_params can't be parsed as JSON: {error}") from error
    if not isinstance(params, dict):
        raise InvalidParameter(f"analyzer_params should be a JSON object, but got {shorten(text)}")
    return params


def _built_in(params: Mapping[str, Any]) -> Analyzer:
    name = _named(params["type"], "analyzer", BUILT_IN_ANALYZERS)
    _check_keys(params, ("type", "stop_words"), f"the analyzer {name}")
    filters = list(BUILT_IN_ANALYZERS[name]())
    if "stop_words" in params:
        filters.append(stop_filter(_stop_words(params["stop_words"])))
    return Analyzer(standard_tokenizer(), filters)


def _tokenizer(value: Any) -> Tokenizer:
    params = value if isinstance(value, dict) else {"type": value}
    name = _named(params.get("type"), "tokenizer", _TOKENIZERS)
    _check_keys(params, ("type",), f"the tokenizer {name}")
    return _TOKENIZERS[name]()


def _filters(value: Any) -> list[TokenFilter]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidParameter(f"filter of analyzer_params should be a list, but got {shorten(value)}")
    if len(value) > _MAX_FILTERS:
        raise InvalidParameter(f"analyzer_params have {len(value)} filters, more than {_MAX_FILTERS}")
    return [_filter(item) for item in value]


def _filter(value: Any) -> TokenFilter:
    params = value if isinstance(value, dict) else {"type": value}
    name = _named(params.get("type"), "filter", (*_PLAIN_FILTERS, *_FURTHER_FILTERS))
    if name in _PLAIN_FILTERS:
        _check_keys(params, ("type",), f"the filter {name}")
        return _PLAIN_FILTERS[name]
    option = {"length": "max", "stemmer": "language", "stop": "stop_words"}[name]
    _check_keys(params, ("type", option), f"the filter {name}")
    if option not in params:
        raise InvalidParameter(f"the filter {name} of analyzer_params needs {option}", key=option)
    argument = params[option]
    if name == "stop":
        return stop_filter(_stop_words(argument))
    if name == "length":
        if isinstance(argument, bool) or not isinstance(argument, int) or argument < 0:
            raise InvalidParameter(
                f"max of the filter length should be a whole number of bytes, but got {shorten(argument)}", key="max"
            )
        return length_filter(argument)
    language = argument.lower() if isinstance(argument, str) else argument
    return stemmer_filter(_named(language, "language of the filter stemmer", STEMMER_LANGUAGES))


def _stop_words(value: Any) -> frozenset[str]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidParameter(f"stop_words should be a list of strings, but got {shorten(value)}", key="stop_words")
    chosen: set[str] = set()
    for word in words:
        if word.startswith("_") and word.endswith("_") and len(word) > 2:
            chosen |= _STOP_WORD_LISTS[_named(word, "list of stop words", _STOP_WORD_LISTS)]
        else:
            chosen.add(word)
    return frozenset(chosen)


def _named(value: Any, what: str, known: Iterable[str]) -> str:
    names = tuple(known)
    if not isinstance(value, str):
        raise InvalidParameter(f"the {what} should be named by a string, but got {shorten(value)}")
    if value not in names:
        raise Unsupported(
            f"the {what} {shorten(value)} is not supported by this server; use {', '.join(sorted(names))}", name=value
        )
    return value


def _check_keys(params: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    unknown = [key for key in params if key not in known]
    if unknown:
        raise Unsupported(
            f"{shorten(unknown[0])} of {what} is not supported by this server; it takes {', '.join(known)}",
            key=unknown[0],
        )
