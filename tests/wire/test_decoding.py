"""Bodies are read leniently where clients need it, and refused clearly everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.parameter_values import MAX_INT64
from penstock.wire.decoding import Fields, MalformedBody, MissingField, parse_object


def read(**values: Any) -> Fields:
    return parse_object(orjson.dumps(values), "ImportReq")


@given(st.text("pageSize", min_size=1), st.sampled_from([str.upper, str.lower, str.swapcase, str.title]))
def test_keys_match_in_any_case(key: str, spell: Any) -> None:
    assert read(**{spell(key): "x"}).string(key) == "x"


@given(st.integers(-MAX_INT64, MAX_INT64))
def test_whole_numbers_come_as_numbers_or_text(number: int) -> None:
    assert read(n=number).integer("N") == number
    assert read(n=str(number)).integer("n") == number
    assert read(n=f" {number}.0 ").integer("n") == number
    assert read(n=number).text("n") == str(number)


@given(st.integers(-(2**53), 2**53))
def test_whole_numbers_come_as_doubles(number: int) -> None:
    assert read(n=float(number)).integer("n") == number


@pytest.mark.parametrize("value", [1.5, "1.5", "ten", True, [1], {"a": 1}, 1e300, "9" * 19, "1e3"])
def test_what_is_no_whole_number(value: object) -> None:
    with pytest.raises(MalformedBody, match=r"Go struct field ImportReq.n of type int64"):
        read(n=value).integer("n")


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_an_object_or_a_clear_error(body: bytes) -> None:
    try:
        fields = parse_object(body, "ImportReq")
    except MalformedBody:
        return
    assert isinstance(fields.raw, dict)


def test_null_and_empty_text_are_absent() -> None:
    fields = read(a=None, b="")
    assert fields.string("a") is None
    assert fields.integer("b") is None
    assert "a" not in fields
    assert fields.sent("A")
    assert fields.sent("b")
    assert not fields.sent("c")


def test_every_missing_key_is_named() -> None:
    with pytest.raises(MissingField) as caught:
        read().require("collectionName", "jobId")
    assert str(caught.value).splitlines() == [
        "Key: 'ImportReq.CollectionName' Error:Field validation for 'CollectionName' failed on the 'required' tag",
        "Key: 'ImportReq.JobID' Error:Field validation for 'JobID' failed on the 'required' tag",
    ]


def test_wrong_types_are_told_in_gos_words() -> None:
    fields = read(text=1, flag="maybe", paths=["flat"], map=[1], items={"a": 1}, mixed=[1])
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: fields.string("text"), "cannot unmarshal number into Go struct field ImportReq.text of type string"),
        (lambda: fields.boolean("flag"), "cannot unmarshal string into Go struct field ImportReq.flag of type bool"),
        (
            lambda: fields.string_lists("paths"),
            r"cannot unmarshal string into Go struct field ImportReq.paths of type \[\]string",
        ),
        (lambda: fields.mapping("map"), "cannot unmarshal array"),
        (lambda: fields.list("items"), "cannot unmarshal object"),
        (lambda: fields.strings("mixed"), "of type string"),
        (lambda: fields.number("flag"), "of type float64"),
        (lambda: fields.integer("flag", strict=True), "of type int32"),
    ]
    for get, message in refused:
        with pytest.raises(MalformedBody, match=message):
            get()


def test_typed_values() -> None:
    fields = read(flag="TRUE", off=False, x=1.5, names=["a", None], groups=[["a", ""], None], map={"K": 1})
    assert fields.boolean("flag") is True
    assert fields.boolean("off") is False
    assert fields.number("x") == 1.5
    assert fields.strings("names") == ["a", ""]
    assert fields.string_lists("groups") == [["a"], []]
    assert fields.mapping("map") == {"K": 1}
    inner = fields.fields("map", "Inner")
    assert inner is not None
    assert inner.integer("k") == 1


def test_bodies_that_are_no_object() -> None:
    with pytest.raises(MalformedBody, match="the request body should be nil"):
        parse_object(b" \n", "ImportReq")
    with pytest.raises(MalformedBody, match="array into Go value of type httpserver"):
        parse_object(b"[]", "ImportReq")
    with pytest.raises(MalformedBody):
        parse_object(b'{"a": 1', "ImportReq")
    with pytest.raises(MalformedBody):
        parse_object(b'{"a":' + b"[" * 100_000, "ImportReq")
    assert parse_object(b"null", "ImportReq").raw == {}
