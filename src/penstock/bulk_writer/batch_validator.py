"""Batches from callers, checked and brought to the columns of a writer's files."""

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
from penstock.bulk_writer.formats.base import META
from penstock.bulk_writer.row_size import row_sizes
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType
from penstock.errors import DataError
from penstock.readers.base import RowBatch
from penstock.readers.dynamic_columns import DynamicColumns
from penstock.validation.conform import Conformer

__all__ = ["BatchChecker", "SizedBatch"]

_KEPT_BYTES = 16 << 20
"""Memory for converted columns of a batch in memory; columns that need no conversion take none."""

_HALF = (DataType.FLOAT16_VECTOR, DataType.BFLOAT16_VECTOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedBatch:
    """A canonical batch and what each of its rows counts for a chunk's size, in bytes.

    ``own_bytes`` is the memory that the batch does not share with what it was made from.
    """

    batch: pa.RecordBatch
    sizes: npt.NDArray[np.int64]
    own_bytes: int


class BatchChecker:
    """Turns batches into canonical ones without loops over rows, or refuses them with row and field.

    Args:
        schema: the fields that files carry.
        refused: fields that must not be given, and why.
        limits: what the file format can't hold.
    """

    def __init__(self, schema: CollectionSchema, refused: Mapping[str, str], limits: Limits | None) -> None:
        self._schema = schema
        self._columns = (*schema.fields, META) if schema.dynamic else schema.fields
        self._refused = refused
        self._limits = limits
        self._conformer = Conformer(schema, [0])
        self._dynamic = DynamicColumns(schema, sys.maxsize)

    def checked(self, batches: Batches) -> Iterator[SizedBatch]:
        """Canonical batches of the writer's columns. Rows in errors count from the start of ``batches``.

        What is in memory is looked through before the first batch comes out, so that a bad row refuses the whole of
        it. What needs conversion is then converted a second time, if it is large, instead of being kept twice.
        """
        if batches.whole is None:
            yield from self._stream(batches)
            return
        kept: list[SizedBatch] | None = []
        before = self._limits.state() if self._limits else None
        try:
            size = 0
            for each in self._stream(batches):
                size += each.own_bytes
                kept = None if kept is None or size > _KEPT_BYTES else [*kept, each]
        except DataError:
            if self._limits:
                self._limits.restore(before)
            raise
        yield from self._stream(batches) if kept is None else kept

    def _wide_fields(self, batch_schema: pa.Schema) -> frozenset[str]:
        """Half-float fields whose columns come as wider floats; pymilvus counts those twice as large."""
        kinds = {field.name: field.type for field in batch_schema}
        for struct in self._schema:
            structs = getattr(kinds.get(struct.name), "value_type", None)
            if struct.fields and structs is not None and pt.is_struct(structs):
                kinds.update({f"{struct.name}[{each.name}]": each.type for each in structs})
        fields = [part for field in self._schema for part in (field, *field.parts)]
        return frozenset(
            field.name
            for field in fields
            if field.type in _HALF and field.name in kinds and _is_wide(kinds[field.name])
        )

    def _stream(self, batches: Batches) -> Iterator[SizedBatch]:
        first = 0
        for batch in batches:
            made = self._canonical(batch, first)
            sizes = row_sizes(made, self._columns, self._wide_fields(batch.schema))
            yield SizedBatch(batch=made, sizes=sizes, own_bytes=sizes.nbytes + _own_bytes(made, batch))
            first += len(batch)

    def _canonical(self, batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
        try:
            given = self._with_meta(batch)
        except DataError as error:
            raise error if error.row is None else error.at(row=first + error.row) from None
        made = self._conformer.conform(RowBatch(batch=given, first_row=first, bytes_read=0))
        made = made.select(made.schema.names[:-1])  # without the partition column
        if self._limits is not None:
            try:
                self._limits.check_batch(made)
            except DataError as error:
                raise error.at(row=first + (error.row or 0)) from None
        return made

    def _with_meta(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Columns that the schema doesn't know, moved into the dynamic field or refused."""
        known = {*self._schema.names, META_FIELD}
        unknown = [name for name in batch.schema.names if name not in known]
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


def _own_bytes(made: pa.RecordBatch, given: pa.RecordBatch) -> int:
    lent = [(buffer.address, buffer.address + buffer.size) for buffer in _buffers(given)]
    return sum(
        buffer.size for buffer in _buffers(made) if not any(start <= buffer.address < end for start, end in lent)
    )


def _buffers(batch: pa.RecordBatch) -> Iterator[pa.Buffer]:
    return (buffer for column in batch.columns for buffer in column.buffers() if buffer is not None)


def _is_wide(kind: Any) -> bool:
    return (pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind)) and (
        pt.is_float32(kind.value_type) or pt.is_float64(kind.value_type)
    )
