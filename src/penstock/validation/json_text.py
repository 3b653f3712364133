"""Conform JSON columns and ``$meta``: check JSON text value by value, and keep it as written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

import orjson
import pyarrow as pa

from penstock.domain.schema import META_FIELD, DataType, Field
from penstock.errors import DataError
from penstock.readers.arrow_json import json_texts
from penstock.readers.arrow_values import decoded_type, is_json, plain
from penstock.readers.columns.json_values import MAX_JSON_BYTES, MAX_JSON_DEPTH, is_nested_too_deeply
from penstock.validation.errors import Array, WarningSink
from penstock.validation.text import is_text, utf8

__all__ = ["parse", "to_json", "to_meta"]

_TOO_LARGE = "number is infinity"
"""orjson's message for a number beyond a double's range."""
_LONG_NUMBER = re.compile(rb"\d{19}")
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1

_META = Field(name=META_FIELD, type=DataType.JSON, nullable=True)


def to_json(array: Array, column: pa.Field[Any] | None, field: Field, note: WarningSink) -> Array:
    """Convert text, and values of all types with a JSON form, to JSON text.

    In a nullable field JSON's ``null`` means null: pymilvus's writers write null as the text ``null``.
    """
    text = _as_text(array, column, field, note)
    changed: dict[int, str | None] = {}
    for row, value, unique in _parse_rows(text, field, note):
        if value is None and field.nullable:
            changed[row] = None
        elif not unique:
            changed[row] = orjson.dumps(value).decode()
    return _replace_rows(text, changed)


def to_meta(array: Array, column: pa.Field[Any] | None, taken: Set[str], note: WarningSink) -> Array:
    """Convert the dynamic field to JSON objects without field names (``taken``) as keys; null becomes {}."""
    text = _as_text(array, column, _META, note)
    changed: dict[int, str | None] = {}
    for row, value, unique in _parse_rows(text, _META, note):
        if value is None:
            changed[row] = None
        elif not isinstance(value, dict):
            raise DataError(
                "illegal value for dynamic field, not a JSON object",
                row=row,
                field=META_FIELD,
                value=text[row].as_py(),
                remedy='Write an object such as {"colour": "red"}, or leave the value null.',
            )
        elif not taken.isdisjoint(value):
            key = next(name for name in value if name in taken)
            raise DataError(
                f"duplicated key is not allowed, key={key}",
                row=row,
                field=META_FIELD,
                value=text[row].as_py(),
                remedy=f"{key!r} is a field of the collection: give it as a column of its own only.",
            )
        elif not unique:
            changed[row] = orjson.dumps(value).decode()
    return _replace_rows(text, changed).fill_null("{}")


def _replace_rows(text: Array, changed: Mapping[int, str | None]) -> Array:
    """Replace the text of these rows."""
    if not changed:
        return text
    values = text.to_pylist()
    for row, value in changed.items():
        values[row] = value
    return pa.array(values, pa.string())


def _as_text(array: Array, column: pa.Field[Any] | None, field: Field, note: WarningSink) -> Array:
    kind = decoded_type(array.type)
    if is_text(kind) or is_json(kind):
        return utf8(plain(array), field)
    try:
        return json_texts(array, column, note)
    except DataError as error:
        raise error.at(field=field.name) from None


def _parse_rows(text: Array, field: Field, note: WarningSink) -> Iterator[tuple[int, Any, bool]]:
    """Yield row, value, and whether no object in it has a duplicate key: the last one counts, as in Milvus, but an
    engine may refuse text with duplicates."""
    rounded = 0
    for row, value in enumerate(text.cast(pa.binary()).to_pylist()):
        if value is None:
            continue
        if len(value) > MAX_JSON_BYTES:
            raise DataError(
                f"the JSON text has {len(value)} bytes, the limit is {MAX_JSON_BYTES}",
                row=row,
                field=field.name,
                value=value.decode(),
                remedy="Store the large part elsewhere, or split it over several fields.",
            )
        if is_nested_too_deeply(value):
            raise DataError(
                f"the JSON is nested more than {MAX_JSON_DEPTH} deep",
                row=row,
                field=field.name,
                value=value.decode(),
                remedy="Flatten the value, or store it as text in a VarChar field.",
            )
        parsed = parse(value, row, field)
        if _LONG_NUMBER.search(value) and _has_wide_integer(value):
            rounded += 1
        # Parsing drops nothing but duplicate keys, each with at least two quotes. An escaped quote could make up for
        # them.
        unique = value.count(b'"') == orjson.dumps(parsed).count(b'"') and b"\\u0022" not in value
        yield row, parsed, unique
    if rounded:
        note("whole numbers beyond 64 bits in the JSON were rounded to float64", rounded)


def _has_wide_integer(text: bytes) -> bool:
    """Whether a JSON text has a whole number, written with digits only, of more than 64 bits."""
    is_wide = False

    def check(digits: str) -> None:
        nonlocal is_wide
        # The interpreter refuses to parse thousands of digits; twenty hold every 64-bit number.
        is_wide = is_wide or len(digits) > 20 or not _INT64_MIN <= int(digits) <= _UINT64_MAX

    json.loads(text, parse_int=check)
    return is_wide


def parse(value: bytes, row: int, field: Field) -> Any:
    """Parse one JSON text to Python values; raises :class:`DataError` with the position of a syntax error."""
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        rule, remedy = (
            f"the text is not JSON: {error}",
            "Write each value with a JSON library; a plain word needs quotes.",
        )
        if error.msg.startswith(_TOO_LARGE):
            rule = "a number in the JSON is out of range for float64 (-1.8e308 to 1.8e308)"
            remedy = "Write it as text."
        raise DataError(rule, row=row, field=field.name, value=value.decode(), remedy=remedy) from None
