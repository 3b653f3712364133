"""Serialize Python values as the JSON text of a field, or reject what JSON has no form for.

``DataError`` has no row here: the caller adds it.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np
import orjson

from penstock.bulk_writer.masks import refuse_masked
from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.rules.json_texts import parse_json
from penstock.rules.numbers import float_error
from penstock.rules.table import (
    DYNAMIC_KEYS,
    JSON_DEPTH,
    JSON_NUMBERS,
    JSON_SIZE,
    MAX_JSON_BYTES,
    MAX_JSON_DEPTH,
    TEXT_ENCODING,
)

__all__ = ["json_text"]

_MIN_JSON_INTEGER, _MAX_JSON_INTEGER = -(2**63), 2**64 - 1
"""Of the integers that the JSON library takes, as keys and as values."""
_MAX_JSON_NUMBER = sys.float_info.max
_JSON_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def json_text(value: Any, field: Field) -> str:
    """Serialize a Python value as JSON; a str counts as JSON text, as in pymilvus."""
    if isinstance(value, str | bytes):
        raw = value if isinstance(value, bytes) else _json_bytes(field, value)
        parse_json(raw, field)
    else:
        raw = _dump(value, field)
        if len(raw) > MAX_JSON_BYTES:
            raise JSON_SIZE.error(field, value=raw.decode())
    return raw.decode()


def _json_bytes(field: Field, value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise TEXT_ENCODING.error(field, value=repr(value)) from None


def _dump(value: Any, field: Field) -> bytes:
    _refuse_not_json(value, field, MAX_JSON_DEPTH)
    try:
        return _with_wide_integers(value)
    except TypeError as error:
        raise DataError(
            f"the value can't be written as JSON: {error}",
            field=field.name,
            value=value,
            remedy="Use dicts, lists, text and numbers.",
        ) from None


def _with_wide_integers(value: Any) -> bytes:
    """Serialize a value, also with integers of more than 64 bits, which an import rounds, and reports. Raises
    TypeError: JSON has no form for it."""
    try:
        return orjson.dumps(value, option=_JSON_OPTIONS)
    except TypeError as error:
        if "64-bit" not in str(error):
            raise
    return orjson.dumps(_wide_integers_as_text(value), option=_JSON_OPTIONS)


def _wide_integers_as_text(value: Any) -> Any:
    """Replace integers of more than 64 bits, which the JSON library refuses, by their text."""
    if isinstance(value, Mapping):
        return {_wide_key_as_text(key): _wide_integers_as_text(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_wide_integers_as_text(element) for element in value]
    if isinstance(value, int) and not _MIN_JSON_INTEGER <= value <= _MAX_JSON_INTEGER:
        return orjson.Fragment(str(value))
    return value


def _wide_key_as_text(key: Any) -> Any:
    return str(key) if isinstance(key, int) and not _MIN_JSON_INTEGER <= key <= _MAX_JSON_INTEGER else key


def _refuse_not_json(value: Any, field: Field, depth: int) -> None:
    """Reject values nested more than ``depth`` deep, and those that the JSON library would write as another value:
    NaN as null (a key, too), a masked element as the value under the mask. And integers that no import takes."""
    if depth < 0:
        raise JSON_DEPTH.error(field)
    refuse_masked(field, value)
    if isinstance(value, float | np.floating):
        if not np.isfinite(value):
            raise float_error(field, float(value))
    elif isinstance(value, int):
        if abs(value) > _MAX_JSON_NUMBER:
            raise JSON_NUMBERS.error(field)  # thousands of digits can't be shown
    elif isinstance(value, Mapping):
        if not {str}.issuperset(map(type, value)):
            _refuse_equal_keys(value, field)
        for key, member in value.items():
            if isinstance(key, float) and not np.isfinite(key):
                raise float_error(field, key)
            _refuse_not_json(member, field, depth - 1)
    elif isinstance(value, list | tuple):
        for element in value:
            _refuse_not_json(element, field, depth - 1)
    elif isinstance(value, Enum):
        _refuse_not_json(value.value, field, depth)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            _refuse_not_json(getattr(value, part.name), field, depth - 1)
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
        raise float_error(field, float(value[~np.isfinite(value)][0]))


def _refuse_equal_keys(value: Mapping[Any, Any], field: Field) -> None:
    """Reject keys that are different in Python and the same in JSON, such as 1 and "1"."""
    try:
        objects = orjson.dumps([{_wide_key_as_text(key): 0} for key in value], option=_JSON_OPTIONS)
    except TypeError:
        return  # a key that JSON has no form for: refused where the whole value is written
    key, count = Counter(key for key_object in json.loads(objects) for key in key_object).most_common(1)[0]
    if count > 1:
        raise DYNAMIC_KEYS.error(field, value=str(value), key=key)
