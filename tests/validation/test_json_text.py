"""JSON columns."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from penstock.domain.schema import DataType, Field
from tests.support.conforming import conform_column, refused, warnings_for

JSON = Field(name="x", type=DataType.JSON)
NULLABLE = Field(name="x", type=DataType.JSON, nullable=True)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.json_()])
def test_text_is_kept_as_written(kind: Any) -> None:
    texts = ['{"b": 1,  "a": [1.50]}', "[1]", '"word"', "12345678901234567890123", "true"]
    storage = pa.array([text.encode() for text in texts] if kind == pa.binary() else texts)
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
    assert refused(pa.array([fits + " "]), JSON).rule == "the JSON text has more than 65536 bytes, the limit"


def test_structs_that_json_cannot_hold_are_refused() -> None:
    assert refused(pa.array([{"a": 1.0}, {"a": float("nan")}]), JSON).row == 1
    bytes_ = pa.array([{"a": b"x"}, {"a": b"\x01"}])
    assert refused(bytes_, JSON).rule == "the binary value has control characters, and so is not taken for text"
    assert refused(bytes_, JSON).row == 1
    fixed = pa.array([{"a": b"x"}], pa.struct([("a", pa.binary(1))]))
    assert refused(fixed, JSON).rule == "values of type fixed_size_binary[1] have no JSON form"
    twice = pa.array([[("a", 1)], [("b", 1), ("a", 1), ("b", 2)]], pa.map_(pa.string(), pa.int8()))
    assert refused(twice, JSON).rule == "the map has the key 'b' twice"
    assert refused(twice, JSON).row == 1


def test_numbers_times_and_ids_become_json_of_their_own_kind() -> None:
    day = pa.array([datetime.date(2024, 5, 18)])
    assert conform_column(pa.array([1, None, -7]), NULLABLE).to_pylist() == ["1", None, "-7"]
    assert conform_column(pa.array([1.0, 0.1, 1e20]), JSON).to_pylist() == ["1.0", "0.1", "1e+20"]
    assert conform_column(pa.array([True]), JSON).to_pylist() == ["true"]
    assert conform_column(pa.array([0.1], pa.float32()), JSON).to_pylist() == ["0.1"]
    assert conform_column(day, JSON).to_pylist() == ['"2024-05-18"']
    ids = pa.array([uuid.UUID(int=7).bytes], pa.uuid())
    assert conform_column(ids, JSON).to_pylist() == ['"00000000-0000-0000-0000-000000000007"']


def test_times_and_large_decimals_in_structs() -> None:
    kind = pa.struct(
        [("at", pa.timestamp("us", "Europe/Berlin")), ("n", pa.decimal128(38, 0)), ("t", pa.time32("s"))]
    )
    at = datetime.datetime(2024, 5, 18, 12, 30, tzinfo=datetime.UTC)
    column = pa.array([{"at": at, "n": Decimal(2**62), "t": datetime.time(7)}, {"at": None, "n": None}], kind)
    assert conform_column(column, JSON).to_pylist() == [
        '{"at":"2024-05-18T12:30:00.000000Z","n":4611686018427387904,"t":"07:00:00"}',
        '{"at":null,"n":null,"t":null}',
    ]
    numbers = [10**30 + 1, 2**53 + 1, 5]
    large = pa.array([{"n": Decimal(number)} for number in numbers], pa.struct([("n", pa.decimal128(38, 0))]))
    # The store rounds the first; it doesn't change how the others are written.
    assert conform_column(large, JSON).to_pylist() == [f'{{"n":{number}}}' for number in numbers]
    rounded = "whole numbers beyond 64 bits in the JSON were rounded to float64"
    assert warnings_for(large, JSON) == [(f"field 'x': {rounded}", 1)]
