"""CSV: a header, then one line per row; vectors, arrays, JSON and sparse vectors are JSON text.

Text is always quoted and nulls never are: readers that look at quotes can tell text that equals the null key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from penstock.bulk_writer.columns import json_values, sparse_texts
from penstock.bulk_writer.formats.base import Layout, PartFile
from penstock.domain.schema import DataType, Field
from penstock.validation.errors import Array

__all__ = ["CsvChunk"]

_TEXT_BYTES = 1 << 20
"""Arrow bytes that are turned into text at once; on the way there are four copies of three times as much."""

_NUMBERS = frozenset(data_type for data_type in DataType if data_type.is_dense_vector)
"""What has no quotes in its JSON text."""


class CsvChunk:
    """One ``<n>.csv`` in UTF-8; rows go to the disk as they come."""

    def __init__(self, layout: Layout, folder: Path, number: int) -> None:
        self._layout = layout
        self._file = PartFile(folder / f"{number}.csv")
        header = layout.separator.join(column.name for column in layout.columns)
        self._file.write(header.encode() + b"\n")

    def add(self, batch: pa.RecordBatch) -> None:
        step = max(1, len(batch) * _TEXT_BYTES // max(1, batch.nbytes))
        for start in range(0, len(batch), step):
            self._write(batch.slice(start, step))

    def detach_buffers(self) -> None:
        """Nothing is kept."""

    def finish(self) -> list[Path]:
        return [self._file.finish()]

    def discard(self) -> None:
        self._file.discard()

    def _write(self, batch: pa.RecordBatch) -> None:
        cells: list[Any] = [
            csv_cells(column, field) for column, field in zip(batch.columns, self._layout.columns, strict=True)
        ]
        lines: Array = pc.binary_join_element_wise(
            *cells, self._layout.separator, null_handling="replace", null_replacement=self._layout.null_key
        )
        ended: Array = pc.binary_join_element_wise(lines, "\n", "")
        # The texts of a new Arrow array lie one after another: its buffer is what the file needs.
        self._file.write(ended.buffers()[2])


def csv_cells(column: Array, field: Field) -> Array:
    """The text of each cell; nulls stay nulls."""
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return _quoted(sparse_texts(column))
    if field.type.is_vector or field.type in (DataType.ARRAY, DataType.ARRAY_OF_STRUCT):
        texts: Array = pa.array([_text(value) for value in json_values(column, field)], pa.string())
        return _between_quotes(texts) if field.type in _NUMBERS else _quoted(texts)
    text: Array = column.cast(pa.string())
    return _quoted(text) if field.type in (DataType.VARCHAR, DataType.JSON) else text


def _quoted(texts: Array) -> Array:
    return _between_quotes(pc.replace_substring(texts, '"', '""'))


def _between_quotes(texts: Array) -> Array:
    quoted: Array = pc.binary_join_element_wise('"', texts, '"', "")
    return quoted


def _text(value: Any) -> bytes | None:
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
