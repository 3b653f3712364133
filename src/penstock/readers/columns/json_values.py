"""JSON text: the fast parser's values, the slow way for what it can't hold, and where a text is broken.

simdjson parses every row. It refuses numbers beyond 64 bits and beyond double precision's range, and its errors tell
no position; both are made good here with the standard library's parser, on that one row only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson
import simdjson

from penstock.errors import DataError
from penstock.readers.json.structural_index import StructuralIndexer

__all__ = [
    "MAX_JSON_BYTES",
    "MAX_JSON_DEPTH",
    "MAX_RECORD_BYTES",
    "WRAPPED_REMEDY",
    "BigNumber",
    "JsonParser",
    "SyntaxFault",
    "exact_value",
    "find_syntax_fault",
    "first_duplicate",
    "holds",
    "is_json_array",
    "is_json_object",
    "is_nested_too_deeply",
    "is_valid_text",
    "json_type",
    "plain_number",
    "text_of",
]

MAX_RECORD_BYTES = 32 << 20
"""Longest text of one row. simdjson counts at most 2**24 - 1 elements of an array and pysimdjson writes beyond its
list when there are more, which takes a text of more than 32 MiB."""

MAX_JSON_BYTES = 65536
"""Longest text of a JSON field's value, or of a row's dynamic values, as in Milvus."""

MAX_JSON_DEPTH = 128
"""Deepest nesting of such a value. orjson writes 254 levels, of which answers take some for themselves, and the
engine's parser overflows its stack at some thousands."""

WRAPPED_REMEDY = 'A file that holds {"rows": […]} is named .json; .jsonl and .ndjson hold one object per row'

_TOO_DEEP = f"the JSON is nested more than {MAX_JSON_DEPTH} deep"
_FLATTEN = "Flatten the value, or write it as text"


class SyntaxFault(NamedTuple):
    """Where a JSON text is broken: byte offset in the text, what is wrong, and whether it merely ends too early."""

    offset: int
    rule: str
    at_end: bool


@dataclass(frozen=True, slots=True)
class BigNumber:
    """A number as it is written, from a row that holds one that the fast parser can't hold."""

    text: str


class _NotANumber(float):
    """NaN, Infinity or -Infinity in a JSON text, with its spelling."""

    word: str


class JsonParser:
    """Parses one text at a time.

    Values are simdjson's: ``Object`` and ``Array`` proxies, str, int, float, bool, None; for a text that only the
    slow way can parse, dict, list and :class:`BigNumber` instead. Drop
    all proxies before the next call.
    """

    def __init__(self) -> None:
        self._parser = simdjson.Parser()

    def parse(self, text: bytes) -> Any:
        """The value of ``text``.

        Raises:
            DataError: the text is not JSON; ``offset`` counts from the beginning of the text.
        """
        if len(text) > MAX_RECORD_BYTES:
            raise DataError(f"the JSON text is longer than {MAX_RECORD_BYTES >> 20} MiB", offset=0)
        try:
            return self._parser.parse(text)
        except (ValueError, RuntimeError) as error:
            return _parse_slowly(text, str(error))


def _parse_slowly(text: bytes, complaint: str) -> Any:
    """What simdjson refused with ``complaint``: a number of any size is fine, everything else an error."""
    value = exact_value(text)
    if complaint.startswith("STRING_ERROR"):
        raise DataError("invalid JSON: a string holds half of a surrogate pair (\\ud800 to \\udfff)", offset=0)
    if not complaint.startswith(("BIGINT_ERROR", "NUMBER_ERROR")):
        raise DataError(f"invalid JSON: {complaint.partition(': ')[2] or complaint}", offset=0)
    return value


def is_nested_too_deeply(text: bytes, limit: int = MAX_JSON_DEPTH) -> bool:
    """Whether the brackets of a JSON text open more than ``limit`` deep."""
    if len(text) <= limit or text.count(b"[") + text.count(b"{") <= limit:
        return False
    marks = StructuralIndexer().feed(text)
    depths = np.cumsum(np.where(marks.opens[~marks.odd], 1, -1))
    return bool(len(depths)) and int(depths.max()) > limit


def exact_value(text: bytes) -> Any:
    """The value of ``text`` by the standard library's parser, numbers that don't fit kept as :class:`BigNumber`.

    Raises:
        DataError: the text is not UTF-8 or not JSON, is nested too deeply, or holds NaN or Infinity.
    """
    # A row is one level around its fields.
    if is_nested_too_deeply(text, MAX_JSON_DEPTH + 1):
        raise DataError(_TOO_DEEP, offset=0, remedy=_FLATTEN)
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "the text is not valid UTF-8",
            offset=error.start,
            field=_field_of_bad_text(text),
            value=text[error.start : error.end],
            remedy="Write the file in UTF-8",
        ) from None
    try:
        value = _DECODER.decode(decoded)
    except json.JSONDecodeError as error:
        raise DataError(f"invalid JSON: {error.msg}", offset=_byte_offset(text, decoded, error.pos)) from None
    _refuse_not_a_number(value)
    return value


