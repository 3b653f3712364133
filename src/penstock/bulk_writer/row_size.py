"""Count the bytes of rows for the chunk size, as pymilvus does.

Scalars by their width, text by its characters, JSON by the length of its text, half floats by 2 bytes per dimension
(4 if the input has wider floats), sparse vectors by 12 bytes per pair. Null values and the dynamic field count
nothing.
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.schema import META_FIELD, DataType, Field
from penstock.rules.rule import Array
from penstock.writers.file_schema import TEXT_TYPES

__all__ = ["SCALAR_BYTES", "SPARSE_PAIR_BYTES", "row_sizes"]

_HALF = (DataType.FLOAT16_VECTOR, DataType.BFLOAT16_VECTOR)
SCALAR_BYTES = {
    DataType.BOOL: 1,
    DataType.INT8: 1,
    DataType.INT16: 2,
    DataType.INT32: 4,
    DataType.INT64: 8,
    DataType.FLOAT: 4,
    DataType.DOUBLE: 8,
}
SPARSE_PAIR_BYTES = 12


def row_sizes(batch: pa.RecordBatch, columns: tuple[Field, ...], wide: Set[str]) -> npt.NDArray[np.int64]:
    """Bytes per row of a canonical batch. ``wide`` names half-float vectors that were wider floats in the input."""
    total = np.zeros(len(batch), np.int64)
    for column, field in zip(batch.columns, columns, strict=True):
        if field.name != META_FIELD:
            total += _sizes(column, field, wide)
    return total


def _sizes(column: Array, field: Field, wide: Set[str]) -> npt.NDArray[np.int64] | int:
    if field.type in TEXT_TYPES:
        return _zero_for_null(pc.utf8_length(column))
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        indices = column.flatten()[0]
        return _zero_for_null(pc.list_value_length(indices)) * SPARSE_PAIR_BYTES
    if field.type is DataType.ARRAY:
        return _array_sizes(column, field)
    if field.type is DataType.ARRAY_OF_STRUCT:
        return _struct_sizes(column, field, wide)
    if field.type in _HALF:
        width = (field.dim or 0) * (4 if field.name in wide else 2)
    elif field.type.is_vector:
        width = field.width * (4 if field.type is DataType.FLOAT_VECTOR else 1)
    else:
        width = SCALAR_BYTES[field.type]
    return (
        width if not column.null_count else column.is_valid().to_numpy(zero_copy_only=False).astype(np.int64) * width
    )


def _array_sizes(column: Array, field: Field) -> npt.NDArray[np.int64]:
    lengths = _zero_for_null(pc.list_value_length(column))
    if field.element_type is not DataType.VARCHAR:
        assert field.element_type is not None
        return lengths * SCALAR_BYTES[field.element_type]
    return _sum_per_row(_zero_for_null(pc.utf8_length(column.flatten())), lengths)


def _struct_sizes(column: Array, field: Field, wide: Set[str]) -> npt.NDArray[np.int64]:
    structs = column.flatten()
    sizes = np.zeros(len(structs), np.int64)
    for child, part in zip(structs.flatten(), field.parts, strict=True):
        sizes += _sizes(child, part, wide)
    return _sum_per_row(sizes, _zero_for_null(pc.list_value_length(column)))


def _sum_per_row(sizes: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sum the sizes of elements per row; ``lengths`` are the elements of each row."""
    before = np.concatenate([[0], np.cumsum(sizes)])
    ends = np.cumsum(lengths)
    sums: npt.NDArray[np.int64] = before[ends] - before[ends - lengths]
    return sums


def _zero_for_null(lengths: Array) -> npt.NDArray[np.int64]:
    numbers: npt.NDArray[np.int64] = lengths.fill_null(0).to_numpy().astype(np.int64)
    return numbers
