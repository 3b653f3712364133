"""The Parquet format, with the column types that every Milvus release since 2.4 reads.

Vectors are plain lists, never fixed-size ones; half floats are their little-endian bytes; JSON and sparse vectors are
JSON text. Nulls are Parquet nulls in all of them.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import DataType, Field
from penstock.rules.rule import Array
from penstock.validation.arrow_lists import offsets_of
from penstock.writers.background_encoder import BackgroundEncoder
from penstock.writers.base import Layout, PartFile
from penstock.writers.columns import file_bytes, sparse_texts, valid_mask, vector_matrix
from penstock.writers.file_schema import TEXT_TYPES

__all__ = ["GROUP_BYTES", "ParquetChunk", "parquet_column", "parquet_schema"]

GROUP_BYTES = 20 << 20
"""A row group's size in memory. Two are in memory at a time: one being filled and one being written."""
_MIN_GROUP_BYTES = 4 << 20
"""Minimum row group of a small chunk, else a quarter of the chunk; large enough for long sequential reads."""

_GROUP_ROWS = (1_000, 1_000_000)

_BYTE_VECTORS = (DataType.BINARY_VECTOR, DataType.FLOAT16_VECTOR, DataType.BFLOAT16_VECTOR)


def parquet_schema(layout: Layout) -> pa.Schema:
    """The Arrow schema of the file: the types of pymilvus's files, where all columns and elements are optional.

    Vectors are declared non-null here, which saves a fifth of the work of writing them. Milvus does not check it:
    2.3.5 has imported such files, and later releases compare types only.
    """
    return pa.schema(
        [
            pa.field(column.name, _file_type(column), nullable=column.nullable or not column.type.is_dense_vector)
            for column in layout.columns
        ]
    )


def _file_type(field: Field) -> pa.DataType:
    if field.type is DataType.ARRAY_OF_STRUCT:
        return pa.list_(pa.struct([(subfield.name, _file_type(subfield)) for subfield in field.fields]))
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return pa.string()
    if field.type in _BYTE_VECTORS:
        return _list_of(pa.uint8())
    if field.type.is_vector:
        kind: Any = canonical_type(field)
        return _list_of(kind.value_type)
    return canonical_type(field)


def _list_of(kind: Any) -> pa.DataType:
    return pa.list_(pa.field("element", kind, nullable=False))


def parquet_column(column: Array, field: Field) -> Array:
    """Convert a canonical column to its type in the file; float, int8 and binary vectors are not copied."""
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return sparse_texts(column)
    if field.type.is_dense_vector:
        return _vectors_to_lists(column, field)
    if field.type is DataType.ARRAY_OF_STRUCT:
        return _structs_to_lists(column, field)
    return column


def _structs_to_lists(column: Array, field: Field) -> Array:
    structs = column.flatten()
    kind: Any = _file_type(field)
    children = [
        parquet_column(child, subfield) for child, subfield in zip(structs.flatten(), field.fields, strict=True)
    ]
    elements = pa.StructArray.from_arrays(children, fields=list(kind.value_type))
    valid = valid_mask(column)
    mask: Any = None if valid is None else pa.array(~valid)
    lengths = pc.list_value_length(column).fill_null(0).to_numpy()
    return pa.ListArray.from_arrays(offsets_of(lengths), elements, type=kind, mask=mask)


def _vectors_to_lists(column: Array, field: Field) -> Array:
    matrix = file_bytes(vector_matrix(column, field), field)
    valid = valid_mask(column)
    lengths = np.full(len(column), matrix.shape[1], np.int32)
    mask: Any = None
    if valid is not None:
        matrix, lengths, mask = matrix[valid], lengths * valid, pa.array(~valid)
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    kind: Any = _file_type(field)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(matrix.reshape(-1)), type=kind, mask=mask)


class ParquetChunk:
    """One ``<n>.parquet``. A full row group is encoded and written in the background while the next one fills."""

    def __init__(self, layout: Layout, folder: Path, name: str) -> None:
        self._columns = layout.columns
        self._schema = parquet_schema(layout)
        self._file = PartFile(folder / f"{name}.parquet")
        vectors = {column.name for column in layout.columns if column.type.is_dense_vector}
        # Vectors neither repeat nor compress, and their minimum is never queried: dictionaries, codecs and statistics
        # cost two thirds of the writing time there.
        with_statistics = [column.name for column in layout.columns if column.name not in vectors]
        # With a path, Arrow writes natively: a Python stream would be called for every page.
        self._writer: pq.ParquetWriter | None = pq.ParquetWriter(
            str(self._file.temporary),
            self._schema,
            use_dictionary=False,
            write_statistics=with_statistics or False,
            compression={column.name: _codec(column) for column in layout.columns},
        )
        self._group_bytes = max(_MIN_GROUP_BYTES, min(GROUP_BYTES, layout.chunk_bytes // 4))
        self._background = BackgroundEncoder(self._group_bytes)
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        self._pending_rows = 0
        self._detached = 0
        self._has_borrowed_buffers = False

    def add(self, batch: pa.RecordBatch) -> None:
        columns = [parquet_column(column, field) for column, field in zip(batch.columns, self._columns, strict=True)]
        encoded = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        self._pending.append(encoded)
        self._pending_bytes += encoded.nbytes
        self._pending_rows += len(encoded)
        if self._pending_bytes >= self._group_bytes and self._pending_rows >= _GROUP_ROWS[0]:
            self._end_group()

    def detach_buffers(self) -> None:
        self._pending[self._detached :] = [_copy(batch) for batch in self._pending[self._detached :]]
        self._detached = len(self._pending)
        if self._has_borrowed_buffers:
            self._background.wait()
            self._has_borrowed_buffers = False

    def finish(self) -> list[Path]:
        self._end_group()
        self._background.wait()
        self._background.close()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        return [self._file.finish()]

    def discard(self) -> None:
        self._pending = []
        self._background.close()
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(OSError, ValueError, pa.ArrowException):  # the footer is not needed
                writer.close()
        self._file.discard()

    def _end_group(self) -> None:
        if self._pending:
            group = pa.Table.from_batches(self._pending, self._schema)
            self._background.run(self._pending_bytes, self._write_group, group)
            self._has_borrowed_buffers = self._has_borrowed_buffers or self._detached < len(self._pending)
            self._pending, self._pending_bytes, self._pending_rows, self._detached = [], 0, 0, 0

    def _write_group(self, group: pa.Table) -> None:
        if self._writer is not None:
            self._writer.write_table(group, row_group_size=min(len(group), _GROUP_ROWS[1]))
            self._file.start_write_back()


def _codec(field: Field) -> Literal["snappy", "none"]:
    return "snappy" if field.type in (*TEXT_TYPES, DataType.SPARSE_FLOAT_VECTOR) else "none"


def _copy(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Deep-copy a batch."""
    return pa.ipc.read_record_batch(batch.serialize(), batch.schema)
