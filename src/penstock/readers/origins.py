"""Rows as they are in their file, for reports of rejected rows."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from penstock.errors import DataError
from penstock.readers.arrow_json import json_texts
from penstock.readers.arrow_values import is_list, is_string, plain
from penstock.readers.base import Origin, RejectedRow
from penstock.rules.bad_rows import BadRows, Rows, take_rows
from penstock.rules.rule import Array

MAX_TEXT_BYTES = 1 << 20
"""Maximum bytes of a row that are kept: a longer one can be read in the file only."""


def rejected_rows(bad: BadRows, first_row: int, batch: pa.RecordBatch) -> list[RejectedRow]:
    """The bad rows of a batch of a file's columns that begins with the row ``first_row`` of the file range."""
    if not bad:
        return []
    return [
        RejectedRow(first_row + row, [error.at(row=first_row + row) for error in bad.errors(row)], origin)
        for row, origin in zip(bad.rows.tolist(), origins_of(batch, bad.rows), strict=True)
    ]


def origins_of(batch: pa.RecordBatch, rows: Rows) -> Sequence[Origin]:
    """Rows of a columnar format as JSON objects, without their nulls.

    What JSON can't express, which may be the reason of the rejection, is text: NaN, infinity, bytes that are no
    UTF-8.
    """
    taken = take_rows(batch, rows)
    columns = [
        (orjson.dumps(column.name).decode(), _texts(array, column))
        for column, array in zip(taken.schema, taken.columns, strict=True)
    ]
    return [
        text_origin(f"{{{','.join(f'{name}:{texts[row]}' for name, texts in columns if texts[row] is not None)}}}")
        for row in range(len(rows))
    ]


def _texts(array: Array, column: pa.Field[Any]) -> Sequence[str | None]:
    """The values of a column as JSON texts; None for null."""
    try:
        values = plain(array, column)
    except DataError:  # an extension type that is unknown
        return [_text(array.slice(row, 1)) for row in range(len(array))]
    if is_list(values.type) and pt.is_floating(values.type.value_type) and not values.null_count:
        numbers = values.flatten()
        if not numbers.null_count:
            ends = np.cumsum(pc.list_value_length(values).to_numpy(zero_copy_only=False))
            return [_numbers_text(vector) for vector in np.split(numbers.to_numpy(), ends[:-1])]
    try:
        if is_string(values.type) or pt.is_integer(values.type):  # a tenth of the time of json_texts for a few rows
            scalars = values.to_pylist()
            return [None if scalar is None else orjson.dumps(scalar).decode() for scalar in scalars]
        texts: Sequence[str | None] = json_texts(array, column, lambda *_: None).to_pylist()
    except (DataError, UnicodeDecodeError):
        return [_text(array.slice(row, 1)) for row in range(len(array))]
    return texts


def _numbers_text(numbers: npt.NDArray[Any]) -> str:
    """A list of numbers with the fewest digits that give them back; those that are none as text."""
    if numbers.dtype == np.float16:
        numbers = numbers.astype(np.float32)
    text = orjson.dumps(np.ascontiguousarray(numbers), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    if np.isfinite(numbers).all():
        return text
    words = iter(numbers[~np.isfinite(numbers)].tolist())
    return re.sub("null", lambda _: f'"{next(words)}"', text)


def text_origin(text: str, offset: int | None = None) -> Origin:
    """The origin for the text of a row, unless that is too long to be kept."""
    return Origin(text if len(text) <= MAX_TEXT_BYTES else None, offset)


def _text(array: Array) -> str | None:
    """One value as JSON text; where it has none, as Arrow prints it."""
    if array.null_count:
        return None
    try:
        return orjson.dumps(_finite(array[0].as_py())).decode()
    except (TypeError, ValueError, OverflowError, NotImplementedError, RecursionError, pa.ArrowException):
        return orjson.dumps(array.to_string(indent=0, skip_new_lines=True)).decode()


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
