"""REST schema objects become collection schemas and back."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.rest_schema import schema_from_rest, schema_to_rest
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidSchema, MissingParameter, PenstockError, Unsupported


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
                    "elementTypeParams": {"max_length": "128", "enable_analyzer": True, "analyzer_params": {"a": 1}},
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
                params={"enable_analyzer": "true", "analyzer_params": '{"a":1}'},
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


def test_unknown_keys_are_ignored() -> None:
    schema = schema_from_rest({"dynamic": True, "fields": [field(autoID=True, colour=1)]})
    assert not schema.dynamic


def test_dynamic_fields_under_the_misspelt_key_of_some_documentation() -> None:
    assert schema_from_rest({"enabledDynamicField": True, "fields": [field()]}).dynamic
    assert not schema_from_rest({"enabledDynamicField": False, "fields": [field()]}).dynamic


CHUNKS = {
    "fieldName": "chunks",
    "nullable": True,
    "description": "pages",
    "typeParams": {"max_capacity": "16", "mmap.enabled": True},
    "fields": [
        {"fieldName": "page", "dataType": "Array", "elementDataType": "Int32"},
        {
            "fieldName": "text",
            "dataType": "Array",
            "elementDataType": "VarChar",
            "elementTypeParams": {"max_length": 9, "max_capacity": 16},
        },
        {
            "fieldName": "v",
            "dataType": "ArrayOfVector",
            "elementDataType": "Int8Vector",
            "elementTypeParams": {"dim": 4},
        },
    ],
}


def test_struct_fields() -> None:
    made = schema_from_rest({"fields": [field()], "structFields": [CHUNKS]})
    chunks = made["chunks"]
    assert (chunks.type, chunks.max_capacity, chunks.nullable) == ("ArrayOfStruct", 16, True)
    assert (chunks.description, chunks.params) == ("pages", {"mmap.enabled": "true"})
    assert [(field.name, field.type, field.dim, field.max_length, field.max_capacity) for field in chunks.fields] == [
        ("page", "Int32", None, None, None),
        ("text", "VarChar", None, 9, None),
        ("v", "Int8Vector", 4, None, None),
    ]
    assert schema_from_rest(schema_to_rest(made)) == made


def test_the_fields_of_a_struct_may_tell_its_capacity() -> None:
    made = schema_from_rest({"fields": [], "structFields": [{**CHUNKS, "typeParams": None}]})
    assert made["chunks"].max_capacity == 16


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"dataType": "Int32"}, "fields in StructArrayField must be Array or ArrayOfVector, field name = s[x]"),
        ({"dataType": "Array"}, "the field 's[x]' has no ElementDataType"),
        (
            {"dataType": "Array", "elementDataType": "FloatVector"},
            "element type FloatVector is not supported for Array",
        ),
        ({"dataType": "ArrayOfVector", "elementDataType": "Int8"}, "element type Int8 is not supported for ArrayOfV"),
        ({"dataType": "Array", "elementDataType": "String"}, "data type String of field s[x] is not supported"),
        ({"dataType": "Array", "elementDataType": "int8"}, "element data type int8 is invalid"),
    ],
)
def test_struct_fields_refused(part: dict[str, Any], text: str) -> None:
    with pytest.raises(PenstockError) as caught:
        schema_from_rest({"fields": [], "structFields": [{"fieldName": "s", "fields": [{"fieldName": "x", **part}]}]})
    assert text in str(caught.value)


@pytest.mark.parametrize("kind", ["ArrayOfVector", "ArrayOfStruct"])
def test_arrays_of_vectors_stand_in_structs_only(kind: str) -> None:
    with pytest.raises(InvalidSchema, match="can only be in the struct array field"):
        one(dataType=kind)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [(3.0, "Int8", 3), (1, "Double", 1.0), ("x", "VarChar", "x"), (True, "Bool", True), (None, "Int8", None)],
)
def test_defaults(value: object, kind: str, expected: object) -> None:
    default = one(dataType=kind, defaultValue=value).default
    assert default == expected
    assert type(default) is type(expected)


def test_types_of_milvus_that_are_not_served() -> None:
    with pytest.raises(Unsupported, match="String"):
        one(dataType="String")


def test_a_default_time_is_text() -> None:
    assert one(dataType="Timestamptz", defaultValue="2025-01-01T00:00:00Z").default == "2025-01-01T00:00:00Z"
    with pytest.raises(InvalidSchema, match="should be ISO 8601 text"):
        one(dataType="Timestamptz", defaultValue=1735689600)


def test_features_of_milvus_that_are_not_served() -> None:
    with pytest.raises(Unsupported, match="bm25"):
        schema_from_rest({"fields": [], "functions": [{"name": "bm25", "type": "MinHash"}]})


def test_a_text_field_needs_no_max_length() -> None:
    assert one(dataType="Text").max_bytes == 2 << 20
    assert one(dataType="Text", elementTypeParams={"max_length": 9}).max_bytes == 9


def test_a_clustering_key() -> None:
    schema = schema_from_rest({"fields": [field(isClusteringKey=True)]})
    assert schema.fields[0].clustering_key
    assert schema_from_rest(schema_to_rest(schema)) == schema


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
