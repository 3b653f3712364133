"""The CSV format: a header, then one line per row; vectors, arrays, JSON and sparse vectors are JSON text.

Text is always quoted and nulls never are, so readers that check quotes can distinguish text that equals the null key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.schema import DataType, Field
from penstock.rules.rule import Array
from penstock.writers.base import Layout, PartFile, text_slices
from penstock.writers.columns import json_values, sparse_texts
from penstock.writers.file_schema import TEXT_TYPES

__all__ = ["CsvChunk"]

_NUMBERS = frozenset(data_type for data_type in DataType if data_type.is_dense_vector)
"""Types whose JSON text has no quotes."""
_IN_NUMBERS = frozenset("+-.0123456789aeflrstu")
"""Characters of numbers, of ``true`` and of ``false``."""


class CsvChunk:
    """One ``<n>.csv`` in UTF-8, streamed to disk."""

    def __init__(self, layout: Layout, folder: Path, name: str) -> None:
        self._layout = layout
        self._file = PartFile(folder / f"{name}.csv")
        names = [column.name for column in layout.columns]
        if any(layout.separator in name for name in names):
            names = [f'"{name}"' for name in names]
        self._file.write(layout.separator.join(names).encode() + b"\n")
        self._quotes_numbers = layout.separator in _IN_NUMBERS

    def add(self, batch: pa.RecordBatch) -> None:
        for part in text_slices(batch):
            self._write(part)

    def detach_buffers(self) -> None:
        """No Arrow buffers are kept."""

    def finish(self) -> list[Path]:
        return [self._file.finish()]

    def discard(self) -> None:
        self._file.discard()

    def _write(self, batch: pa.RecordBatch) -> None:
        cells: list[Any] = [
            self._cells(column, field) for column, field in zip(batch.columns, self._layout.columns, strict=True)
        ]
        lines: Array = pc.binary_join_element_wise(
            *cells, self._layout.separator, null_handling="replace", null_replacement=self._layout.null_key
        )
        ended: Array = pc.binary_join_element_wise(lines, "\n", "")
        # The texts of a new Arrow array are contiguous: its data buffer is the file's content.
        self._file.write(ended.buffers()[2])

    def _cells(self, column: Array, field: Field) -> Array:
        cells = csv_cells(column, field)
        return _quote(cells) if self._quotes_numbers and _is_plain(field) else cells


def _is_plain(field: Field) -> bool:
    """Whether the cells of a field have no quotes of their own."""
    return field.type.is_number or field.type is DataType.BOOL


def csv_cells(column: Array, field: Field) -> Array:
    """Serialize a column as cells of text; nulls stay nulls."""
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return _escape_and_quote(sparse_texts(column))
    if field.type.is_vector or field.type in (DataType.ARRAY, DataType.ARRAY_OF_STRUCT):
        texts: Array = pa.array([_text(value) for value in json_values(column, field)], pa.string())
        return _quote(texts) if field.type in _NUMBERS else _escape_and_quote(texts)
    text: Array = column.cast(pa.string())
    return _escape_and_quote(text) if field.type in TEXT_TYPES else text


def _escape_and_quote(texts: Array) -> Array:
    return _quote(pc.replace_substring(texts, '"', '""'))


def _quote(texts: Array) -> Array:
    quoted: Array = pc.binary_join_element_wise('"', texts, '"', "")
    return quoted


def _text(value: Any) -> bytes | None:
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
