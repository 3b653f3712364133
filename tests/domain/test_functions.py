"""Functions of a schema, and Milvus's words for what they must be."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.functions import Function, FunctionType
from penstock.domain.rest_schema import schema_from_rest, schema_to_rest
from penstock.domain.schema import CollectionSchema
from penstock.errors import InvalidParameter, InvalidSchema, MissingParameter, Unsupported

BM25 = {"name": "f", "type": "BM25", "inputFieldNames": ["text"], "outputFieldNames": ["sparse"]}
ANALYZED = {"max_length": 99, "enable_analyzer": True}


def made(*functions: Any, text: Any = (), sparse: Any = ()) -> CollectionSchema:
    return schema_from_rest(
        {
            "fields": [
                {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
                {"fieldName": "text", "dataType": "VarChar", "elementTypeParams": ANALYZED, **dict(text)},
                {"fieldName": "raw", "dataType": "VarChar", "elementTypeParams": {"max_length": 9}},
                {"fieldName": "sparse", "dataType": "SparseFloatVector", **dict(sparse)},
                {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
            ],
            "functions": functions,
        }
    )


def test_a_function_marks_its_output() -> None:
    schema = made({**BM25, "description": "terms", "params": {}}, text={"nullable": True}).check()
    assert schema.functions == (
        Function(name="f", type=FunctionType.BM25, inputs=("text",), outputs=("sparse",), description="terms"),
    )
    assert [field.name for field in schema if schema.is_computed(field)] == ["sparse"]
    assert schema.function_input(schema["sparse"]).name == "text"
    assert schema_from_rest(schema_to_rest(schema)) == schema
    assert CollectionSchema.from_json(schema.to_json()) == schema
    assert made({**BM25, "type": 1}).functions == made(BM25).functions


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ({"inputFieldNames": ["nope"]}, "function input field not found: nope"),
        ({"outputFieldNames": ["nope"]}, "function output field not found: nope"),
        ({"inputFieldNames": ["raw"]}, "BM25 function input field must set enable_analyzer to true"),
        ({"inputFieldNames": ["id"]}, "must be a VARCHAR/TEXT field, got 1 field with type Int64"),
        ({"inputFieldNames": ["text", "raw"]}, "must be a VARCHAR/TEXT field, got 2 field with type VarChar"),
        ({"outputFieldNames": ["v"]}, "output field must be a SparseFloatVector field, but got FloatVector"),
        ({"outputFieldNames": ["sparse", "v"]}, "BM25 function only need 1 output field, but got 2"),
        ({"outputFieldNames": ["id"]}, "function output field cannot be primary key: function f, field id"),
        ({"outputFieldNames": ["text"]}, "a single field cannot be both input and output in the same function"),
        ({"inputFieldNames": ["text", "text"]}, "each function input field should be used exactly once"),
        ({"params": {"k1": 1}}, "BM25 function accepts no params"),
        ({"params": "x"}, "the params of function f should be a JSON object"),
        ({"inputFieldNames": "text"}, "should be a list of strings"),
    ],
)
def test_rules(function: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidSchema) as raised:
        made({**BM25, **function}).check()
    assert text in raised.value.message


def test_rules_between_functions_and_of_nullable_outputs() -> None:
    with pytest.raises(InvalidSchema, match="duplicate function name: f"):
        made(BM25, BM25).check()
    with pytest.raises(InvalidSchema, match="duplicate function output field: function g, field sparse"):
        made(BM25, {**BM25, "name": "g"}).check()
    with pytest.raises(InvalidSchema, match="function output field cannot be nullable: function f, field sparse"):
        made(BM25, sparse={"nullable": True}).check()


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ({"name": ""}, "function name cannot be empty"),
        ({"inputFieldNames": []}, "function input field names cannot be empty, function: f"),
        ({"outputFieldNames": [""]}, "function output field name cannot be empty string, function: f"),
        ({"type": ""}, "has no Type"),
    ],
)
def test_missing_parts(function: dict[str, Any], text: str) -> None:
    with pytest.raises(MissingParameter) as raised:
        made({**BM25, **function}).check()
    assert text in raised.value.message


@pytest.mark.parametrize("kind", ["TextEmbedding", "Rerank", "MinHash", 2, True])
def test_other_functions_are_refused_by_name(kind: Any) -> None:
    with pytest.raises(Unsupported, match=f"function type {kind} of function f is not supported by this server"):
        made({**BM25, "type": kind, "params": {"model": "x"}})


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"enable_match": True}, "field raw is set to enable match or bm25 function but not enable analyzer"),
        ({"dim": 2, "enable_analyzer": True}, "dim should not be specified"),
    ],
)
def test_matching_needs_an_analyzer(params: dict[str, Any], text: str) -> None:
    fields = [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "raw", "dataType": "VarChar", "elementTypeParams": {"max_length": 9, **params}},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
    ]
    with pytest.raises(InvalidParameter, match=text):
        schema_from_rest({"fields": fields}).check()


def test_only_texts_are_analyzed() -> None:
    fields = [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True, "elementTypeParams": {"enable_analyzer": 1}}
    ]
    with pytest.raises(InvalidSchema, match="are for VarChar and Text fields only, field name = id"):
        schema_from_rest({"fields": fields}).check()
