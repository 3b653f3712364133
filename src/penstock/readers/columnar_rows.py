"""Rows of a columnar format as their reader has read them, and as JSON texts, which are made when asked for.

Rejected rows are kept as Arrow: their texts took a fifth of the processor time of an import with 1 % of bad rows
(vectors of 768 dimensions), and most of them are never looked at.
"""

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
from penstock.readers.shared_values import decoded_bytes
from penstock.rules.rule import Array

MAX_ROW_BYTES = 1 << 20
"""Maximum bytes of a rejected row that are kept: a longer one can be read in the file only."""

_CHUNK = 64
"""Rows whose texts are made at a time: one by one takes several times as long."""


class ColumnarRows:
    """Some rows of a batch, by place. Not thread-safe."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch
        self._start = 0
        self._texts: Sequence[str] = ()

    def text(self, place: int) -> str:
        """A row as a JSON object, without its nulls.

        What JSON can't express, which may be the reason of the rejection, is text: NaN, infinity, bytes that are no
        UTF-8.
        """
        if not self._start <= place < self._start + len(self._texts):
            self._start = place - place % _CHUNK
            self._texts = _row_texts(self.batch.slice(self._start, _CHUNK))
        return self._texts[place - self._start]

    def sizes(self) -> Sequence[int]:
        """The bytes of each row; of rows that are small together all have the mean."""
        size, count = decoded_bytes(self.batch), len(self.batch)
        if size <= MAX_ROW_BYTES:  # counting the bytes of a row takes 10 us
            return [-(-size // max(count, 1))] * count
        return [decoded_bytes(self.batch.slice(place, 1)) for place in range(count)]

    def column_texts(self, name: str) -> Sequence[str | None]:
        """The values of a column as JSON texts; None for null, and where there is no such column."""
        if self.batch.schema.names.count(name) != 1:
            return [None] * len(self.batch)
        return _texts(self.batch.column(name), self.batch.schema.field(name))

    def to_bytes(self, rows: int) -> bytes:
        """Serialize the first ``rows`` of them, for :meth:`from_bytes`."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.batch.schema) as writer:
            writer.write_batch(self.batch.slice(0, rows))
        return sink.getvalue().to_pybytes()

    @classmethod
    def from_bytes(cls, content: bytes) -> ColumnarRows:
        with pa.ipc.open_stream(content) as reader:
            return cls(reader.read_next_batch())


def _row_texts(batch: pa.RecordBatch) -> Sequence[str]:
    columns = [
        (orjson.dumps(column.name).decode(), _texts(array, column))
        for column, array in zip(batch.schema, batch.columns, strict=True)
    ]
    return [
        f"{{{','.join(f'{name}:{texts[row]}' for name, texts in columns if texts[row] is not None)}}}"
        for row in range(len(batch))
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
