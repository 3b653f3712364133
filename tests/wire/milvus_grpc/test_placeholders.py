"""Query vectors and template values, encoded by pymilvus."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from pymilvus.client.prepare import Prepare

from penstock.domain.schema import DataType, Field
from penstock.errors import InvalidParameter, Unsupported
from penstock.wire.milvus_grpc.placeholders import query_vectors, template_values
from penstock.wire.milvus_grpc.stubs import common_pb2, schema_pb2

FLOATS = Field(name="v", type=DataType.FLOAT_VECTOR, dim=2)


def encoded(data: Any) -> bytes:
    return bytes(Prepare._prepare_placeholder_str(data))


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (DataType.FLOAT_VECTOR, np.float32),
        (DataType.FLOAT16_VECTOR, np.float16),
        (DataType.BFLOAT16_VECTOR, ml_dtypes.bfloat16),
        (DataType.INT8_VECTOR, np.int8),
        (DataType.FLOAT16_VECTOR, np.float32),
        (DataType.BFLOAT16_VECTOR, np.float32),
    ],
)
def test_dense_vectors(kind: DataType, dtype: Any) -> None:
    field = Field(name="v", type=kind, dim=2)
    queries: Any = query_vectors(encoded([np.array([1, 2], dtype), np.array([3, 4], dtype)]), field)
    assert queries.dtype == np.float32
    assert queries.tolist() == [[1, 2], [3, 4]]


def test_binary_and_sparse_vectors() -> None:
    binary: Any = query_vectors(encoded([b"\x01\xff"]), Field(name="v", type=DataType.BINARY_VECTOR, dim=16))
    assert binary.tolist() == [[1, 255]]
    sparse = Field(name="v", type=DataType.SPARSE_FLOAT_VECTOR)
    assert query_vectors(encoded([{3: 0.5, 1: 2.0}, {7: 1.0}]), sparse) == [{1: 2.0, 3: 0.5}, {7: 1.0}]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([[1.0, 2.0, 3.0]], r"vector dimension mismatch, expected vector size\(byte\) 8, actual 12"),
        ([b"\x01"], "vector type must be the same, field v - type FloatVector, search info type BinaryVector"),
        ([[1.0, float("nan")]], "finite"),
    ],
)
def test_vectors_that_do_not_suit_the_field(data: Any, text: str) -> None:
    with pytest.raises(InvalidParameter, match=text):
        query_vectors(encoded(data), FLOATS)


def test_placeholder_groups_that_are_broken_or_not_served() -> None:
    with pytest.raises(InvalidParameter, match="can't be decoded"):
        query_vectors(b"\xff", FLOATS)
    with pytest.raises(InvalidParameter, match="one placeholder, but got 0"):
        query_vectors(b"", FLOATS)
    with pytest.raises(InvalidParameter, match="field v - type FloatVector, search info type VarChar"):
        query_vectors(encoded(["words"]), FLOATS)
    text = common_pb2.PlaceholderValue(type="VarChar", values=[b"\xff"])
    with pytest.raises(InvalidParameter, match="not UTF-8"):
        query_vectors(
            common_pb2.PlaceholderGroup(placeholders=[text]).SerializeToString(),
            Field(name="s", type=DataType.SPARSE_FLOAT_VECTOR, function_output=True),
        )
    lists = common_pb2.PlaceholderValue(type="EmbListFloatVector", values=[b"12345678"])
    with pytest.raises(Unsupported, match="lists of vectors"):
        query_vectors(common_pb2.PlaceholderGroup(placeholders=[lists]).SerializeToString(), FLOATS)
    sparse = common_pb2.PlaceholderValue(type="SparseFloatVector", values=[b"123"])
    with pytest.raises(InvalidParameter, match="pairs of 8 bytes"):
        query_vectors(
            common_pb2.PlaceholderGroup(placeholders=[sparse]).SerializeToString(),
            Field(name="v", type=DataType.SPARSE_FLOAT_VECTOR),
        )


def test_template_values() -> None:
    values = {
        "a": True,
        "b": 2,
        "c": 0.5,
        "d": "x",
        "e": [1, 2],
        "f": ["x"],
        "g": [0.5],
        "h": [[1], [2]],
        "i": [1, {"x": 2}],
    }
    assert template_values(Prepare.prepare_expression_template(values)) == values
    assert template_values(Prepare.prepare_expression_template({"a": []})) == {"a": []}
    with pytest.raises(InvalidParameter, match="template a has no value"):
        template_values({"a": schema_pb2.TemplateValue()})
