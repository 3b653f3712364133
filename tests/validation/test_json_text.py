"""JSON columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from penstock.domain.schema import DataType, Field
from tests.support.conforming import conform_column, refused

JSON = Field(name="x", type=DataType.JSON)
NULLABLE = Field(name="x", type=DataType.JSON, nullable=True)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.json_()])
def test_text_is_kept_as_written(kind: Any) -> None:
    texts = ['{"b": 1,  "a": [1.50]}', "[1]", '"word"', "12345678901234567890123", "true"]
    storage = pa.array([each.encode() for each in texts] if kind == pa.binary() else texts)
    column = pa.ExtensionArray.from_storage(kind, storage) if kind == pa.json_() else storage.cast(kind)
    assert conform_column(column, JSON).to_pylist() == texts


def test_the_last_of_equal_keys_counts() -> None:
    texts = ['{"a": 1, "b": {"k": "x", "k": "y"}, "a": 2}', '{"a": "\\"a\\": 1"}']
    assert conform_column(pa.array(texts), JSON).to_pylist() == ['{"a":2,"b":{"k":"y"}}', texts[1]]


def test_structs_maps_and_lists_become_text() -> None:
    kind = pa.struct([("a", pa.int8()), ("m", pa.map_(pa.string(), pa.string()))])
    structs = pa.array([{"a": 1, "m": [("k", "é")]}, None], kind)
    assert conform_column(structs, NULLABLE).to_pylist() == ['{"a":1,"m":{"k":"é"}}', None]
    assert conform_column(pa.array([[1, None], []]), JSON).to_pylist() == ["[1,null]", "[]"]


def test_the_text_null_is_null_where_null_is_allowed() -> None:
    """pymilvus's writers spell a null of a JSON field so."""
    column = pa.array(["null", '{"a": null}', None])
    assert conform_column(column, NULLABLE).to_pylist() == [None, '{"a": null}', None]
    assert conform_column(pa.array(["null"]), JSON).to_pylist() == ["null"]


@pytest.mark.parametrize("text", ["{'a': 1}", "word", "", "NaN", '{"a": 1', "1,2"])
def test_anything_else_is_refused(text: str) -> None:
    error = refused(pa.array(["{}", text]), JSON)
    assert error.row == 1
    assert error.rule.startswith("the text is not JSON: ")
    assert error.value == text


def test_the_limit_counts_bytes() -> None:
    fits = '"' + "x" * 65534 + '"'
    assert conform_column(pa.array([fits]), JSON).to_pylist() == [fits]
    assert refused(pa.array([fits + " "]), JSON).rule == "the JSON text has 65537 bytes, the limit is 65536"


def test_structs_that_json_cannot_hold_are_refused() -> None:
    assert refused(pa.array([{"a": 1.0}, {"a": float("nan")}]), JSON).row == 1
    assert "bytes is not JSON serializable" in refused(pa.array([{"a": b"x"}]), JSON).rule


def test_numbers_are_refused() -> None:
    assert refused(pa.array([1]), JSON).rule == "the file's column is int64, the field is JSON"
