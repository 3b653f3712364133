"""Decode what fills the gaps of a request: query vectors, and values of expression templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from google.protobuf.message import DecodeError

from penstock.collections.query_vectors import (
    Queries,
    check_number_of_queries,
    needs_texts,
    sparse_vector,
    vector_from_bytes,
)
from penstock.domain.schema import DataType, Field
from penstock.errors import InvalidParameter, Unsupported, shorten
from penstock.wire.milvus_grpc.stubs import common_pb2

_ELEMENT_BYTES: Mapping[DataType, int] = {
    DataType.FLOAT_VECTOR: 4,
    DataType.FLOAT16_VECTOR: 2,
    DataType.BFLOAT16_VECTOR: 2,
    DataType.INT8_VECTOR: 1,
    DataType.BINARY_VECTOR: 1,
}
_HALF_PRECISION = (DataType.FLOAT16_VECTOR, DataType.BFLOAT16_VECTOR)
_SPARSE_PAIR = np.dtype([("index", "<u4"), ("value", "<f4")])
_TEXT = "VarChar"
_TYPE_NAMES: Mapping[int, str] = {value: name for name, value in common_pb2.PlaceholderType.items()}


def query_vectors(placeholder_group: bytes, field: Field) -> Queries:
    """Decode the query vectors of a search of ``field``, or texts if it is the output of a function.

    Those of half-precision fields may be 32-bit floats.

    Raises:
        InvalidParameter: the message can't be decoded, or the vectors are of another type or dimension than the
            field, or there are too many; a text is not UTF-8.
        Unsupported: lists of vectors.
    """
    try:
        placeholders = common_pb2.PlaceholderGroup.FromString(placeholder_group).placeholders
    except DecodeError as error:
        raise InvalidParameter("the placeholder group of the search can't be decoded") from error
    if len(placeholders) != 1:
        raise InvalidParameter(f"a search has one placeholder, but got {len(placeholders)}")
    (placeholder,) = placeholders
    check_number_of_queries(len(placeholder.values))
    if field.function_output:
        return _texts(placeholder, field)
    sent = _vector_type(placeholder.type, field)
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return [_sparse(value, field) for value in placeholder.values]
    return np.stack([_dense(value, field, sent) for value in placeholder.values])


def _type_name(number: int) -> str:
    return _TYPE_NAMES.get(number, str(number))


def _texts(placeholder: Any, field: Field) -> list[str]:
    name = _type_name(placeholder.type)
    if name != _TEXT:
        raise needs_texts(name, field)
    try:
        return [value.decode() for value in placeholder.values]
    except UnicodeDecodeError as error:
        raise InvalidParameter(f"a text of the search is not UTF-8: {error}", field=field.name) from error


def _vector_type(number: int, field: Field) -> DataType:
    """The type of the query vectors, which must suit the field."""
    name = _type_name(number)
    if name.startswith("EmbList"):
        raise Unsupported(f"searching by lists of vectors is not supported by this server: {name}", field=field.name)
    converted = name == DataType.FLOAT_VECTOR.value and field.type in _HALF_PRECISION
    if name != field.type.value and not converted:
        raise InvalidParameter(
            f"vector type must be the same, field {field.name} - type {field.type.value}, search info type {name}",
            field=field.name,
        )
    return DataType(name)


def _dense(value: bytes, field: Field, sent: DataType) -> npt.NDArray[Any]:
    expected = field.width * _ELEMENT_BYTES[sent]
    if len(value) != expected:
        raise InvalidParameter(
            f"vector dimension mismatch, expected vector size(byte) {expected}, actual {len(value)}", field=field.name
        )
    if sent is not field.type:
        vector = np.frombuffer(value, "<f4").astype(np.float32)
        if not np.isfinite(vector).all():
            raise InvalidParameter("a query must hold finite numbers only", field=field.name)
        return vector
    return vector_from_bytes(value, field)


def _sparse(value: bytes, field: Field) -> dict[int, float]:
    if len(value) % _SPARSE_PAIR.itemsize:
        raise InvalidParameter(
            f"a sparse query has pairs of {_SPARSE_PAIR.itemsize} bytes, but got {len(value)} bytes", field=field.name
        )
    pairs = np.frombuffer(value, _SPARSE_PAIR)
    return sparse_vector(pairs["index"].tolist(), pairs["value"].tolist())


def template_values(templates: Mapping[str, Any]) -> dict[str, Any]:
    """Decode the values of ``{name}`` templates in an expression.

    Raises:
        InvalidParameter: one has no value, or JSON that can't be parsed.
    """
    return {name: _value(name, template) for name, template in templates.items()}


def _value(name: str, template: Any) -> Any:
    kind = template.WhichOneof("val")
    if kind is None:
        raise InvalidParameter(f"the expression's template {shorten(name)} has no value", key=shorten(name))
    value = getattr(template, kind)
    return _elements(name, value) if kind == "array_val" else value


def _elements(name: str, array: Any) -> list[Any]:
    kind = array.WhichOneof("data")
    if kind is None:
        return []
    elements = getattr(array, kind).data
    if kind == "array_data":
        return [_elements(name, element) for element in elements]
    if kind == "json_data":
        try:
            return [orjson.loads(element) for element in elements]
        except orjson.JSONDecodeError as error:
            raise InvalidParameter(
                f"the expression's template {shorten(name)} has an element that is not JSON: {error}",
                key=shorten(name),
            ) from error
    return list(elements)
