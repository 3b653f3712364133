"""Validate batches and convert them to the columns of a writer's files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pt

from penstock.bulk_writer.arrow_inputs import Batches
from penstock.bulk_writer.format_constraints import Limits
from penstock.bulk_writer.row_size import row_sizes
from penstock.bulk_writer.text_columns import text_column
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType
from penstock.errors import DataError
from penstock.readers.base import RowBatch
from penstock.readers.dynamic_columns import DynamicColumns
from penstock.validation.conform import Conformer
from penstock.writers.base import META
from penstock.writers.file_schema import WRITTEN_AS_TEXT, schema_of_files

__all__ = ["BatchChecker", "SizedBatch"]

_CACHED_BYTES = 16 << 20
"""Maximum memory for converted columns of in-memory data; columns that need no conversion take none."""

_HALF = (DataType.FLOAT16_VECTOR, DataType.BFLOAT16_VECTOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedBatch:
    """A canonical batch and the bytes of each row, counted for the chunk size.

    ``own_bytes`` is the memory that the batch does not share with its input.
    """

    batch: pa.RecordBatch
    sizes: npt.NDArray[np.int64]
    own_bytes: int


class BatchChecker:
    """Convert batches to canonical ones without loops over rows, or reject them with row and field.

    Args:
        schema: the fields of the files.
        refused: error messages by name of the fields that batches must not contain.
        limits: the constraints of the file format.
    """

    def __init__(self, schema: CollectionSchema, refused: Mapping[str, str], limits: Limits | None) -> None:
        self._schema = schema
        in_files = schema_of_files(schema)
        self._columns = (*in_files.fields, META) if schema.dynamic else in_files.fields
        self._parsed = [field for field in schema if field.type in WRITTEN_AS_TEXT]
        self._refused = refused
        self._limits = limits
        self._conformer = Conformer(in_files, [0])
        self._dynamic = DynamicColumns(schema, sys.maxsize)

    def checked(self, batches: Batches) -> Iterator[SizedBatch]:
        """Yield canonical batches of the writer's columns. Rows in errors count from the start of ``batches``.

        In-memory data is checked completely before the first batch is returned, so that a bad row rejects all of it.
        If the converted columns are large, they are then converted a second time instead of being held in memory.
        """
        if batches.whole is None:
            yield from self._stream(batches)
            return
        cached: list[SizedBatch] | None = []
        before = self._limits.state() if self._limits else None
        try:
            size = 0
            for sized in self._stream(batches):
                size += sized.own_bytes
                cached = None if cached is None or size > _CACHED_BYTES else [*cached, sized]
        except DataError:
            if self._limits:
                self._limits.restore(before)
            raise
        yield from self._stream(batches) if cached is None else cached

    def _wide_fields(self, batch_schema: pa.Schema) -> frozenset[str]:
        """Half-float fields whose columns have wider floats; pymilvus counts those at twice the size."""
        kinds = {field.name: field.type for field in batch_schema}
        for struct in self._schema:
            structs = getattr(kinds.get(struct.name), "value_type", None)
            if struct.fields and structs is not None and pt.is_struct(structs):
                kinds.update({f"{struct.name}[{member.name}]": member.type for member in structs})
        fields = [part for field in self._schema for part in (field, *field.parts)]
        return frozenset(
            field.name
            for field in fields
            if field.type in _HALF and field.name in kinds and _is_wide(kinds[field.name])
        )

    def _stream(self, batches: Batches) -> Iterator[SizedBatch]:
        first = 0
        for batch in batches:
            canonical = self._canonical(batch, first)
            sizes = row_sizes(canonical, self._columns, self._wide_fields(batch.schema))
            yield SizedBatch(batch=canonical, sizes=sizes, own_bytes=sizes.nbytes + _own_bytes(canonical, batch))
            first += len(batch)

    def _canonical(self, batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
        try:
            with_meta = self._with_texts(self._with_meta(batch))
        except DataError as error:
            raise error if error.row is None else error.at(row=first + error.row) from None
        canonical = self._conformer.conform(RowBatch(batch=with_meta, first_row=first, bytes_read=0))
        canonical = canonical.select(canonical.schema.names[:-1])  # without the partition column
        if self._limits is not None:
            try:
                self._limits.check_batch(canonical)
            except DataError as error:
                raise error.at(row=first + (error.row or 0)) from None
        return canonical

    def _with_texts(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Convert times and geometries to the text of files."""
        for field in self._parsed:
            if field.name in batch.schema.names:
                at = batch.schema.get_field_index(field.name)
                batch = batch.set_column(at, field.name, text_column(batch.column(at), field))
        return batch

    def _with_meta(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Move columns that the schema doesn't name into the dynamic field, or reject them."""
        names = {*self._schema.names, META_FIELD}
        unknown = [name for name in batch.schema.names if name not in names]
        if META_FIELD in batch.schema.names and not self._schema.dynamic:
            unknown.append(META_FIELD)
        if not unknown:
            return batch
        for name in unknown:
            if name in self._refused:
                raise DataError(self._refused[name], field=name, remedy="Leave the column out.")
        if not self._schema.dynamic:
            raise DataError(
                f"the field '{unknown[0]}' is not defined in schema",
                field=unknown[0],
                remedy="Remove the column, or use a collection with a dynamic field, which keeps such values.",
            )
        [folded] = self._dynamic.batches(batch)
        return folded


def _own_bytes(batch: pa.RecordBatch, source: pa.RecordBatch) -> int:
    """Bytes of ``batch`` that lie in no buffer of ``source``."""
    shared = [(buffer.address, buffer.address + buffer.size) for buffer in _buffers(source)]
    return sum(
        buffer.size for buffer in _buffers(batch) if not any(start <= buffer.address < end for start, end in shared)
    )


def _buffers(batch: pa.RecordBatch) -> Iterator[pa.Buffer]:
    return (buffer for column in batch.columns for buffer in column.buffers() if buffer is not None)


def _is_wide(kind: Any) -> bool:
    return (pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind)) and (
        pt.is_float32(kind.value_type) or pt.is_float64(kind.value_type)
    )
