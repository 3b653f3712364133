"""JSON texts: syntax, size, nesting, numbers, and keys that are given twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.schema import META_FIELD, DataType, Field
from penstock.errors import DataError
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

DYNAMIC = Field(name=META_FIELD, type=DataType.JSON, nullable=True)
"""The dynamic field, as a field of a schema."""

_TOO_LARGE = "number is infinity"
_TOO_DEEP = "depth limit exceeded"
"""orjson's messages for a number beyond a double's range, and for more than 1024 levels."""
_LONG_NUMBER = r"(^|[^.0-9])[0-9]{19}"
"""Digits of a whole number that may need more than 64 bits; those of a fraction follow a point."""
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1
_SHORT = 2 * MAX_JSON_DEPTH
"""Bytes of a text that can't be nested too deeply: each level takes two brackets."""
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
        raise _json_error(text, field, row, error) from None
    if text.count(b"[") + text.count(b"{") > MAX_JSON_DEPTH and _depth_exceeds(value, MAX_JSON_DEPTH):
        raise JSON_DEPTH.error(field, row=row, value=text.decode())
    return value


def _json_error(text: bytes, field: Field, row: int | None, error: orjson.JSONDecodeError) -> DataError:
    rule = JSON_SYNTAX
    if error.msg.startswith(_TOO_LARGE):
        rule = JSON_NUMBERS
    elif error.msg.startswith(_TOO_DEEP):
        rule = JSON_DEPTH
    return rule.error(field, row=row, value=text.decode(errors="replace"), error=error)


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
    for row, value, distinct in _parse_rows(texts, field, note):
        if value is None and field.nullable:
            changed[row] = None
        elif distinct is not None:
            changed[row] = distinct
    return _replace_rows(texts, changed)


def check_dynamic_texts(texts: Array, taken: Set[str], note: WarningSink) -> Array:
    """As :func:`check_json_texts` for ``$meta``: objects without a key of ``taken``, the fields' names. Null becomes
    an empty object."""
    changed: dict[int, str | None] = {}
    for row, value, distinct in _parse_rows(texts, DYNAMIC, note):
        if type(value) is not dict:
            if value is not None:
                raise DYNAMIC_OBJECT.error(DYNAMIC, row=row, value=texts[row].as_py())
            changed[row] = None
        elif not taken.isdisjoint(value):
            key = next(name for name in value if name in taken)
            raise DYNAMIC_KEYS.error(DYNAMIC, row=row, value=texts[row].as_py(), key=key)
        elif distinct is not None:
            changed[row] = distinct
    checked: Array = _replace_rows(texts, changed)
    return checked.fill_null("{}") if checked.null_count else checked


def _parse_rows(texts: Array, field: Field, note: WarningSink) -> Iterator[tuple[int, Any, str | None]]:
    """Yield row, value, and the text to store instead where an object has a key twice.

    A search in all texts at once takes a fraction of one in each.
    """
    raws: list[bytes | None] = texts.cast(pa.binary()).to_pylist()
    _note_wide_integers(texts, raws, note)
    # An escaped quote could make up for those of a duplicate key.
    data = texts.buffers()[2]
    has_escaped_quotes = data is not None and b"\\u0022" in data.to_pybytes()
    loads, dumps = orjson.loads, orjson.dumps
    for row, raw in enumerate(raws):
        if raw is None:
            continue
        if len(raw) > _SHORT:
            value = parse_json(raw, field, row)
        else:
            try:
                value = loads(raw)
            except orjson.JSONDecodeError as error:
                raise _json_error(raw, field, row, error) from None
        distinct = None
        quotes = raw.count(b'"')
        if quotes:
            # Parsing drops nothing but duplicate keys, each with at least two quotes.
            written = dumps(value)
            if written.count(b'"') != quotes or (has_escaped_quotes and b"\\u0022" in raw):
                distinct = written.decode()
        yield row, value, distinct


def _note_wide_integers(texts: Array, raws: Sequence[bytes | None], note: WarningSink) -> None:
    """Note the rows with whole numbers of more than 64 bits."""
    suspects: Array = pc.match_substring_regex(texts, _LONG_NUMBER)
    rows = np.flatnonzero(suspects.fill_null(False).to_numpy(zero_copy_only=False)).tolist()
    rounded = sum(len(raws[row] or b"") <= MAX_JSON_BYTES and _has_wide_integer(raws[row] or b"") for row in rows)
    if rounded:
        note(_ROUNDED, rounded)


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


def _replace_rows(texts: Array, changed: dict[int, str | None]) -> Array:
    if not changed:
        return texts
    values = texts.to_pylist()
    for row, value in changed.items():
        values[row] = value
    return pa.array(values, pa.string())
