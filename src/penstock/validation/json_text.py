"""Conform JSON columns and ``$meta``: text is checked and kept as written, other values become text."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import pyarrow as pa

from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.readers.arrow_json import json_texts
from penstock.readers.arrow_values import decoded_type, is_json, plain
from penstock.rules.json_texts import DYNAMIC, check_dynamic_texts, check_json_texts
from penstock.rules.rule import Array, WarningSink
from penstock.validation.text import is_text, utf8


def to_json(array: Array, column: pa.Field[Any] | None, field: Field, note: WarningSink) -> Array:
    """Convert text, and values of all types with a JSON form, to JSON text."""
    return check_json_texts(_as_text(array, column, field, note), field, note)


def to_meta(array: Array, column: pa.Field[Any] | None, taken: Set[str], note: WarningSink) -> Array:
    """Convert the dynamic field to JSON objects without field names (``taken``) as keys; null becomes {}."""
    return check_dynamic_texts(_as_text(array, column, DYNAMIC, note), taken, note)


def _as_text(array: Array, column: pa.Field[Any] | None, field: Field, note: WarningSink) -> Array:
    kind = decoded_type(array.type)
    if is_text(kind) or is_json(kind):
        return utf8(plain(array), field)
    try:
        return json_texts(array, column, note)
    except DataError as error:
        raise error.at(field=field.name) from None
