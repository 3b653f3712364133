"""The ``data`` of a search: lists of numbers, base64 strings or sparse maps, as what an engine searches with."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from penstock.domain.schema import DataType, Field
from penstock.wire.body import MalformedBody

__all__ = ["query_vectors"]

MAX_QUERIES = 16384
_BASE64_TYPES: Mapping[DataType, npt.DTypeLike] = {
    DataType.BINARY_VECTOR: np.uint8,
    DataType.FLOAT16_VECTOR: np.float16,
    DataType.BFLOAT16_VECTOR: ml_dtypes.bfloat16,
    DataType.INT8_VECTOR: np.int8,
}


def query_vectors(data: Sequence[Any], field: Field) -> npt.NDArray[Any] | list[dict[int, float]]:
    """Queries for ``field``: (n, width) float32 (uint8 for binary vectors), or index → value maps for sparse ones.

    Raises:
        MalformedBody: a query has another form, type or dimension than the field.
    """
    if len(data) > MAX_QUERIES:
        raise MalformedBody(f"the number of queries should be in range [1, {MAX_QUERIES}], but got {len(data)}")
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return [_sparse(query, field) for query in data]
    dtype = np.uint8 if field.type is DataType.BINARY_VECTOR else np.float32
    return np.stack([_dense(query, field, dtype) for query in data])


def _dense(query: Any, field: Field, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    if isinstance(query, str) and field.type in _BASE64_TYPES:
        try:
            raw = base64.b64decode(query, validate=True)
            vector = np.frombuffer(raw, _BASE64_TYPES[field.type]).astype(dtype)
        except (binascii.Error, ValueError) as error:
            raise _unreadable(query, field, str(error)) from error
    else:
        if not isinstance(query, list) or any(isinstance(each, bool) for each in query):
            raise _unreadable(query, field, "a query is a list of numbers")
        try:
            vector = np.asarray(query, dtype)
        except (ValueError, TypeError, OverflowError) as error:
            raise _unreadable(query, field, str(error)) from error
    if vector.shape != (field.width,):
        found = vector.size * 8 if field.type is DataType.BINARY_VECTOR else vector.size
        raise _unreadable(query, field, f"dimension: {field.dim}, but length of the query is {found}")
    if vector.dtype.kind == "f" and not np.isfinite(vector).all():
        raise _unreadable(query, field, "a query must hold finite numbers only")
    return vector


def _sparse(query: Any, field: Field) -> dict[int, float]:
    if not isinstance(query, dict):
        raise _unreadable(query, field, 'a sparse query is an object such as {"1": 0.5}')
    try:
        if "indices" in query and "values" in query:
            pairs = zip(query["indices"], query["values"], strict=True)
        else:
            pairs = zip(query, query.values(), strict=True)
        vector = {int(index): float(value) for index, value in pairs}
    except (ValueError, TypeError) as error:
        raise _unreadable(query, field, str(error)) from error
    if any(not 0 <= index < 2**32 - 1 for index in vector) or not np.isfinite(list(vector.values())).all():
        raise _unreadable(query, field, "indices must be in [0, 2^32-1), values finite")
    return vector


def _unreadable(query: Any, field: Field, why: str) -> MalformedBody:
    shown = str(query) if len(str(query)) <= 120 else str(query)[:119] + "…"
    return MalformedBody(f"{why}: invalid parameter[expected={field.type.value}][actual={shown}]", field=field.name)
