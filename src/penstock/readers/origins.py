"""Rows as they are in their file, for reports of rejected rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa

from penstock.errors import DataError
from penstock.readers.arrow_json import object_texts
from penstock.readers.base import Origin, RejectedRow
from penstock.rules.bad_rows import BadRows

MAX_TEXT_BYTES = 1 << 20
"""Maximum bytes of a row that are kept: a longer one can be read in the file only."""


def rejected_rows(bad: BadRows, first_row: int, origin: Callable[[int], Origin]) -> list[RejectedRow]:
    """The bad rows of a batch that begins with the row ``first_row`` of the file range."""
    return [
        RejectedRow(
            first_row + row, [error.at(row=first_row + row) for error in bad.errors(row)], origin(first_row + row)
        )
        for row in bad.rows.tolist()
    ]


def origin_of(batch: pa.RecordBatch, row: int) -> Origin:
    """A row of a columnar format as a JSON object, without its nulls.

    What JSON can't express, which may be the reason of the rejection, is text: NaN, infinity, bytes that are no
    UTF-8.
    """
    one = batch.slice(row, 1)
    if one.nbytes > MAX_TEXT_BYTES:
        return Origin(None)
    columns = {column.name: (array, column) for column, array in zip(one.schema, one.columns, strict=True)}
    try:
        text: str = object_texts(columns, 1, lambda *_: None)[0].as_py()
    except DataError:
        text = orjson.dumps(
            {name: _plain(array) for name, (array, _) in columns.items() if array.null_count == 0}
        ).decode()
    return text_origin(text)


def text_origin(text: str, offset: int | None = None) -> Origin:
    """The origin for the text of a row, unless that is too long to be kept."""
    return Origin(text if len(text) <= MAX_TEXT_BYTES else None, offset)


def _plain(array: Any) -> Any:
    """One value in JSON's types; where it has none, as Arrow prints it."""
    try:
        value = _finite(array[0].as_py())
        orjson.dumps(value)
    except (TypeError, ValueError, OverflowError, NotImplementedError, RecursionError, pa.ArrowException):
        return array.to_string(indent=0, skip_new_lines=True)
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_finite(element) for element in value]
    if isinstance(value, dict):
        return {str(key): _finite(element) for key, element in value.items()}
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")
    return value
