"""Parse JSON text: simdjson's values, an exact fallback for large numbers, and positions of syntax errors.

simdjson parses every row. It refuses numbers beyond 64 bits and beyond double precision's range, and its errors have
no position; both are handled here by the standard library's parser, on that one row only.
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
from penstock.rules.json_texts import DYNAMIC
from penstock.rules.table import DYNAMIC_KEYS, FINITE, JSON_DEPTH, MAX_JSON_DEPTH

MAX_RECORD_BYTES = 32 << 20
"""Maximum text of one row. simdjson counts at most 2**24 - 1 elements of an array and pysimdjson writes beyond its
list when there are more, which takes a text of more than 32 MiB."""

WRAPPED_REMEDY = 'A file that holds {"rows": […]} is named .json; .jsonl and .ndjson hold one object per row'


class SyntaxFault(NamedTuple):
    """A JSON syntax error: byte offset in the text, the broken rule, and whether the text merely ends too early."""

    offset: int
    rule: str
    at_end: bool


@dataclass(frozen=True, slots=True)
class BigNumber:
    """The text of a number, from a row with a number that simdjson can't represent."""

    text: str


class _NotANumber(float):
    """NaN, Infinity or -Infinity in a JSON text, with the word as written."""

    word: str


class JsonParser:
    """Parse JSON texts, one at a time.

    Values are simdjson's: ``Object`` and ``Array`` proxies, str, int, float, bool, None; for a text that only the
    fallback can parse, dict, list and :class:`BigNumber` instead. Drop all proxies before the next call.
    """

    def __init__(self) -> None:
        self._parser = simdjson.Parser()

    def parse(self, text: bytes) -> Any:
        """Return the value of ``text``.

        Raises:
            DataError: the text is not JSON; ``offset`` counts from the beginning of the text.
        """
        if len(text) > MAX_RECORD_BYTES:
            raise DataError(f"the JSON text is longer than {MAX_RECORD_BYTES >> 20} MiB", offset=0)
        try:
            return self._parser.parse(text)
        except (ValueError, RuntimeError) as error:
            return _parse_exactly(text, str(error))


def _parse_exactly(text: bytes, message: str) -> Any:
    """Parse a text that simdjson refused with ``message``: numbers of any size are valid, all else is an error."""
    value = exact_value(text)
    if message.startswith("STRING_ERROR"):
        raise DataError("invalid JSON: a string holds half of a surrogate pair (\\ud800 to \\udfff)", offset=0)
    if not message.startswith(("BIGINT_ERROR", "NUMBER_ERROR")):
        raise DataError(f"invalid JSON: {message.partition(': ')[2] or message}", offset=0)
    return value


def _is_nested_too_deeply(text: bytes, limit: int) -> bool:
    """Whether the brackets of a JSON text open more than ``limit`` deep."""
    if len(text) <= limit or text.count(b"[") + text.count(b"{") <= limit:
        return False
    marks = StructuralIndexer().feed(text)
    depths = np.cumsum(np.where(marks.opens[~marks.odd], 1, -1))
    return bool(len(depths)) and int(depths.max()) > limit


def exact_value(text: bytes) -> Any:
    """Parse ``text`` with the standard library; numbers that don't fit become :class:`BigNumber`.

    Raises:
        DataError: the text is not UTF-8 or not JSON, is nested too deeply, or holds NaN or Infinity.
    """
    # A row adds one level around its fields.
    if _is_nested_too_deeply(text, MAX_JSON_DEPTH + 1):
        raise JSON_DEPTH.error(DYNAMIC).at(field=None, offset=0)
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
    """Find the first syntax error of ``text``; None if it is JSON (or nested too deeply to parse)."""
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


def _integer(text: str) -> Any:
    # 20 characters hold every 64-bit number; longer ones may exceed the interpreter's own limit on digits too.
    if len(text) <= 20 and -(2**63) <= (number := int(text)) < 2**64:
        return number
    return BigNumber(text)


def _not_a_number(word: str) -> _NotANumber:
    number = _NotANumber("nan")
    number.word = word
    return number


def _dict_of_distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    distinct = dict(pairs)
    if len(distinct) != len(pairs):
        duplicate = first_duplicate(key for key, _ in pairs)
        raise DYNAMIC_KEYS.error(DYNAMIC, key=duplicate).at(field=duplicate)
    return distinct


_DECODER = json.JSONDecoder(
    parse_int=_integer,
    parse_float=BigNumber,
    parse_constant=_not_a_number,
    object_pairs_hook=_dict_of_distinct_keys,
)


def _refuse_not_a_number(value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            number = _search_not_a_number(inner)
            if number:
                raise _number_error(number, key)
    elif number := _search_not_a_number(value):
        raise _number_error(number, None)


def _number_error(number: _NotANumber, field: str | None) -> DataError:
    return FINITE.error(DYNAMIC, value=number.word, word=number.word).at(field=field)


def _search_not_a_number(value: Any) -> _NotANumber | None:
    if isinstance(value, _NotANumber):
        return value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, map(_search_not_a_number, inner)), None)


def _field_of_bad_text(text: bytes) -> str | None:
    """Find the top-level key whose string has bytes that are not UTF-8, if possible."""
    try:
        value = json.loads(text.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return next((key for key, item in value.items() if isinstance(item, str) and not is_valid_text(item)), None)


def is_valid_text(text: str) -> bool:
    """Whether a text can be encoded as UTF-8: invalid bytes decoded with ``surrogateescape`` can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def first_duplicate(keys: Iterable[str]) -> str | None:
    """Find the first key that repeats an earlier one, in linear time."""
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
    """Whether ``text`` has exactly ``count`` of ``byte``. For rare bytes several times as fast as ``bytes.count``."""
    at = -1
    for _ in range(count):
        at = text.find(byte, at + 1)
        if at < 0:
            return False
    return text.find(byte, at + 1) < 0


def plain_number(value: Any) -> Any:
    """Convert a :class:`BigNumber` to int or float; return every other value unchanged."""
    if type(value) is not BigNumber:
        return value
    text = value.text
    if text.lstrip("-").isdigit():
        # Beyond 64 bits an integer matters by its size only; the digits themselves may exceed int()'s limit.
        return int(text) if len(text) <= 4000 else float(text)
    return float(text)


def json_type(value: Any) -> str:
    """Name the JSON type: object, array, string, number, bool or null."""
    if is_json_object(value):
        return "object"
    if is_json_array(value):
        return "array"
    if value is None:
        return "null"
    return {str: "string", bool: "bool"}.get(type(value), "number")


def text_of(value: Any) -> str:
    """Serialize a value as compact JSON: integers exactly, other numbers as doubles, or exactly if longer."""
    kind = type(value)
    if kind is str:
        return orjson.dumps(value).decode()
    if kind is int:
        return str(value)
    if kind is simdjson.Object or kind is simdjson.Array:
        text: bytes = value.mini
        return text.decode()
    try:
        text = orjson.dumps(value, default=_as_written, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except orjson.JSONEncodeError:  # values parsed from JSON fail only beyond 254 levels
        raise JSON_DEPTH.error(DYNAMIC).at(field=None) from None
    return text.decode()


def _as_written(value: Any) -> orjson.Fragment:
    if type(value) is BigNumber:
        return orjson.Fragment(value.text)
    if type(value) is simdjson.Object or type(value) is simdjson.Array:
        return orjson.Fragment(value.mini)
    raise TypeError(f"{type(value).__name__} is not a JSON value")
