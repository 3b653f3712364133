"""Query vectors of a search: from numbers, from bytes as stored, or from indices and values.

Errors say what is wrong with one query; a dialect adds the query as it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.analyzers import field_analyzer
from penstock.analyzers.term_vectors import query_vector
from penstock.domain.deadline import check_deadline
from penstock.domain.schema import MAX_VARCHAR_BYTES, CollectionSchema, DataType, Field
from penstock.errors import InvalidParameter
from penstock.rules.table import MAX_SPARSE_INDEX

QueryVectors: TypeAlias = npt.NDArray[Any] | Sequence[dict[int, float]]
"""(n, width) float32, for binary vectors uint8; of sparse vectors a list of maps from index to value."""

Queries: TypeAlias = QueryVectors | Sequence[str]
"""Query vectors, or the texts of a full-text search."""

MAX_QUERIES = 16384

_NUMBERS = frozenset({int, float})
_BYTES = (DataType.BINARY_VECTOR, DataType.INT8_VECTOR)
_STORED_DTYPES: Mapping[DataType, npt.DTypeLike] = {
    DataType.FLOAT_VECTOR: np.float32,
    DataType.BINARY_VECTOR: np.uint8,
    DataType.FLOAT16_VECTOR: np.float16,
    DataType.BFLOAT16_VECTOR: ml_dtypes.bfloat16,
    DataType.INT8_VECTOR: np.int8,
}


def check_number_of_queries(number: int) -> None:
    """Raise InvalidParameter unless the number of query vectors, Milvus's ``nq``, is in range."""
    if not 1 <= number <= MAX_QUERIES:
        raise InvalidParameter(f"nq [{number}] is invalid, it should be in range [1, {MAX_QUERIES}]")


def vector_from_bytes(data: bytes, field: Field) -> npt.NDArray[Any]:
    """Decode a dense query vector from little-endian bytes as stored: (width,) float32, for binary vectors uint8.

    Raises:
        ValueError: the last element is cut off.
        InvalidParameter: it has another dimension than the field, or infinite numbers.
    """
    return _checked(np.frombuffer(data, _STORED_DTYPES[field.type]), field)


def vector_from_numbers(values: Sequence[Any], field: Field) -> npt.NDArray[Any]:
    """Decode a dense query vector from numbers: (width,) float32, for binary vectors uint8.

    Raises:
        InvalidParameter: a value is not a number or doesn't fit, or the dimension is another than the field's.
    """
    # set(map(type, …)) runs in C; bools are no numbers.
    if not set(map(type, values)) <= _NUMBERS:
        raise InvalidParameter("a query is a list of numbers")
    array = np.asarray(values, np.float64)
    if field.type in _BYTES:
        low, high = (0, 255) if field.type is DataType.BINARY_VECTOR else (-128, 127)
        if not ((array >= low) & (array <= high) & (array == np.floor(array))).all():
            raise InvalidParameter(f"a query holds whole numbers from {low} to {high}")
        return _checked(array.astype(_STORED_DTYPES[field.type]), field)
    if (np.abs(array) > np.finfo(np.float32).max).any():
        raise InvalidParameter("a query holds numbers that fit in 32 bits")
    return _checked(array, field)


def sparse_vector(indices: Sequence[Any], values: Sequence[Any]) -> dict[int, float]:
    """Check a sparse query vector of as many indices as values.

    Raises:
        InvalidParameter: a value isn't finite, or an index is out of range or repeated.
    """
    if not set(map(type, values)) <= _NUMBERS or not np.isfinite(np.asarray(values, np.float64)).all():
        raise InvalidParameter("the values of a sparse query must be finite numbers")
    if not all(type(index) is int and 0 <= index <= MAX_SPARSE_INDEX for index in indices):
        raise InvalidParameter(f"the indices of a sparse query must be whole numbers from 0 to {MAX_SPARSE_INDEX}")
    vector = {index: float(value) for index, value in zip(indices, values, strict=True)}
    if len(vector) != len(indices):
        raise InvalidParameter("the indices of a sparse query must be unique")
    return vector


def needs_texts(got: str, field: Field) -> InvalidParameter:
    """The error for a full-text search by something else; ``got`` is its type."""
    return InvalidParameter(
        f"please provide varchar/text for BM25 Function based search, got {got}", field=field.name
    )


def analyzed(queries: Queries, field: Field, schema: CollectionSchema) -> QueryVectors:
    """The term vectors of query texts for the output field of a BM25 function; other queries as they are."""
    if not field.function_output:
        return cast(QueryVectors, queries)
    analyzer = field_analyzer(schema.function_input(field))
    vectors = []
    for text in cast(Sequence[str], queries):
        check_deadline()
        if len(text) > MAX_VARCHAR_BYTES:
            raise InvalidParameter(
                f"a query text has {len(text):,} characters, more than {MAX_VARCHAR_BYTES:,}", field=field.name
            )
        vectors.append(query_vector(text, analyzer))
    return vectors


def stored_vectors(array: pa.Array[Any], field: Field) -> QueryVectors:
    """The vectors of a column in canonical types, without nulls, as query vectors."""
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        rows: list[Any] = array.to_pylist()
        return [dict(zip(row["indices"], row["values"], strict=True)) for row in rows]
    values = cast(Any, array).flatten().to_numpy(zero_copy_only=False).reshape(-1, field.width)
    return np.ascontiguousarray(values, np.uint8 if field.type is DataType.BINARY_VECTOR else np.float32)


def _checked(vector: npt.NDArray[Any], field: Field) -> npt.NDArray[Any]:
    if vector.shape != (field.width,):
        kind = "[]byte" if field.type in _BYTES else "[]float"
        raise InvalidParameter(f"dimension: {field.dim}, but length of {kind}: {len(vector)}")
    wide = vector if field.type is DataType.BINARY_VECTOR else vector.astype(np.float32)
    if not np.isfinite(wide).all():
        raise InvalidParameter("a query must hold finite numbers only")
    return wide
