"""REST schema objects become collection schemas and back."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.rest_schema import schema_from_rest, schema_to_rest
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidSchema, MissingParameter, Unsupported


def field(**changes: Any) -> dict[str, Any]:
    return {"fieldName": "f", "dataType": "Int64", **changes}


def one(**changes: Any) -> Field:
    return schema_from_rest({"fields": [field(**changes)]}).fields[0]


def test_a_whole_schema() -> None:
    schema = schema_from_rest(
        {
            "autoId": True,
            "enableDynamicField": True,
            "fields": [
                {"fieldName": "pk", "dataType": "Int64", "isPrimary": True},
                {
                    "fieldName": "tag",
                    "dataType": "VarChar",
                    "nullable": True,
                    "defaultValue": "x",
                    "elementTypeParams": {"max_length": "128", "enable_match": True, "analyzer_params": {"a": 1}},
                },
                {
                    "fieldName": "arr",
                    "dataType": "Array",
                    "elementDataType": "Int64",
                    "elementTypeParams": {"max_capacity": 16},
                },
                {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4.0}},
            ],
        }
    )
    assert schema.check() == CollectionSchema(
        auto_id=True,
        dynamic=True,
        fields=(
            Field(name="pk", type=DataType.INT64, primary=True),
            Field(
                name="tag",
                type=DataType.VARCHAR,
                nullable=True,
                default="x",
                max_length=128,
                params={"enable_match": "true", "analyzer_params": '{"a":1}'},
            ),
            Field(name="arr", type=DataType.ARRAY, element_type=DataType.INT64, max_capacity=16),
            Field(name="v", type=DataType.FLOAT_VECTOR, dim=4),
        ),
    )
    assert schema_from_rest(schema_to_rest(schema)) == schema


def test_keys_have_no_case_but_types_do() -> None:
    schema = schema_from_rest({"AUTOID": True, "Fields": [{"FIELDNAME": "a", "datatype": "Int8", "ISPRIMARY": True}]})
    assert schema.auto_id
    assert schema.primary.type is DataType.INT8
    with pytest.raises(InvalidSchema, match=r"^invalid parameter, data type int64 is invalid\(case sensitive\)\.$"):
        one(dataType="int64")


def test_unknown_and_misspelt_keys_are_ignored() -> None:
    assert not schema_from_rest({"enabledDynamicField": True, "fields": [field(autoID=True, colour=1)]}).dynamic


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [(3.0, "Int8", 3), (1, "Double", 1.0), ("x", "VarChar", "x"), (True, "Bool", True), (None, "Int8", None)],
)
def test_defaults(value: object, kind: str, expected: object) -> None:
    default = one(dataType=kind, defaultValue=value).default
    assert default == expected
    assert type(default) is type(expected)


@pytest.mark.parametrize("kind", ["Geometry", "Timestamptz", "Text", "ArrayOfVector"])
def test_types_of_milvus_that_are_not_served(kind: str) -> None:
    with pytest.raises(Unsupported, match=kind):
        one(dataType=kind)


@pytest.mark.parametrize(
    "schema",
    [
        {"fields": [], "structFields": [{"fieldName": "s"}]},
        {"fields": [], "functions": [{"name": "bm25"}]},
        {"fields": [field(isClusteringKey=True)]},
    ],
)
def test_features_of_milvus_that_are_not_served(schema: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match=r"structFields|bm25|clustering"):
        schema_from_rest(schema)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"fields": 3}, "array"),
        ({"fields": [3]}, "object"),
        ({"fields": [], "autoId": "yes"}, "autoId"),
        ({"fields": [field(isPrimary=1)]}, "isPrimary"),
        ({"fields": [field(elementTypeParams={"dim": "four"})]}, "invalid dim: four of field f"),
        ({"fields": [field(elementTypeParams={"dim": True})]}, "invalid dim"),
        ({"fields": [field(elementTypeParams=[])]}, "elementTypeParams"),
        ({"fields": [field(defaultValue=[1])]}, "convert defaultValue fail"),
        ({"fields": [field(dataType="Array", elementDataType="text")]}, "text is invalid"),
        ({"fields": [field(dataType=5)]}, "string"),
    ],
)
def test_what_cannot_be_understood(schema: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidSchema, match=text):
        schema_from_rest(schema)


@pytest.mark.parametrize(("key", "name"), [("fieldName", "FieldName"), ("dataType", "DataType")])
def test_names_and_types_are_required(key: str, name: str) -> None:
    with pytest.raises(MissingParameter, match=name):
        one(**{key: ""})
