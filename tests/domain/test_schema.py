"""The rules of collection schemas, each with Milvus's text."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import FieldNotFound, InvalidName, InvalidSchema

KEY = Field(name="pk", type=DataType.INT64, primary=True)
VECTOR = Field(name="v", type=DataType.FLOAT_VECTOR, dim=4)
TAG = Field(name="tag", type=DataType.VARCHAR, max_length=128)
LIST = Field(name="arr", type=DataType.ARRAY, element_type=DataType.INT64, max_capacity=16)


def schema(*fields: Field, **changes: Any) -> CollectionSchema:
    return CollectionSchema(fields=fields, **changes)


def complaint(*fields: Field) -> str:
    with pytest.raises(InvalidSchema) as caught:
        schema(*fields).check("c")
    return str(caught.value)


def with_field(field: Field) -> str:
    return complaint(KEY, VECTOR, field)


def test_a_good_schema_is_returned() -> None:
    good = schema(KEY, VECTOR, TAG, LIST, auto_id=True, dynamic=True)
    assert good.check("c") is good


def test_fields_are_found_by_name() -> None:
    docs = schema(KEY, VECTOR, replace(TAG, partition_key=True), auto_id=True)
    assert docs["v"] is VECTOR
    assert docs.get("w") is None
    with pytest.raises(FieldNotFound, match="field w not exist"):
        docs["w"]
    assert docs.names == ("pk", "v", "tag")
    assert docs.primary is KEY
    assert docs.vectors == (VECTOR,)
    assert docs.partition_key is not None
    assert [docs.is_generated(doc) for doc in docs] == [True, False, False]


STRUCT = Field(
    name="chunks",
    type=DataType.ARRAY_OF_STRUCT,
    max_capacity=16,
    fields=(replace(TAG, name="text"), replace(VECTOR, name="v"), Field(name="page", type=DataType.INT32)),
)


def test_a_struct_field_names_its_parts() -> None:
    good = schema(KEY, VECTOR, replace(STRUCT, nullable=True)).check("c")
    assert good.vectors == (VECTOR,)
    assert [part.name for part in good["chunks"].parts] == ["chunks[text]", "chunks[v]", "chunks[page]"]
    assert CollectionSchema.from_json(good.to_json()) == good


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"fields": ()}, "empty fields in StructArrayField, field name = chunks"),
        (
            {"max_capacity": None},
            "type param(max_capacity) should be specified for array field chunks of collection c",
        ),
        ({"max_capacity": 5000}, "the maximum capacity specified for the field(chunks) should be in (0, 4096]"),
        ({"partition_key": True}, "partition key is not supported for struct field, field name = chunks"),
        (
            {"fields": (replace(TAG, nullable=True),)},
            "nullable is not supported for struct field, field name = chunks[tag]",
        ),
        ({"fields": (replace(TAG, default="x"),)}, "default value is not supported for struct field"),
        (
            {"fields": (replace(KEY, name="k"),)},
            "primary key is not supported for struct field, field name = chunks[k]",
        ),
        ({"fields": (TAG, TAG)}, "duplicated field name chunks[tag] found"),
        ({"fields": (LIST,)}, "data type Array is not supported in StructArrayField, field name = chunks[arr]"),
        ({"fields": (STRUCT,)}, "data type ArrayOfStruct is not supported in StructArrayField"),
        ({"fields": (Field(name="j", type=DataType.JSON),)}, "data type JSON is not supported"),
        ({"fields": (Field(name="s", type=DataType.SPARSE_FLOAT_VECTOR),)}, "data type SparseFloatVector is not"),
        ({"fields": (replace(VECTOR, dim=1),)}, "invalid dimension: 1 of field chunks[v]"),
        (
            {"fields": (replace(TAG, max_length=None),)},
            "type param(max_length) should be specified for the field(chunks[tag])",
        ),
    ],
)
def test_rules_of_struct_fields(changes: dict[str, Any], text: str) -> None:
    assert text in with_field(replace(STRUCT, **changes))


def test_schemas_survive_json() -> None:
    fields = (
        KEY,
        VECTOR,
        replace(TAG, nullable=True, default="x", params={"mmap.enabled": "true"}),
        replace(LIST, description="numbers"),
        Field(name="flag", type=DataType.BOOL, default=False),
        Field(name="sparse", type=DataType.SPARSE_FLOAT_VECTOR),
    )
    docs = schema(*fields, auto_id=True, dynamic=True, description="all sorts")
    assert CollectionSchema.from_json(docs.to_json()) == docs


class TestPrimaryKey:
    def test_there_is_one(self) -> None:
        assert complaint(VECTOR) == "primary key is not specified"
        other = replace(KEY, name="other")
        assert complaint(KEY, other, VECTOR) == "there are more than one primary key, field name = pk, other"

    def test_its_type(self) -> None:
        double = Field(name="pk", type=DataType.DOUBLE, primary=True)
        assert complaint(double, VECTOR) == "the data type of primary key should be Int64 or VarChar"

    def test_neither_null_nor_default(self) -> None:
        assert complaint(replace(KEY, nullable=True), VECTOR) == "primary field not support null"
        assert complaint(replace(KEY, default=1), VECTOR) == "primary field not support default_value"


class TestVectors:
    def test_there_are_one_to_ten(self) -> None:
        assert complaint(KEY, TAG) == "schema does not contain vector field"
        many = [replace(VECTOR, name=f"v{number}") for number in range(11)]
        assert complaint(KEY, *many) == "maximum vector field's number should be limited to 10"

    @pytest.mark.parametrize(
        ("kind", "dim", "text"),
        [
            (
                DataType.FLOAT_VECTOR,
                None,
                "dimension is not defined in field type params of field v, check type param `dim` for vector field",
            ),
            (
                DataType.FLOAT_VECTOR,
                1,
                "invalid dimension: 1 of field v. float vector dimension should be in range 2 ~ 32768",
            ),
            (
                DataType.FLOAT_VECTOR,
                32769,
                "invalid dimension: 32769 of field v. float vector dimension should be in range 2 ~ 32768",
            ),
            (
                DataType.BINARY_VECTOR,
                12,
                "invalid dimension: 12 of field v. binary vector dimension should be multiple of 8. ",
            ),
            (
                DataType.BINARY_VECTOR,
                262152,
                "invalid dimension: 262152 of field v. binary vector dimension should be in range 2 ~ 262144",
            ),
            (DataType.SPARSE_FLOAT_VECTOR, 4, "dim should not be specified for sparse vector field v"),
        ],
    )
    def test_dimensions(self, kind: DataType, dim: int | None, text: str) -> None:
        assert complaint(KEY, Field(name="v", type=kind, dim=dim)) == text

    def test_a_binary_vector_is_stored_in_bytes(self) -> None:
        assert Field(name="v", type=DataType.BINARY_VECTOR, dim=16).width == 2
        assert VECTOR.width == 4


class TestLengths:
    def test_varchar(self) -> None:
        text = "type param(max_length) should be specified for the field(tag) of collection c"
        assert with_field(replace(TAG, max_length=None)) == text
        for length in (0, 65536):
            text = (
                f"the maximum length specified for the field(tag) should be in (0, 65535], but got {length} instead"
            )
            assert with_field(replace(TAG, max_length=length)) == text

    def test_array(self) -> None:
        text = "type param(max_capacity) should be specified for array field arr of collection c"
        assert with_field(replace(LIST, max_capacity=None)) == text
        for count in (0, 4097):
            assert f"should be in (0, 4096], but got {count} instead" in with_field(replace(LIST, max_capacity=count))

    def test_array_of_varchar_needs_both(self) -> None:
        words = replace(LIST, element_type=DataType.VARCHAR)
        assert "type param(max_length) should be specified" in with_field(words)

    def test_array_elements_are_scalars(self) -> None:
        nested = replace(LIST, element_type=DataType.FLOAT_VECTOR)
        assert with_field(nested) == "element type FloatVector is not supported for array field arr"


class TestPartitionKey:
    def test_there_is_at_most_one(self) -> None:
        first, second = replace(TAG, partition_key=True), replace(TAG, name="b", partition_key=True)
        text = "there are more than one partition key, field name = tag, b"
        assert complaint(KEY, VECTOR, first, second) == text

    @pytest.mark.parametrize(
        ("field", "text"),
        [
            (replace(TAG, partition_key=True, nullable=True), "partition key field not support nullable"),
            (
                Field(name="tag", type=DataType.DOUBLE, partition_key=True),
                "the data type of partition key should be Int64 or VarChar",
            ),
        ],
    )
    def test_its_type(self, field: Field, text: str) -> None:
        assert with_field(field) == f"{text}, field name = tag"

    def test_it_is_not_the_primary_key(self) -> None:
        text = "the partition key field must not be primary field, field name = pk"
        assert complaint(replace(KEY, partition_key=True), VECTOR) == text


class TestDefaults:
    @pytest.mark.parametrize(
        ("field", "default"),
        [
            (TAG, 1),
            (TAG, "x" * 129),
            (Field(name="n", type=DataType.INT8), 128),
            (Field(name="n", type=DataType.INT64), True),
            (Field(name="n", type=DataType.FLOAT), "1"),
            (Field(name="n", type=DataType.FLOAT), 1e39),
            (Field(name="n", type=DataType.FLOAT), math.nan),
            (Field(name="n", type=DataType.DOUBLE), -math.inf),
            (Field(name="n", type=DataType.BOOL), 1),
            (Field(name="n", type=DataType.JSON), "{}"),
        ],
    )
    def test_must_fit_the_type(self, field: Field, default: Any) -> None:
        assert with_field(replace(field, default=default)).startswith("convert defaultValue fail, err:")

    @pytest.mark.parametrize(
        ("field", "default"),
        [
            (TAG, "x"),
            (Field(name="n", type=DataType.INT8), -128),
            (Field(name="n", type=DataType.FLOAT), -3.4028235e38),
            (Field(name="n", type=DataType.DOUBLE), 1),
            (Field(name="n", type=DataType.DOUBLE), 1e300),
            (Field(name="n", type=DataType.BOOL), False),
        ],
    )
    def test_that_fit(self, field: Field, default: Any) -> None:
        schema(KEY, VECTOR, replace(field, default=default)).check()


def test_names() -> None:
    assert with_field(VECTOR) == "duplicated field name v found"
    with pytest.raises(InvalidName):
        schema(KEY, VECTOR, replace(TAG, name="1c")).check()


def test_at_most_256_fields() -> None:
    many = [Field(name=f"n{number}", type=DataType.INT8) for number in range(255)]
    assert complaint(KEY, VECTOR, *many) == "maximum field's number should be limited to 256"
