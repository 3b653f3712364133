"""Columns as ``FieldData``, read back by pymilvus's own decoders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest
from pymilvus.client.entity_helper import extract_struct_array_from_column_data
from pymilvus.client.field_data_extractors import decode_cell

from penstock.collections.entities import OutputFields
from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.wire.milvus_grpc.field_data import count_data, field_data, fields_data, ids_of, packed
from penstock.wire.milvus_grpc.stubs import schema_pb2


def sent(field: Field, values: list[Any]) -> Any:
    """The message of a column with these values, as a client gets it."""
    array = pa.array(values, canonical_type(field))
    return schema_pb2.FieldData.FromString(field_data(field, array).SerializeToString())


def decoded(field: Field, values: list[Any]) -> list[Any]:
    """The values as pymilvus decodes them."""
    message = sent(field, values)
    return [decode_cell(message, row) for row in range(len(values))]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (DataType.BOOL, [True, False]),
        (DataType.INT8, [-128, 127]),
        (DataType.INT16, [-32768, 7]),
        (DataType.INT32, [-(2**31), 2**31 - 1]),
        (DataType.INT64, [-(2**63), 2**63 - 1]),
        (DataType.FLOAT, [0.5, -1.25]),
        (DataType.DOUBLE, [0.1, 1e300]),
        (DataType.VARCHAR, ["", "größer"]),
    ],
)
def test_scalars(kind: DataType, values: list[Any]) -> None:
    field = Field(name="f", type=kind)
    assert decoded(field, values) == values
    assert not sent(field, values).valid_data
    assert decoded(field, []) == []
    nullable = Field(name="f", type=kind, nullable=True)
    assert decoded(nullable, [values[0], None, values[1]]) == [values[0], None, values[1]]
    assert list(sent(nullable, values).valid_data) == [True, True]


def test_json_is_sent_as_it_is_stored() -> None:
    field = Field(name="f", type=DataType.JSON, nullable=True)
    assert decoded(field, ['{"a": [1]}', None, '"x"']) == [{"a": [1]}, None, "x"]
    assert sent(field, ['{"a":  1}']).scalars.json_data.data[0] == b'{"a":  1}'


@pytest.mark.parametrize(
    ("element", "rows"),
    [
        (DataType.INT16, [[1, 2], [], [3]]),
        (DataType.INT64, [[2**60], [1, 2, 3]]),
        (DataType.FLOAT, [[0.5], [], [1.5, 2.5]]),
        (DataType.DOUBLE, [[0.1], [0.2, 0.3]]),
        (DataType.BOOL, [[True], [False, True]]),
        (DataType.VARCHAR, [["a", "b"], []]),
    ],
)
def test_arrays(element: DataType, rows: list[Any]) -> None:
    field = Field(name="f", type=DataType.ARRAY, element_type=element, nullable=True)
    assert decoded(field, [*rows, None, rows[0]]) == [*rows, None, rows[0]]


@pytest.mark.parametrize(
    ("kind", "stored", "dtype"),
    [
        (DataType.FLOAT16_VECTOR, np.float16, np.float16),
        (DataType.BFLOAT16_VECTOR, np.float32, ml_dtypes.bfloat16),
        (DataType.INT8_VECTOR, np.int8, np.int8),
        (DataType.BINARY_VECTOR, np.uint8, np.uint8),
    ],
)
def test_vectors_as_bytes(kind: DataType, stored: Any, dtype: Any) -> None:
    field = Field(name="f", type=kind, dim=16 if kind is DataType.BINARY_VECTOR else 2, nullable=True)
    first, null, second = decoded(field, [np.array([1, 2], stored), None, np.array([3, 4], stored)])
    assert null is None
    assert [np.frombuffer(vector, dtype).tolist() for vector in (first, second)] == [[1, 2], [3, 4]]


def test_float_vectors() -> None:
    field = Field(name="f", type=DataType.FLOAT_VECTOR, dim=3, nullable=True)
    rows = [[0.5, 1, 2], None, [3, 4, 5.25]]
    assert [None if row is None else list(row) for row in decoded(field, rows)] == rows
    message = sent(field, rows)
    assert message.vectors.dim == 3
    assert len(message.vectors.float_vector.data) == 6, "null vectors take no place"


def test_sparse_vectors() -> None:
    field = Field(name="f", type=DataType.SPARSE_FLOAT_VECTOR, nullable=True)
    rows = [
        {"indices": [1, 2**31], "values": [0.5, 2]},
        {"indices": [], "values": []},
        None,
        {"indices": [7], "values": [1]},
    ]
    assert decoded(field, rows) == [{1: 0.5, 2**31: 2.0}, {}, None, {7: 1.0}]


def test_structs_become_a_column_per_field() -> None:
    field = Field(
        name="parts",
        type=DataType.ARRAY_OF_STRUCT,
        fields=(
            Field(name="page", type=DataType.INT64),
            Field(name="word", type=DataType.VARCHAR, max_length=9),
            Field(name="v", type=DataType.FLOAT_VECTOR, dim=2),
        ),
    )
    rows: list[Any] = [
        [{"page": 1, "word": "a", "v": [1, 2]}, {"page": 2, "word": "b", "v": [3, 4]}],
        [],
        [{"page": 3, "word": "c", "v": [5, 6]}],
    ]
    structs = sent(field, rows).struct_arrays
    assert [extract_struct_array_from_column_data(structs, row) for row in range(3)] == rows


def test_dynamic_values_all_or_by_key() -> None:
    schema = CollectionSchema(fields=(Field(name="id", type=DataType.INT64, primary=True),), dynamic=True)
    table = pa.table({"id": [1, 2], META_FIELD: ['{"a": 1, "b": 2}', "{}"]})
    _, everything = fields_data(table, schema, OutputFields(columns=["id"], meta_keys=None))
    assert (everything.field_name, everything.is_dynamic) == (META_FIELD, True)
    assert list(everything.scalars.json_data.data) == [b'{"a": 1, "b": 2}', b"{}"]
    _, chosen = fields_data(table, schema, OutputFields(columns=["id"], meta_keys=["b", "c"]))
    assert list(chosen.scalars.json_data.data) == [b'{"b":2}', b"{}"]
    (only,) = fields_data(table, schema, OutputFields(columns=["id"]))
    assert list(only.scalars.long_data.data) == [1, 2]


def test_many_keys_are_not_looked_up_in_each_row() -> None:
    """Else a request for a million keys of 16,384 rows would take hours."""

    class Keys(list[str]):
        iterations = 0

        def __iter__(self) -> Iterator[str]:
            self.iterations += 1
            return super().__iter__()

    schema = CollectionSchema(fields=(Field(name="id", type=DataType.INT64, primary=True),), dynamic=True)
    table = pa.table({"id": range(50), META_FIELD: [f'{{"a": {row}, "b": 1}}' for row in range(50)]})
    keys = Keys(["a", *(f"key {number}" for number in range(1000))])
    _, dynamic = fields_data(table, schema, OutputFields(columns=["id"], meta_keys=keys))
    assert dynamic.scalars.json_data.data[7] == b'{"a":7}'
    assert keys.iterations <= 1


def test_keys_counts_and_long_packed_messages() -> None:
    assert list(ids_of(pa.array([3, 4])).int_id.data) == [3, 4]
    assert list(ids_of(pa.array(["x"])).str_id.data) == ["x"]
    assert list(count_data(9).scalars.long_data.data) == [9]
    values = np.arange(100_000, dtype=np.float32)
    assert np.array_equal(np.array(schema_pb2.FloatArray.FromString(packed(values)).data), values)
