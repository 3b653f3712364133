"""Decode the ``data`` of a search: vectors as lists of numbers, base64 strings or sparse maps, or texts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.collections.query_vectors import (
    Queries,
    check_number_of_queries,
    needs_texts,
    sparse_vector,
    vector_from_bytes,
    vector_from_numbers,
)
from penstock.domain.parse_int import number_of_digits
from penstock.domain.schema import DataType, Field
from penstock.errors import InvalidParameter, shorten
from penstock.wire.decoding import MalformedBody


def query_vectors(data: Sequence[Any], field: Field) -> Queries:
    """Decode the query vectors for ``field``, or texts if it is the output of a function.

    Raises:
        InvalidParameter: a query of a full-text search is not text.
        MalformedBody: there are too many, or a query has another form, type or dimension than the field.
    """
    try:
        check_number_of_queries(len(data))
    except InvalidParameter as error:
        raise MalformedBody(str(error)) from error
    if field.function_output:
        return [_text(query, field) for query in data]
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return [_sparse(query, field) for query in data]
    return np.stack([_dense(query, field) for query in data])


def _text(query: Any, field: Field) -> str:
    if not isinstance(query, str):
        raise needs_texts(f"{type(query).__name__}: {shorten(query)}", field)
    return query


def _dense(query: Any, field: Field) -> npt.NDArray[Any]:
    try:
        if isinstance(query, str) and field.type is not DataType.FLOAT_VECTOR:
            return vector_from_bytes(base64.b64decode(query, validate=True), field)
        if isinstance(query, list):
            return vector_from_numbers(query, field)
    except ValueError as error:
        why = f"a {field.type.value} query can't be decoded from base64: {error}"
        raise _unreadable(query, field, why) from error
    except InvalidParameter as error:
        raise _unreadable(query, field, str(error)) from error
    if isinstance(query, int | float):
        raise _unreadable(query, field, "data is a list of queries, each a list of numbers: [[0.1, 0.2]]")
    raise _unreadable(query, field, "a query is a list of numbers")


def _sparse(query: Any, field: Field) -> dict[int, float]:
    if not isinstance(query, dict):
        raise _unreadable(query, field, 'a sparse query is an object such as {"1": 0.5}')
    indices: Sequence[Any] = list(query)
    values: Sequence[Any] = list(query.values())
    if {"indices", "values"} == query.keys():
        indices, values = query["indices"], query["values"]
        if not isinstance(indices, list) or not isinstance(values, list) or len(indices) != len(values):
            raise _unreadable(query, field, "indices and values must be lists of the same length")
    try:
        return sparse_vector([_index(index) for index in indices], values)
    except InvalidParameter as error:
        raise _unreadable(query, field, str(error)) from error


def _index(value: Any) -> Any:
    """Parse the index in a key of a JSON object."""
    return number_of_digits(value) if isinstance(value, str) else value


def _unreadable(query: Any, field: Field, why: str) -> MalformedBody:
    excerpt = shorten(query, 120)
    return MalformedBody(
        f"{why}: invalid parameter[expected={field.type.value}][actual=[{excerpt}]]", field=field.name
    )
