"""Values of free-typed parameters, which clients send as JSON values or as text of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

MAX_INT32 = 2**31 - 1
MAX_INT64 = 2**63 - 1
MAX_EXACT_DOUBLE = 2**53
"""A double holds every integer up to here; beyond it a JSON parser upstream may have rounded."""

_DIGITS = re.compile(r"[+-]?[0-9]{1,20}(\.0*)?\Z")
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def whole_number(value: object) -> int | None:
    """Parse an integer: 10 from ``10``, ``10.0``, ``"10"`` or ``"10.0"``; None from anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= MAX_EXACT_DOUBLE else None
    if isinstance(value, str) and _DIGITS.match(value.strip()):
        return int(value.strip().partition(".")[0])
    return None


def go_boolean(value: object) -> bool | None:
    """Parse a JSON value's text like Go's ``strconv.ParseBool``: ``true``, ``"T"``, ``1``, ``"0"``; else None."""
    number = whole_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    text = value if isinstance(value, str) else str(value if number is None else number)
    return True if text in _TRUE else False if text in _FALSE else None


def text_values(parameters: Mapping[str, Any] | None) -> dict[str, str]:
    """Convert free-typed parameters to text; those that are ``null`` are absent."""
    return {key: value_text(value) for key, value in (parameters or {}).items() if value is not None}


def value_text(value: Any) -> str:
    """A string unchanged, anything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