def find_syntax_fault(text: bytes) -> SyntaxFault | None:
    """The first place where ``text`` stops being JSON, or None if it is JSON (or nested too deeply to tell)."""
    decoded = text.decode(errors="replace")
    try:
        _DECODER.decode(decoded)
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(decoded.rstrip()) or error.msg.startswith("Unterminated string")
        return SyntaxFault(_byte_offset(text, decoded, error.pos), error.msg, at_end)
    except (RecursionError, DataError):
        return None
    return None


def _byte_offset(text: bytes, decoded: str, position: int) -> int:
    bom = 3 if text.startswith(b"\xef\xbb\xbf") and not decoded.startswith("\ufeff") else 0
    return bom + len(decoded[:position].encode(errors="replace"))


def _whole(text: str) -> Any:
    # 20 characters hold every 64-bit number; longer ones may exceed the interpreter's own limit on digits too.
    if len(text) <= 20 and -(2**63) <= (number := int(text)) < 2**64:
        return number
    return BigNumber(text)


def _not_a_number(word: str) -> _NotANumber:
    number = _NotANumber("nan")
    number.word = word
    return number


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = first_duplicate(key for key, _ in pairs)
        raise DataError(f"duplicated key is not allowed, key={twice}", field=twice)
    return made


_DECODER = json.JSONDecoder(
    parse_int=_whole,
    parse_float=BigNumber,
    parse_constant=_not_a_number,
    object_pairs_hook=_distinct,
)


def _refuse_not_a_number(value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            found = _search_not_a_number(inner)
            if found:
                raise _number_error(found, key)
    elif found := _search_not_a_number(value):
        raise _number_error(found, None)


def _number_error(found: _NotANumber, field: str | None) -> DataError:
    return DataError(f"value {found.word!r} is not a number or infinity", field=field, value=found.word)


def _search_not_a_number(value: Any) -> _NotANumber | None:
    if isinstance(value, _NotANumber):
        return value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, map(_search_not_a_number, inner)), None)


def _field_of_bad_text(text: bytes) -> str | None:
    """The top-level key whose string holds bytes that are not UTF-8, where that can be told."""
    try:
        value = json.loads(text.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return next((key for key, each in value.items() if isinstance(each, str) and not is_valid_text(each)), None)


def is_valid_text(text: str) -> bool:
    """Whether the text can be written in UTF-8: bytes decoded with ``surrogateescape`` that were not can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def first_duplicate(keys: Iterable[str]) -> str | None:
    """The first key that has been there before, in time linear in their number."""
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    return None


def is_json_object(value: Any) -> bool:
    return type(value) is simdjson.Object or type(value) is dict


def is_json_array(value: Any) -> bool:
    return type(value) is simdjson.Array or type(value) is list


def holds(text: bytes, byte: bytes, count: int) -> bool:
    """Whether ``text`` holds ``byte`` just so often. For rare bytes this is several times as fast as ``count``."""
    at = -1
    for _ in range(count):
        at = text.find(byte, at + 1)
        if at < 0:
            return False
    return text.find(byte, at + 1) < 0


def plain_number(value: Any) -> Any:
    """A number kept as text by the slow way, as int or float; every other value as it is."""
    if type(value) is not BigNumber:
        return value
    text = value.text
    if text.lstrip("-").isdigit():
        # Beyond 64 bits an integer matters by its size only; the digits themselves may exceed int()'s limit.
        return int(text) if len(text) <= 4000 else float(text)
    return float(text)


def json_type(value: Any) -> str:
    """The JSON type's name: object, array, string, number, bool or null."""
    if is_json_object(value):
        return "object"
    if is_json_array(value):
        return "array"
    if value is None:
        return "null"
    return {str: "string", bool: "bool"}.get(type(value), "number")


def text_of(value: Any) -> str:
    """The compact JSON text of a value: integers exact, other numbers to double precision or exact if longer."""
    kind = type(value)
    if kind is str:
        return orjson.dumps(value).decode()
    if kind is int:
        return str(value)
    if kind is simdjson.Object or kind is simdjson.Array:
        text: bytes = value.mini
        return text.decode()
    try:
        text = orjson.dumps(value, default=_number_as_written, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except orjson.JSONEncodeError:  # of values that came from JSON text, only those of more than 254 levels
        raise DataError(_TOO_DEEP, remedy=_FLATTEN) from None
    return text.decode()


def _number_as_written(value: Any) -> orjson.Fragment:
    if type(value) is BigNumber:
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is no JSON value")
