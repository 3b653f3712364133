"""Convert canonical columns to NumPy arrays and JSON text, from which the file formats are written."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.schema import DataType, Field
from penstock.rules.rule import Array

__all__ = ["NATIVE_VALUES", "file_bytes", "json_values", "sparse_texts", "valid_mask", "vector_matrix"]

NATIVE_VALUES: dict[DataType, type[np.generic]] = {
    DataType.FLOAT_VECTOR: np.float32,
    DataType.FLOAT16_VECTOR: np.float16,
    DataType.BFLOAT16_VECTOR: np.float32,
    DataType.INT8_VECTOR: np.int8,
    DataType.BINARY_VECTOR: np.uint8,
}
"""NumPy types of the values of a canonical vector column."""


def valid_mask(column: Array) -> npt.NDArray[np.bool_] | None:
    """The validity mask: True where a row has a value; None if all rows have one."""
    if column.null_count == 0:
        return None
    return cast("npt.NDArray[np.bool_]", column.is_valid().to_numpy(zero_copy_only=False))


def vector_matrix(column: Array, field: Field) -> npt.NDArray[Any]:
    """View a canonical vector column of n rows as an (n, width) array (zero-copy); null rows are undefined."""
    width = field.width
    values = column.values.slice(column.offset * width, len(column) * width)
    matrix: npt.NDArray[Any] = np.frombuffer(
        values.buffers()[1] or b"",
        dtype=NATIVE_VALUES[field.type],
        count=len(values),
        offset=values.offset * np.dtype(NATIVE_VALUES[field.type]).itemsize,
    )
    return matrix.reshape(len(column), width)


def file_bytes(matrix: npt.NDArray[Any], field: Field) -> npt.NDArray[Any]:
    """Convert to the (n, ...) array of Milvus's binary formats: half floats become 2 * dim little-endian bytes."""
    if field.type is DataType.FLOAT16_VECTOR:
        return np.ascontiguousarray(matrix).view(np.uint8)
    if field.type is DataType.BFLOAT16_VECTOR:
        # Canonical values are exact in bfloat16: it is the upper half of the float32.
        high = (np.ascontiguousarray(matrix).view(np.uint32) >> 16).astype("<u2")
        return high.view(np.uint8)
    return matrix


def sparse_texts(column: Array) -> Array:
    """Serialize sparse vectors as JSON text, ``{"3":0.5,"7":1}``; nulls stay nulls."""
    indices, values = column.flatten()
    flat_indices: Array = indices.flatten().cast(pa.string())
    flat_values: Array = values.flatten().cast(pa.string())
    pairs: Array = pc.binary_join_element_wise('"', flat_indices, '":', flat_values, "")
    lengths = pc.list_value_length(indices).fill_null(0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    starts: Array = pa.array(offsets)
    lists: Array = pa.ListArray.from_arrays(starts, pairs)
    joined: Array = pc.binary_join(lists, ",")
    texts: Array = pc.binary_join_element_wise("{", joined, "}", "")
    if column.null_count:
        texts = pc.if_else(column.is_valid(), texts, pa.scalar(None, pa.string()))
    return texts


def json_values(column: Array, field: Field) -> list[Any]:
    """Convert a column to one value per row for ``orjson.dumps(…, option=OPT_SERIALIZE_NUMPY)``; None for nulls.

    Vectors and arrays of numbers stay views of the column's buffer. JSON objects are embedded unchanged; other JSON
    values become a string with the JSON text, the only form that Milvus reads.
    """
    if field.type is DataType.JSON:
        return [None if text is None else _json_fragment(text) for text in column.to_pylist()]
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return [None if text is None else orjson.Fragment(text) for text in sparse_texts(column).to_pylist()]
    if field.type.is_vector:
        return _with_nulls(list(vector_matrix(column, field)), column)
    if field.type is DataType.ARRAY:
        return _array_values(column, field)
    if field.type is DataType.ARRAY_OF_STRUCT:
        return _struct_values(column, field)
    if field.type is DataType.FLOAT:
        # NumPy scalars are printed with the digits of a float32.
        return _with_nulls(list(column.fill_null(0).to_numpy()), column)
    return list(column.to_pylist())


def _json_fragment(text: str) -> Any:
    if text.lstrip()[:1] != "{":
        return text
    if "\n" in text or "\r" in text:
        # In JSON, raw line breaks occur only between tokens; a line of JSON Lines must have none.
        text = text.replace("\n", " ").replace("\r", " ")
    return orjson.Fragment(text)


def _array_values(column: Array, field: Field) -> list[Any]:
    if field.element_type is not DataType.FLOAT:
        return list(column.to_pylist())
    flat = column.values.to_numpy(zero_copy_only=False)
    offsets = column.offsets.to_numpy()
    return _with_nulls([flat[start:end] for start, end in pairwise(offsets)], column)


def _struct_values(column: Array, field: Field) -> list[Any]:
    structs = column.flatten()
    names = [subfield.name for subfield in field.fields]
    columns = [json_values(child, part) for child, part in zip(structs.flatten(), field.parts, strict=True)]
    objects = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    ends = np.cumsum(pc.list_value_length(column).fill_null(0).to_numpy())
    return _with_nulls([objects[start:end] for start, end in pairwise([0, *ends.tolist()])], column)


def _with_nulls(values: list[Any], column: Array) -> list[Any]:
    valid = valid_mask(column)
    if valid is None:
        return values
    return [value if is_valid else None for value, is_valid in zip(values, valid, strict=True)]
