"""Parquet, with the column types that every Milvus release since 2.4 reads.

Vectors are plain lists, never fixed-size ones; half floats are their little-endian bytes; JSON and sparse vectors are
JSON text. Nulls are nulls in all of them.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from penstock.bulk_writer.columns import file_bytes, sparse_texts, valid_mask, vector_matrix
from penstock.bulk_writer.formats.background_encoder import BackgroundEncoder
from penstock.bulk_writer.formats.base import Layout, PartFile
from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import DataType, Field
from penstock.validation.arrow_lists import offsets_of
from penstock.validation.errors import Array

__all__ = ["GROUP_BYTES", "ParquetChunk", "parquet_column", "parquet_schema"]

GROUP_BYTES = 20 << 20
"""A row group's size in memory. Two are there at a time, one that fills and one that is written."""
_LEAST_GROUP_BYTES = 4 << 20
"""Of a small chunk a group is a quarter, and no less than this, which still makes for long reads."""

_GROUP_ROWS = (1_000, 1_000_000)

_BYTE_VECTORS = (DataType.BINARY_VECTOR, DataType.FLOAT16_VECTOR, DataType.BFLOAT16_VECTOR)


def parquet_schema(layout: Layout) -> pa.Schema:
    """The Arrow schema of the file: the types of pymilvus's files, where all columns and elements are optional.

    Vectors say here that they hold no nulls, which takes a fifth of the work out of writing them. Milvus does not
    ask: 2.3.5 has imported such files, and later releases compare types only.
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
    """A canonical column in the type of :func:`parquet_schema`; float, int8 and binary vectors are not copied."""
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return sparse_texts(column)
    if field.type.is_dense_vector:
        return _vector_lists(column, field)
    if field.type is DataType.ARRAY_OF_STRUCT:
        return _struct_lists(column, field)
    return column


def _struct_lists(column: Array, field: Field) -> Array:
    structs = column.flatten()
    kind: Any = _file_type(field)
    parts = [parquet_column(inner, part) for inner, part in zip(structs.flatten(), field.fields, strict=True)]
    made = pa.StructArray.from_arrays(parts, fields=list(kind.value_type))
    valid = valid_mask(column)
    mask: Any = None if valid is None else pa.array(~valid)
    lengths = pc.list_value_length(column).fill_null(0).to_numpy()
    return pa.ListArray.from_arrays(offsets_of(lengths), made, type=kind, mask=mask)


def _vector_lists(column: Array, field: Field) -> Array:
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
    """One ``<n>.parquet``. Row groups are encoded and written as they fill up, one behind the one that fills."""

    def __init__(self, layout: Layout, folder: Path, number: int) -> None:
        self._columns = layout.columns
        self._schema = parquet_schema(layout)
        self._file = PartFile(folder / f"{number}.parquet")
        vectors = {column.name for column in layout.columns if column.type.is_dense_vector}
        # Vectors neither repeat nor compress, and nobody asks for their least value: dictionaries, codecs and
        # statistics cost two thirds of the writing time there.
        plain = [column.name for column in layout.columns if column.name not in vectors]
        # Given a path, Arrow writes by itself: a Python stream would have to be called for every page.
        self._writer: pq.ParquetWriter | None = pq.ParquetWriter(
            str(self._file.temporary),
            self._schema,
            use_dictionary=False,
            write_statistics=plain or False,
            compression={column.name: _codec(column) for column in layout.columns},
        )
        self._group_bytes = max(_LEAST_GROUP_BYTES, min(GROUP_BYTES, layout.chunk_bytes // 4))
        self._behind = BackgroundEncoder(self._group_bytes)
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        self._pending_rows = 0
        self._settled = 0
        self._is_lent = False

    def add(self, batch: pa.RecordBatch) -> None:
        columns = [parquet_column(column, field) for column, field in zip(batch.columns, self._columns, strict=True)]
        encoded = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        self._pending.append(encoded)
        self._pending_bytes += encoded.nbytes
        self._pending_rows += len(encoded)
        if self._pending_bytes >= self._group_bytes and self._pending_rows >= _GROUP_ROWS[0]:
            self._end_group()

    def detach_buffers(self) -> None:
        self._pending[self._settled :] = [_owned(each) for each in self._pending[self._settled :]]
        self._settled = len(self._pending)
        if self._is_lent:
            self._behind.wait()
            self._is_lent = False

    def finish(self) -> list[Path]:
        self._end_group()
        self._behind.wait()
        self._behind.close()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        return [self._file.finish()]

    def discard(self) -> None:
        self._pending = []
        self._behind.close()
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(OSError, ValueError, pa.ArrowException):  # nobody misses the footer
                writer.close()
        self._file.discard()

    def _end_group(self) -> None:
        if self._pending:
            group = pa.Table.from_batches(self._pending, self._schema)
            self._behind.run(self._pending_bytes, self._write_group, group)
            self._is_lent = self._is_lent or self._settled < len(self._pending)
            self._pending, self._pending_bytes, self._pending_rows, self._settled = [], 0, 0, 0

    def _write_group(self, group: pa.Table) -> None:
        if self._writer is not None:
            self._writer.write_table(group, row_group_size=min(len(group), _GROUP_ROWS[1]))
            self._file.start_write_back()


def _codec(field: Field) -> Literal["snappy", "none"]:
    return "snappy" if field.type in (DataType.VARCHAR, DataType.JSON, DataType.SPARSE_FLOAT_VECTOR) else "none"


def _owned(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A copy that shares no memory with anything."""
    return pa.ipc.read_record_batch(batch.serialize(), batch.schema)
