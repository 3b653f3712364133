"""CSV: a header, then one line per row; vectors, arrays, JSON and sparse vectors are JSON text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from penstock.bulk_writer.columns import json_values, sparse_texts
from penstock.bulk_writer.formats.base import Layout, PartFile
from penstock.domain.schema import DataType, Field
from penstock.validation.problems import Array

__all__ = ["CsvChunk"]

_TEXT_BYTES = 4 << 20


class CsvChunk:
    """One ``<n>.csv`` in UTF-8; rows go to the disk as they come."""

    def __init__(self, layout: Layout, folder: Path, number: int) -> None:
        self._layout = layout
        self._file = PartFile(folder / f"{number}.csv")
        self._options = pa_csv.WriteOptions(include_header=False, delimiter=layout.separator, quoting_style="needed")
        header = layout.separator.join(each.name for each in layout.columns)
        self._file.stream.write(header.encode() + b"\n")

    def add(self, batch: pa.RecordBatch) -> None:
        step = max(1, len(batch) * _TEXT_BYTES // max(1, batch.nbytes))
        for start in range(0, len(batch), step):
            part = batch.slice(start, step)
            columns = [
                self._cells(column, field) for column, field in zip(part.columns, self._layout.columns, strict=True)
            ]
            cells = pa.RecordBatch.from_arrays(columns, [each.name for each in self._layout.columns])
            pa_csv.write_csv(cells, self._file.stream, self._options)

    def settle(self) -> None:
        """Nothing is kept."""

    def finish(self) -> list[Path]:
        return [self._file.finish()]

    def discard(self) -> None:
        self._file.discard()

    def _cells(self, column: Array, field: Field) -> Array:
        cells = csv_cells(column, field)
        if self._layout.null_key and column.null_count:
            return pc.fill_null(cells.cast(pa.string()), self._layout.null_key)
        return cells


def csv_cells(column: Array, field: Field) -> Array:
    """A column whose values print as the cells of a CSV file; nulls stay nulls."""
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return sparse_texts(column)
    if field.type.is_vector or field.type is DataType.ARRAY:
        return pa.array([_text(value) for value in json_values(column, field)], pa.string())
    return column


def _text(value: Any) -> bytes | None:
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
