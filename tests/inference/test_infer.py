"""The schema that files of each format give, with the reasons."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from penstock.domain.data_types import DataType
from penstock.domain.index import Metric
from penstock.domain.schema import Field
from penstock.errors import DataError, ImportRefused
from penstock.inference.inferred import InferredSchema
from tests.support.inference import infer, npy, parquet

UNIT = [0.6, 0.8, 0.0, 0.0]
TAGS = Field(name="tags", type=DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=64, max_length=512)
OTHER = [0.0, 0.0, 1.0, 0.0]


def lines(*rows: dict[str, Any]) -> dict[str, bytes]:
    return {"rows.jsonl": "\n".join(map(json.dumps, rows)).encode()}


def reason(inferred: InferredSchema, name: str) -> str:
    return next(field.reason for field in inferred.fields if field.field.name == name)


def dynamic(inferred: InferredSchema) -> dict[str, str]:
    return {column.name: column.reason for column in inferred.dynamic}


def test_json_rows() -> None:
    rows = [
        {
            "text": "a" * 200,
            "id": number,
            "emb": UNIT,
            "score": 0.5 if number else 1,
            "ok": True,
            "tags": ["x", "yy"][: number + 1],
            "meta": {"a": [1, None]},
            "sparse": {"7": 0.5} if number else {},
            "maybe": None if number else 3,
            "first-name": "Ada",
            "empty": None,
        }
        for number in range(2)
    ]
    for files in (
        lines(*rows),
        {"rows.json": json.dumps(rows).encode()},
        {"r.json": json.dumps({"rows": rows}).encode()},
    ):
        inferred = infer(files)
        assert inferred.schema.fields == (
            Field(name="id", type=DataType.INT64, primary=True),
            Field(name="emb", type=DataType.FLOAT_VECTOR, dim=4),
            Field(name="sparse", type=DataType.SPARSE_FLOAT_VECTOR),
            Field(name="text", type=DataType.VARCHAR, max_length=1024),
            Field(name="score", type=DataType.DOUBLE),
            Field(name="ok", type=DataType.BOOL),
            TAGS,
            Field(name="meta", type=DataType.JSON),
            Field(name="maybe", type=DataType.INT64, nullable=True),
        )
        assert inferred.schema.dynamic
        assert not inferred.schema.auto_id
        assert dynamic(inferred).keys() == {"first-name", "empty"}
        assert [(index.field_name, index.type, index.metric) for index in inferred.indexes] == [
            ("emb", "AUTOINDEX", Metric.COSINE),
            ("sparse", "AUTOINDEX", Metric.IP),
        ]
        assert (inferred.rows, inferred.is_complete) == (2, True)
        assert "1 of 2 are null" in reason(inferred, "maybe")


def test_word_vectors_without_an_id_get_generated_keys() -> None:
    vectors = pa.array([UNIT, OTHER], pa.list_(pa.float32(), 4))
    inferred = infer({"words.parquet": parquet({"token": ["a", "b"], "vector": vectors})})
    assert inferred.schema.auto_id
    assert inferred.schema.primary == Field(name="id", type=DataType.INT64, primary=True)
    assert inferred.schema["token"].type is DataType.VARCHAR
    assert "no column is named" in reason(inferred, "id")


def test_arrow_types_keep_their_width() -> None:
    columns = {
        "pk": pa.array(["x", "y"], pa.large_string()),
        "small": pa.array([1, 2], pa.int16()),
        "byte": pa.array([1, 200], pa.uint8()),
        "real": pa.array([0.5, 1], pa.float32()),
        "when": pa.array([0, 1], pa.timestamp("us")),
        "half": pa.array([np.float16(1), np.float16(2)], pa.float16()),
        "halves": pa.array([[np.float16(1)] * 8] * 2, pa.list_(pa.float16())),
        "int8s": pa.array([[1] * 8] * 2, pa.list_(pa.int8(), 8)),
        "bits": pa.array([[255] * 4] * 2, pa.list_(pa.uint8(), 4)),
        "raw": pa.array([b"\xff\x00" * 4] * 2, pa.binary(8)),
        "part": pa.array([{"a": 1}, {"a": 2}]),
        "sparse": pa.array([{"indices": [1], "values": [0.5]}] * 2),
        "text_json": pa.array(['{"a": 1}'] * 2),
        "span": pa.array([1, 2], pa.duration("s")),
    }
    inferred = infer({"t.parquet": parquet(columns)})
    types = {field.field.name: (field.field.type, field.field.dim) for field in inferred.fields}
    assert types == {
        "pk": (DataType.VARCHAR, None),
        "halves": (DataType.FLOAT16_VECTOR, 8),
        "int8s": (DataType.INT8_VECTOR, 8),
        "bits": (DataType.BINARY_VECTOR, 32),
        "raw": (DataType.BINARY_VECTOR, 64),
        "sparse": (DataType.SPARSE_FLOAT_VECTOR, None),
        "small": (DataType.INT16, None),
        "byte": (DataType.INT16, None),
        "real": (DataType.FLOAT, None),
        "when": (DataType.VARCHAR, None),
        "half": (DataType.FLOAT, None),
        "part": (DataType.JSON, None),
        "text_json": (DataType.JSON, None),
    }
    assert "nor does a dynamic value" in dynamic(inferred)["span"]
    assert {index.field_name: index.metric for index in inferred.indexes}["bits"] is Metric.HAMMING
    assert any("searches use halves" in note for note in inferred.notes)


def test_csv_cells() -> None:
    text = (
        "doc_id,embedding,price,zip,flag,tags,meta,note,n\n"
        '1,"[1.5, 2, 3]",1.5,01234,true,"[""a""]","{""a"": 1}",,1\n'
        '2,"[4, 5, 6.5]",2,99999,False,"[]","{}","",\n'
    )
    inferred = infer({"pandas.csv": text.encode()})
    fields = {field.field.name: field.field for field in inferred.fields}
    assert fields == {
        "doc_id": Field(name="doc_id", type=DataType.INT64, primary=True),
        "embedding": Field(name="embedding", type=DataType.FLOAT_VECTOR, dim=3),
        "price": Field(name="price", type=DataType.DOUBLE),
        "zip": Field(name="zip", type=DataType.VARCHAR, max_length=512),
        "flag": Field(name="flag", type=DataType.BOOL),
        "tags": Field(
            name="tags", type=DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=64, max_length=512
        ),
        "meta": Field(name="meta", type=DataType.JSON),
        "note": Field(name="note", type=DataType.VARCHAR, max_length=512, nullable=True),
        "n": Field(name="n", type=DataType.INT64, nullable=True),
    }
    assert inferred.indexes[0].metric is Metric.L2


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (2**63 - 1, DataType.INT64),
        (-(2**63), DataType.INT64),
        (2**63, DataType.VARCHAR),
        (-(2**63) - 1, DataType.VARCHAR),
        (10**19 - 1, DataType.VARCHAR),
        (10**40, DataType.VARCHAR),
    ],
)
def test_cells_of_more_than_64_bits_are_no_numbers(number: int, kind: DataType) -> None:
    inferred = infer({"a.csv": f'id,vector\n{number},"[1.5, 2, 3]"\n'.encode()})
    assert inferred.schema.primary.type is kind


def test_a_numpy_set() -> None:
    inferred = infer({"id.npy": npy(np.arange(3)), "vector.npy": npy(np.eye(3, dtype=np.float32))})
    assert inferred.schema.fields == (
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=3),
    )
    assert inferred.indexes[0].metric is Metric.COSINE


def test_a_file_without_vectors_names_what_it_has_and_the_next_step() -> None:
    message = r"no vector column.*rows\.jsonl.*id \(whole numbers\).*Write the vectors as lists"
    with pytest.raises(ImportRefused, match=message):
        infer(lines({"id": 1, "text": "a"}))
    with pytest.raises(ImportRefused, match="is ';' the separator"):
        infer({"a.csv": b"id;vector\n1;[1]\n"})
    with pytest.raises(ImportRefused, match="vector=counts"):
        infer(lines({"counts": [1, 2, 3]}))
    with pytest.raises(ImportRefused, match="Rename the column 'word vector'"):
        infer(lines({"word vector": [0.5] * 8}))
    with pytest.raises(ImportRefused, match=r"json\.dumps"):
        infer({"a.csv": b"id,emb\n1,[0.5 0.25]\n"})


def test_the_named_vector_comes_first_and_must_be_one() -> None:
    row = {"a_vec": UNIT, "counts": [1, 2, 3], "text": "t"}
    assert [field.name for field in infer(lines(row), vector="counts").schema.vectors] == ["counts", "a_vec"]
    with pytest.raises(ImportRefused, match=r"no column 'a_vek' for the vector.*Did you mean 'a_vec'"):
        infer(lines(row), vector="a_vek")
    with pytest.raises(ImportRefused, match="can't be the vector: it holds text of up to 1 bytes"):
        infer(lines(row), vector="text")


def test_short_lists_are_vectors_only_without_a_clearer_one() -> None:
    place = {"place": [52.5, 13.4]}
    assert infer(lines(place)).schema["place"].type is DataType.FLOAT_VECTOR
    found = infer(lines(place | {"v": [0.5] * 8})).schema["place"]
    assert (found.type, found.element_type) == (DataType.ARRAY, DataType.DOUBLE)


def test_the_key_by_name_and_uniqueness() -> None:
    rows = [{"user_id": number, "uuid": str(number), "id": 7, "v": UNIT} for number in range(3)]
    inferred = infer(lines(*rows))
    assert inferred.schema.primary.name == "uuid"
    assert any("uuid, user_id: uuid is chosen by its name. Another: id=user_id" in note for note in inferred.notes)
    assert infer(lines(*rows), id="user_id").schema.primary == Field(
        name="user_id", type=DataType.INT64, primary=True
    )
    with pytest.raises(ImportRefused, match="'id' can't be the primary key: the value 7 occurs twice"):
        infer(lines(*rows), id="id")
    with pytest.raises(ImportRefused, match="Did you mean 'uuid'"):
        infer(lines(*rows), id="uuidd")
    with pytest.raises(ImportRefused, match="not both"):
        infer(lines(*rows), id="id", auto_id=True)
    generated = infer(lines(*rows), auto_id=True)
    assert (generated.schema.primary.name, generated.schema.auto_id) == ("pk", True)


def test_files_that_disagree() -> None:
    first = lines({"id": 1, "v": UNIT, "a": 1, "b": "x", "w": [0.5] * 8})
    second = {"b.jsonl": b'{"id": 2, "v": [1.5, 0, 0, 1], "a": 0.5, "b": 3, "c": true, "w": [0.5, 1.5]}'}
    inferred = infer(first, second)
    schema = inferred.schema
    assert schema["a"].type is DataType.DOUBLE
    assert schema["c"] == Field(name="c", type=DataType.BOOL, nullable=True)
    assert schema["w"].type is DataType.ARRAY
    assert "text of up to 1 bytes in rows.jsonl, whole numbers in b.jsonl" in dynamic(inferred)["b"]
    assert "column 'c' is missing in rows.jsonl, and null there" in inferred.notes
    assert inferred.indexes[0].metric is Metric.L2


def test_rows_beyond_the_sample_may_have_nulls() -> None:
    rows = [{"id": number, "v": UNIT, "t": "x"} for number in range(1500)]
    inferred = infer(lines(*rows))
    assert (inferred.rows, inferred.is_complete) == (1000, False)
    assert inferred.schema["t"].nullable
    assert not inferred.schema["v"].nullable
    table = pa.table({"id": range(1500), "v": [UNIT] * 1500, "t": ["x"] * 1500})
    required = table.cast(pa.schema([field.with_nullable(False) for field in table.schema]))
    assert not infer({"t.parquet": parquet(required)}).schema["t"].nullable


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.parquet": b"PAR1"}, "not a Parquet file|cut off"),
        ({"a.json": b'{"items": []}'}, "root key should be 'rows'"),
        ({"a.jsonl": b'{"id": 1}\n{"id": tru}\n'}, "row 1.*invalid JSON"),
        ({"a.csv": b""}, "the file is empty"),
        ({"a.csv": b"a,b\n1\n"}, "number of fields in the row"),
        ({"a.npy": b"no"}, "not a NumPy file"),
    ],
)
def test_broken_files_are_named(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        infer(files)
    assert caught.value.file == next(iter(files))


def test_files_without_rows() -> None:
    for files in (
        {"a.json": b"[]"},
        {"a.csv": b"id,v\n"},
        {"a.parquet": parquet({"v": pa.array([], pa.list_(pa.float32(), 4))})},
    ):
        with pytest.raises(ImportRefused, match="has no rows"):
            infer(files)


def test_a_vector_with_the_name_of_a_key() -> None:
    inferred = infer({"id.npy": npy(np.eye(3, 8, dtype=np.float32))})
    assert [field.name for field in inferred.schema] == ["pk", "id"]


def test_what_no_value_can_hold_is_named() -> None:
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    found = dynamic(infer(lines({"v": UNIT, "deep": deep, "long": "x" * 70_000})))
    assert "nested more than 128 deep" in found["deep"]
    assert "text of up to 70,000 bytes, more than a field holds" in found["long"]


def test_the_index_of_a_pandas_frame_becomes_a_field() -> None:
    stream = io.BytesIO()
    pd.DataFrame({"vector": [np.ones(8)] * 2}, index=["king", "queen"]).to_parquet(stream)
    schema = infer({"words.parquet": stream.getvalue()}).schema
    assert schema["__index_level_0__"].type is DataType.VARCHAR


def test_blank_cells() -> None:
    assert infer({"a.csv": b'v,a\n"[0.5, 0.5]"," "\n'}).schema["a"].type is DataType.VARCHAR


def test_numbers_that_are_no_vectors() -> None:
    with pytest.raises(ImportRefused, match="no vector"):
        infer(lines({"v": [0.5, None, 1.5, 0.5, 0.5, 0.5, 0.5, 0.5]}))
    nan = pa.array([[math.nan] * 8])
    assert infer({"a.parquet": parquet({"v": nan})}).schema["v"].type is DataType.FLOAT_VECTOR
