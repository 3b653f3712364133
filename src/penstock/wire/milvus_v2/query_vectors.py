"""Decode the ``data`` of a search into query vectors: lists of numbers, base64 strings or sparse maps."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from penstock.domain.parse_int import number_of_digits
from penstock.domain.schema import DataType, Field
from penstock.errors import shorten
from penstock.rules.table import MAX_SPARSE_INDEX
from penstock.wire.decoding import MalformedBody

__all__ = ["query_vectors"]

MAX_QUERIES = 16384

_NUMBERS = frozenset({int, float})
_BYTES = (DataType.BINARY_VECTOR, DataType.INT8_VECTOR)
_STORED_DTYPES: Mapping[DataType, npt.DTypeLike] = {
    DataType.BINARY_VECTOR: np.uint8,
    DataType.FLOAT16_VECTOR: np.float16,
    DataType.BFLOAT16_VECTOR: ml_dtypes.bfloat16,
    DataType.INT8_VECTOR: np.int8,
}


def query_vectors(data: Sequence[Any], field: Field) -> npt.NDArray[Any] | list[dict[int, float]]:
    """Decode the query vectors for ``field``.

    They are (n, width) float32 (uint8 for binary vectors), or index → value maps for sparse ones.

    Raises:
        MalformedBody: a query has another form, type or dimension than the field.
    """
    if len(data) > MAX_QUERIES:
        raise MalformedBody(f"nq [{len(data)}] is invalid, it should be in range [1, {MAX_QUERIES}]")
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return [_sparse(query, field) for query in data]
    return np.stack([_dense(query, field) for query in data])


def _dense(query: Any, field: Field) -> npt.NDArray[Any]:
    vector = _from_base64(query, field) if isinstance(query, str) else _from_list(query, field)
    if vector.shape != (field.width,):
        kind = "[]byte" if field.type in _BYTES else "[]float"
        raise _unreadable(query, field, f"dimension: {field.dim}, but length of {kind}: {len(vector)}")
    wide = vector if field.type is DataType.BINARY_VECTOR else vector.astype(np.float32)
    if not np.isfinite(wide).all():
        raise _unreadable(query, field, "a query must hold finite numbers only")
    return wide


def _from_base64(query: str, field: Field) -> npt.NDArray[Any]:
    """Decode a base64 string of the bytes as stored, little-endian."""
    if field.type not in _STORED_DTYPES:
        raise _unreadable(query, field, "a query is a list of numbers")
    try:
        return np.frombuffer(base64.b64decode(query, validate=True), _STORED_DTYPES[field.type])
    except (binascii.Error, ValueError) as error:
        raise _unreadable(
            query, field, f"a {field.type.value} query can't be decoded from base64: {error}"
        ) from error


def _from_list(query: Any, field: Field) -> npt.NDArray[Any]:
    # set(map(type, …)) runs in C; bools are no numbers.
    if not isinstance(query, list) or not set(map(type, query)) <= _NUMBERS:
        raise _unreadable(query, field, "a query is a list of numbers")
    values = np.asarray(query, np.float64)
    if field.type in _BYTES:
        low, high = (0, 255) if field.type is DataType.BINARY_VECTOR else (-128, 127)
        if not ((values >= low) & (values <= high) & (values == np.floor(values))).all():
            raise _unreadable(query, field, f"a query holds whole numbers from {low} to {high}")
        return values.astype(_STORED_DTYPES[field.type])
    if (np.abs(values) > np.finfo(np.float32).max).any():
        raise _unreadable(query, field, "a query holds numbers that fit in 32 bits")
    return values


def _sparse(query: Any, field: Field) -> dict[int, float]:
    if not isinstance(query, dict):
        raise _unreadable(query, field, 'a sparse query is an object such as {"1": 0.5}')
    indices: Sequence[Any] = list(query)
    values: Sequence[Any] = list(query.values())
    if {"indices", "values"} == query.keys():
        indices, values = query["indices"], query["values"]
        if not isinstance(indices, list) or not isinstance(values, list) or len(indices) != len(values):
            raise _unreadable(query, field, "indices and values must be lists of the same length")
    if not all(type(value) in _NUMBERS for value in values) or not np.isfinite(np.asarray(values, np.float64)).all():
        raise _unreadable(query, field, "the values of a sparse query must be finite numbers")
    numbers = [_index(index) for index in indices]
    if None in numbers:
        raise _unreadable(
            query, field, f"the indices of a sparse query must be whole numbers from 0 to {MAX_SPARSE_INDEX}"
        )
    vector = {number: float(value) for number, value in zip(numbers, values, strict=True) if number is not None}
    if len(vector) != len(numbers):
        raise _unreadable(query, field, "the indices of a sparse query must be unique")
    return vector


def _index(value: Any) -> int | None:
    if isinstance(value, str):
        value = number_of_digits(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SPARSE_INDEX:
        return None
    return value


def _unreadable(query: Any, field: Field, why: str) -> MalformedBody:
    excerpt = shorten(query, 120)
    return MalformedBody(
        f"{why}: invalid parameter[expected={field.type.value}][actual=[{excerpt}]]", field=field.name
    )
