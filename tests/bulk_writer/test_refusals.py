"""What is refused when it is appended, and what the error names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.bulk_writer import BulkFileType, LocalBulkWriter
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError, InvalidParameter, InvalidSchema, Unsupported
from tests.support.bulk_files import read_files

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
        Field(name="tag", type=DataType.VARCHAR, max_length=4, nullable=True),
        Field(name="small", type=DataType.INT8, nullable=True),
        Field(name="on", type=DataType.BOOL, nullable=True),
        Field(name="weight", type=DataType.FLOAT, nullable=True),
        Field(name="info", type=DataType.JSON, nullable=True),
        Field(name="list", type=DataType.ARRAY, element_type=DataType.INT64, max_capacity=2, nullable=True),
        Field(name="sparse", type=DataType.SPARSE_FLOAT_VECTOR, nullable=True),
        Field(name="bytes", type=DataType.INT8_VECTOR, dim=2, nullable=True),
        Field(name="bits", type=DataType.BINARY_VECTOR, dim=8, nullable=True),
        Field(name="half", type=DataType.FLOAT16_VECTOR, dim=2, nullable=True),
    )
)


@dataclass
class Measure:
    value: float


class Level(Enum):
    NONE = float("nan")


GOOD = {"id": 1, "vector": [0.5, 1.0]}


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("vector", [1.0], "the vector has 1 dimensions, the field has 2"),
        ("vector", np.zeros(3), "the vector has 3 dimensions"),
        ("vector", [1.0, float("nan")], "value 'NaN' is not a number"),
        ("vector", [1.0, float("inf")], "value 'Inf'"),
        ("vector", [1.0, 1e39], "out of range"),
        ("vector", "01", "the value is str, the field is FloatVector"),
        ("vector", ["0", "1"], "FloatVector"),
        ("vector", [1.0, None], "FloatVector"),
        ("vector", [[1.0, 2.0]], "FloatVector"),
        ("vector", [True, 0.5], "FloatVector"),
        ("vector", (0.5, np.False_), "FloatVector"),
        ("vector", None, "value of field 'vector' is missed"),
        ("id", "1", "the value is str, the field is Int64"),
        ("id", 1.5, "the value is float"),
        ("id", True, "the value is bool"),
        ("id", 2**63, "out of range for Int64"),
        ("tag", "äöü", "value length(6) for field tag exceeds max_length(4)"),
        ("tag", 5, "the value is int, the field is VarChar"),
        ("tag", "\ud800", "invalid UTF-8"),
        ("small", 128, "out of range for Int8 (-128 to 127)"),
        ("on", 1, "the field is Bool"),
        ("weight", float("nan"), "value 'NaN'"),
        ("weight", 1e39, "out of range for Float"),
        ("weight", 10**400, "out of range for Float"),
        ("weight", "1", "the field is Float"),
        ("info", "{", "the text is not JSON"),
        ("info", {"a": float("nan")}, "value 'NaN'"),
        ("info", {float("nan"): "a"}, "value 'NaN'"),
        ("info", {"a": object()}, "can't be written as JSON"),
        ("info", {"a": Measure(float("nan"))}, "value 'NaN'"),
        ("info", {"a": Level.NONE}, "value 'NaN'"),
        ("info", {"a": 2**70, "b": {1, 2}}, "can't be written as JSON"),
        ("info", {"a": Measure(2**70)}, "can't be written as JSON"),
        ("info", {"a": [10**400]}, "out of range for float64"),
        ("info", {"a": -(10**5000)}, "out of range for float64"),
        ("info", {1: "a", "1": "b"}, "duplicated key is not allowed, key=1"),
        ("info", [{"a": {True: 1, "true": 2}}], "duplicated key is not allowed, key=true"),
        ("info", {2**70: 1, str(2**70): 2}, f"duplicated key is not allowed, key={2**70}"),
        ("info", {"a": "x" * 70_000}, "more than 65536 bytes, the limit"),
        ("list", [1, 2, 3], "array capacity(3) for field list exceeds max_capacity(2)"),
        ("list", [1, "2"], "the value is str"),
        ("list", 5, "the value is int"),
        ("sparse", {-1: 0.5}, "the index -1 is out of range"),
        ("sparse", {1: -0.5}, "negative value in sparse float vector"),
        ("sparse", {1: float("nan")}, "value 'NaN'"),
        ("sparse", {"indices": [1, 1], "values": [1.0, 2.0]}, "same indices"),
        ("sparse", {"indices": [1], "values": []}, "length mismatch"),
        ("sparse", [1.0], "the value is list"),
        ("sparse", {"indices": "12", "values": [1.0, 2.0]}, "the value is str"),
        ("sparse", {"indices": [1], "values": None}, "the value is NoneType"),
        ("bytes", [1, True], "Int8Vector"),
        ("bytes", [1, 200], "element 1 is out of range for Int8Vector"),
        ("bytes", [1.5, 2.0], "Int8Vector"),
        ("bits", [1, 0, 2, 0, 0, 0, 0, 0], "neither a bit nor a byte"),
        ("bits", [True, 0.7, 1, 0, 0, 0, 0, 0], "BinaryVector"),
        ("bits", [True, "1", 1, 0, 0, 0, 0, 0], "BinaryVector"),
        ("bits", [True, 5, 1, 0, 0, 0, 0, 0], "BinaryVector"),
        ("bits", [1, 0], "the vector has 2 values"),
        ("bits", b"ab", "the vector has 2 values"),
        ("half", [1.0, 70000.0], "element 1 is out of range"),
        ("half", b"abc", "the vector has 3 bytes, the field needs 4"),
        ("colour", "red", "the field 'colour' is not defined in schema"),
    ],
)
def test_a_bad_row_is_refused_with_row_and_field(tmp_path: Path, field: str, value: Any, text: str) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        writer.append_row(GOOD)
        with pytest.raises(DataError) as caught:
            writer.append_row({**GOOD, field: value})
        assert writer.total_row_count == 1
        writer.append_row({**GOOD, "id": 2})
    assert text in str(caught.value)
    assert (caught.value.row, caught.value.field) == (1, field)
    assert [file["id"] for file in read_files(writer.batch_files, SCHEMA)] == [1, 2]


@pytest.mark.parametrize(
    ("column", "values", "text"),
    [
        ("vector", [[1.0, 2.0], [1.0, 2.0], [1.0]], "the vector has 1 dimensions"),
        ("vector", [[1.0, 2.0], [1.0, 2.0], [1.0, float("nan")]], "value 'NaN'"),
        ("id", [1, 2, None], "not nullable"),
        ("tag", ["a", "b", "abcde"], "exceeds max_length(4)"),
        ("small", [1, 2, 200], "out of range for Int8"),
        ("list", [[1], [2], [1, 2, 3]], "exceeds max_capacity(2)"),
        ("info", ["{}", None, "{"], "not JSON"),
        ("sparse", ['{"1":0.5}', None, '{"1":-1}'], "negative value"),
    ],
)
def test_a_bad_row_refuses_the_whole_table(tmp_path: Path, column: str, values: list[Any], text: str) -> None:
    good: Any = {"id": [1, 2, 3], "vector": [[1.0, 2.0]] * 3}
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        with pytest.raises(DataError) as caught:
            writer.append_batch(pa.table({**good, column: values}))
        assert writer.total_row_count == 0
        writer.append_batch(good)
    assert text in str(caught.value)
    assert (caught.value.row, caught.value.field) == (2, column)
    assert len(read_files(writer.batch_files, SCHEMA)) == 3


def test_rows_of_a_stream_are_counted_over_batches(tmp_path: Path) -> None:
    good = pa.RecordBatch.from_pylist([GOOD, GOOD])
    bad = pa.RecordBatch.from_pylist([GOOD, {**GOOD, "vector": [1.0, float("inf")]}])
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        with pytest.raises(DataError) as caught:
            writer.append_batch(iter([good, bad]))
        assert writer.total_row_count == 2
    assert caught.value.row == 3


def test_columns_must_have_one_length(tmp_path: Path) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path) as writer, pytest.raises(DataError, match="'id' has 1, 'vector' has 2"):
        writer.append_batch({"id": [1], "vector": np.zeros((2, 2))})


def test_a_missing_column_is_told(tmp_path: Path) -> None:
    with (
        LocalBulkWriter(SCHEMA, tmp_path) as writer,
        pytest.raises(DataError, match="value of field 'vector' is missed"),
    ):
        writer.append_batch({"id": [1]})


def test_an_unknown_column_is_refused(tmp_path: Path) -> None:
    with (
        LocalBulkWriter(SCHEMA, tmp_path) as writer,
        pytest.raises(DataError, match="'colour' is not defined in schema"),
    ):
        writer.append_batch({"id": [1], "vector": np.zeros((1, 2)), "colour": ["red"]})


@pytest.mark.parametrize("data", [5, "abc", [{"id": 1}], np.zeros((2, 2))])
def test_what_append_batch_does_not_take(tmp_path: Path, data: Any) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path) as writer, pytest.raises(InvalidParameter, match="append_batch"):
        writer.append_batch(data)


def test_a_row_is_a_dict(tmp_path: Path) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path) as writer, pytest.raises(DataError, match="a row is a dict"):
        writer.append_row([1, [0.0, 0.0]])  # type: ignore[arg-type]


def test_generated_keys_must_not_be_given(tmp_path: Path) -> None:
    collection = CollectionSchema(fields=SCHEMA.fields[:2], auto_id=True)
    with LocalBulkWriter(collection, tmp_path) as writer:
        with pytest.raises(DataError, match="the primary key 'id' is auto-generated"):
            writer.append_row(GOOD)
        with pytest.raises(DataError, match="the primary key 'id' is auto-generated"):
            writer.append_batch({"id": [1], "vector": [[0.0, 1.0]]})
        writer.append_row({"vector": [0.0, 1.0]})
    assert read_files(writer.batch_files, collection) == [{"vector": [0.0, 1.0]}]


def test_function_outputs_must_not_be_given(tmp_path: Path) -> None:
    fields = [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "text", "dataType": "VarChar", "elementTypeParams": {"max_length": 9, "enable_analyzer": True}},
        {"fieldName": "terms", "dataType": "SparseFloatVector"},
    ]
    function = {"name": "f", "type": "BM25", "inputFieldNames": ["text"], "outputFieldNames": ["terms"]}
    text = "not allowed to provide data for BM25 function output field 'terms'"
    with LocalBulkWriter({"fields": fields, "functions": [function]}, tmp_path) as writer:
        with pytest.raises(DataError, match=text):
            writer.append_row({"id": 1, "text": "a", "terms": {1: 0.5}})
        with pytest.raises(DataError, match=text):
            writer.append_batch({"id": [1], "text": ["a"], "terms": ['{"1": 0.5}']})
        writer.append_row({"id": 1, "text": "a"})
    ((file,),) = writer.batch_files
    assert pq.read_table(file).to_pylist() == [{"id": 1, "text": "a"}]


def test_keys_of_the_dynamic_field_are_given_once(tmp_path: Path) -> None:
    collection = CollectionSchema(fields=SCHEMA.fields[:2], dynamic=True)
    with LocalBulkWriter(collection, tmp_path) as writer:
        for meta in ({"a": 1}, {"id": 1}):
            with pytest.raises(DataError, match="duplicated key is not allowed"):
                writer.append_row({**GOOD, "a": 2, "$meta": meta})
        with pytest.raises(DataError, match="not a JSON object"):
            writer.append_row({**GOOD, "$meta": [1]})
        with pytest.raises(DataError, match="duplicated key is not allowed") as caught:
            writer.append_batch({"id": [1], "vector": [[0.0, 1.0]], "$meta": ['{"a": 1}'], "a": [2]})
        assert caught.value.row == 0
        writer.append_row({**GOOD, "a": 2, "$meta": {"b": 1}})
    assert read_files(writer.batch_files, collection)[0]["$meta"] == '{"b":1,"a":2}'


def test_keys_that_are_the_same_in_json_are_refused(tmp_path: Path) -> None:
    collection = CollectionSchema(fields=SCHEMA.fields[:2], dynamic=True)
    with LocalBulkWriter(collection, tmp_path) as writer:
        extras: list[dict[Any, Any]] = [
            {1: "a", "1": "b"},
            {1: "a", "$meta": {"1": "b"}},
            {"a": {None: 1, "null": 2}},
        ]
        for extra in extras:
            with pytest.raises(DataError, match="duplicated key is not allowed"):
                writer.append_row({**GOOD, **extra})
        writer.append_row({**GOOD, 1: "a", 2: "b"})  # type: ignore[dict-item]
    assert read_files(writer.batch_files, collection)[0]["$meta"] == '{"1":"a","2":"b"}'


NULLABLE = CollectionSchema(fields=SCHEMA.fields[:3])


@pytest.mark.parametrize(
    ("null_key", "field", "value"),
    [
        ("0", "small", 0),
        ("0.5", "weight", 0.5),
        ("true", "on", True),
        ("[]", "list", []),
        ("{}", "sparse", {}),
        ("7", "info", 7),
    ],
)
def test_csv_refuses_values_that_mean_null(tmp_path: Path, null_key: str, field: str, value: Any) -> None:
    config = {"nullkey": null_key}
    with LocalBulkWriter(SCHEMA, tmp_path, file_type=BulkFileType.CSV, config=config) as writer:
        writer.append_row(GOOD)
        with pytest.raises(DataError, match="would be read back as null"):
            writer.append_row({**GOOD, field: value})
        with pytest.raises(DataError, match="would be read back as null") as caught:
            writer.append_batch(pa.table({"id": [2, 3], "vector": [[0.5, 1.0]] * 2, **_column(field, [None, value])}))
        assert (caught.value.row, caught.value.field) == (1, field)
    (row,) = read_files(writer.batch_files, SCHEMA, config)
    assert row[field] is None


def _column(field: str, values: list[Any]) -> dict[str, Any]:
    texts = {"sparse": "{}", "info": "7"}
    kinds = {"small": pa.int8(), "weight": pa.float32(), "list": pa.list_(pa.int64())}
    return {field: pa.array([None, texts[field]] if field in texts else values, kinds.get(field))}


def test_csv_refuses_text_that_means_null(tmp_path: Path) -> None:
    with LocalBulkWriter(NULLABLE, tmp_path, file_type=BulkFileType.CSV) as writer:
        with pytest.raises(DataError, match="would be read back as null"):
            writer.append_row({**GOOD, "tag": ""})
        with pytest.raises(DataError, match="would be read back as null") as caught:
            writer.append_batch({"id": [1, 2], "vector": [[0.0, 1.0]] * 2, "tag": ["a", ""]})
        assert (caught.value.row, caught.value.field) == (1, "tag")


def test_numpy_refuses_nulls(tmp_path: Path) -> None:
    with LocalBulkWriter(NULLABLE, tmp_path, file_type=BulkFileType.NUMPY) as writer:
        with pytest.raises(DataError, match="null, which a NumPy file can't hold") as caught:
            writer.append_batch({"id": [1, 2], "vector": [[0.0, 1.0]] * 2, "tag": ["a", None]})
        assert (caught.value.row, caught.value.field) == (1, "tag")
        writer.append_row({**GOOD, "tag": "a"})
        with pytest.raises(DataError, match="null, which a NumPy file can't hold"):
            writer.append_row(GOOD)
        with pytest.raises(DataError, match="NUL character"):
            writer.append_row({**GOOD, "tag": "a\0"})


def test_numpy_leaves_out_a_field_for_good(tmp_path: Path) -> None:
    with LocalBulkWriter(NULLABLE, tmp_path, file_type=BulkFileType.NUMPY) as writer:
        writer.append_row(GOOD)
        with pytest.raises(DataError, match="was null in the rows before"):
            writer.append_row({**GOOD, "tag": "a"})


def test_numpy_refuses_types_that_it_has_no_form_for(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="Array can't be written to NumPy files"):
        LocalBulkWriter(SCHEMA, tmp_path, file_type=BulkFileType.NUMPY)


@pytest.mark.parametrize("separator", list("0.-+etr_gi "))
def test_a_separator_may_be_in_numbers_and_names(tmp_path: Path, separator: str) -> None:
    config = {"sep": separator}
    fields = (*SCHEMA.fields, Field(name="a_tag", type=DataType.VARCHAR, max_length=4, nullable=True))
    schema = CollectionSchema(fields=fields)
    row = {**GOOD, "id": -10, "weight": 1e30, "on": True, "a_tag": "r"}
    with LocalBulkWriter(schema, tmp_path, file_type=BulkFileType.CSV, config=config) as writer:
        writer.append_row(row)
    (back,) = read_files(writer.batch_files, schema, config)
    assert {name: back[name] for name in row} == {**row, "weight": pytest.approx(1e30)}


@pytest.mark.parametrize(
    "config",
    [
        {"sep": ""},
        {"sep": "||"},
        {"sep": '"'},
        {"seperator": ";"},
        {"nullkey": "a,b"},
        {"nullkey": 'a"'},
        {"nullkey": "a\n"},
    ],
)
def test_bad_csv_options(tmp_path: Path, config: dict[str, str]) -> None:
    with pytest.raises(InvalidParameter):
        LocalBulkWriter(SCHEMA, tmp_path, file_type=BulkFileType.CSV, config=config)


@pytest.mark.parametrize("schema", [None, {"fields": []}, CollectionSchema(fields=())])
def test_what_is_no_schema(tmp_path: Path, schema: Any) -> None:
    with pytest.raises(InvalidSchema):
        LocalBulkWriter(schema, tmp_path)
