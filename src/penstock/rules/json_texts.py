"""JSON texts: syntax, size, nesting, numbers, and keys that are given twice."""

from __future__ import annotations

import json
import re
from collections.abc import Set
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.schema import META_FIELD, DataType, Field
from penstock.rules.rule import Array, WarningSink
from penstock.rules.table import (
    DYNAMIC_KEYS,
    DYNAMIC_OBJECT,
    JSON_DEPTH,
    JSON_NUMBERS,
    JSON_SIZE,
    JSON_SYNTAX,
    MAX_JSON_BYTES,
    MAX_JSON_DEPTH,
)

__all__ = ["DYNAMIC", "check_dynamic_texts", "check_json_texts", "parse_json"]

DYNAMIC = Field(name=META_FIELD, type=DataType.JSON, nullable=True)
"""The dynamic field, as a field of a schema."""

_TOO_LARGE = "number is infinity"
_TOO_DEEP = "depth limit exceeded"
"""orjson's messages for a number beyond a double's range, and for more than 1024 levels."""
_LONG_NUMBER = re.compile(rb"\d{19}")
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1
_ROUNDED = "whole numbers beyond 64 bits in the JSON were rounded to float64"


def parse_json(text: bytes, field: Field, row: int | None = None, *, limit: int | None = MAX_JSON_BYTES) -> Any:
    """Parse one JSON text of at most ``limit`` bytes to Python values.

    Raises:
        DataError: it is too long, no JSON, nested too deeply, or has a number that is too large.
    """
    if limit is not None and len(text) > limit:
        raise JSON_SIZE.error(field, row=row, value=text.decode(errors="replace"))
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        rule = JSON_NUMBERS if error.msg.startswith(_TOO_LARGE) else JSON_SYNTAX
        rule = JSON_DEPTH if error.msg.startswith(_TOO_DEEP) else rule
        raise rule.error(field, row=row, value=text.decode(errors="replace"), error=error) from None
    if text.count(b"[") + text.count(b"{") > MAX_JSON_DEPTH and _depth_exceeds(value, MAX_JSON_DEPTH):
        raise JSON_DEPTH.error(field, row=row, value=text.decode())
    return value


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for container in level
            if type(container) in (dict, list)
            for inner in (container.values() if type(container) is dict else container)
        ]
        if not level:
            return False
    return any(type(value) in (dict, list) for value in level)


def check_json_texts(texts: Array, field: Field, note: WarningSink) -> Array:
    """Check each text of a column, and return the column as it is to be stored.

    A text with a key twice in one object is replaced: the last one counts, as in Milvus, but an engine may refuse it.
    In a nullable field JSON's ``null`` means null: pymilvus's writers write null as the text ``null``.

    Raises:
        DataError: as :func:`parse_json`, with the row in ``texts``.
    """
    changed: dict[int, str | None] = {}
    for row, raw in enumerate(_raw(texts, note)):
        if raw is None:
            continue
        value = parse_json(raw, field, row)
        if value is None:
            if field.nullable:
                changed[row] = None
        elif b'"' in raw and (text := _with_distinct_keys(raw, value)) is not None:
            changed[row] = text
    return _replace_rows(texts, changed)


def check_dynamic_texts(texts: Array, taken: Set[str], note: WarningSink) -> Array:
    """As :func:`check_json_texts` for ``$meta``: objects without a key of ``taken``, the fields' names. Null becomes
    an empty object."""
    changed: dict[int, str | None] = {}
    for row, raw in enumerate(_raw(texts, note)):
        if raw is None:
            continue
        value = parse_json(raw, DYNAMIC, row)
        if type(value) is not dict:
            if value is not None:
                raise DYNAMIC_OBJECT.error(DYNAMIC, row=row, value=raw.decode())
            changed[row] = None
        elif not taken.isdisjoint(value):
            key = next(name for name in value if name in taken)
            raise DYNAMIC_KEYS.error(DYNAMIC, row=row, value=raw.decode(), key=key)
        elif (text := _with_distinct_keys(raw, value)) is not None:
            changed[row] = text
    checked: Array = _replace_rows(texts, changed)
    return checked.fill_null("{}") if checked.null_count else checked


def _raw(texts: Array, note: WarningSink) -> list[bytes | None]:
    """The bytes of each text. Notes the rows with whole numbers that are rounded."""
    raws: list[bytes | None] = texts.cast(pa.binary()).to_pylist()
    # Searched in the whole column first: almost no column has digits in such a row.
    suspects: Array = pc.match_substring_regex(texts, r"\d{19}")
    if pc.any(suspects).as_py():
        rounded = sum(
            raw is not None
            and len(raw) <= MAX_JSON_BYTES
            and bool(_LONG_NUMBER.search(raw))
            and _has_wide_integer(raw)
            for raw in raws
        )
        if rounded:
            note(_ROUNDED, rounded)
    return raws


def _has_wide_integer(text: bytes) -> bool:
    """Whether a JSON text has a whole number, written with digits only, of more than 64 bits."""
    is_wide = False

    def check(digits: str) -> None:
        nonlocal is_wide
        # The interpreter refuses to parse thousands of digits; twenty hold every 64-bit number.
        is_wide = is_wide or len(digits) > 20 or not _INT64_MIN <= int(digits) <= _UINT64_MAX

    try:
        json.loads(text, parse_int=check)
    except (ValueError, RecursionError):
        return False  # the check of the text reports it
    return is_wide


def _with_distinct_keys(raw: bytes, value: Any) -> str | None:
    """The text of ``value`` where an object in ``raw`` has a key twice, else None."""
    # Parsing drops nothing but duplicate keys, each with at least two quotes. An escaped quote could make up for it.
    written = orjson.dumps(value)
    if raw.count(b'"') == written.count(b'"') and b"\\u0022" not in raw:
        return None
    return written.decode()


def _replace_rows(texts: Array, changed: dict[int, str | None]) -> Array:
    if not changed:
        return texts
    values = texts.to_pylist()
    for row, value in changed.items():
        values[row] = value
    return pa.array(values, pa.string())
