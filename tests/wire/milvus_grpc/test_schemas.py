"""CreateCollection: schemas as clients send them, and what DescribeCollection makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from penstock.domain.collections import CollectionSettings
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidParameter, InvalidSchema, MissingParameter, PenstockError, Unsupported
from penstock.server.services import Services
from penstock.wire.milvus_grpc.schemas import schema_of
from penstock.wire.milvus_grpc.stubs import schema_pb2
from tests.support.grpc_methods import answer
from tests.support.http import make_services
from tests.support.schemas import EVERYTHING

ID = {"name": "id", "data_type": "Int64", "is_primary_key": True}
VECTOR = {"name": "vector", "data_type": "FloatVector", "type_params": [{"key": "dim", "value": "4"}]}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with make_services(tmp_path_factory.mktemp("schemas")) as services:
        yield services


def encoded(*fields: dict[str, Any], **members: Any) -> bytes:
    message = schema_pb2.CollectionSchema(fields=fields, **members)
    return bytes(message.SerializeToString())


def create(services: Services, name: str, schema: bytes, **members: Any) -> Any:
    return answer(services, "CreateCollection", collection_name=name, schema=schema, **members)


def test_a_schema_is_decoded() -> None:
    tag = {
        "name": "tag",
        "data_type": "VarChar",
        "is_partition_key": True,
        "default_value": {"string_data": "new"},
        "type_params": [{"key": "max_length", "value": "20"}, {"key": "mmap.enabled", "value": "true"}],
    }
    size = {"name": "size", "data_type": "Int8", "nullable": True, "description": "in metres"}
    schema = schema_of(encoded({**ID, "autoID": True}, tag, size, VECTOR, enable_dynamic_field=True, description="d"))
    assert schema == CollectionSchema(
        fields=(
            Field(name="id", type=DataType.INT64, primary=True),
            Field(
                name="tag",
                type=DataType.VARCHAR,
                max_length=20,
                default="new",
                partition_key=True,
                params={"mmap.enabled": "true"},
            ),
            Field(name="size", type=DataType.INT8, nullable=True, description="in metres"),
            Field(name="vector", type=DataType.FLOAT_VECTOR, dim=4),
        ),
        auto_id=True,
        dynamic=True,
        description="d",
    )


def test_a_described_collection_can_be_created_again(services: Services) -> None:
    services.collections.create("in01-local", "default", "all", EVERYTHING, CollectionSettings())
    described = answer(services, "DescribeCollection", collection_name="all")
    assert schema_of(described.schema.SerializeToString()) == EVERYTHING


def test_a_collection_has_the_settings_of_its_call(services: Services) -> None:
    made = create(
        services,
        "set",
        encoded(
            ID,
            {**VECTOR, "data_type": "Float16Vector"},
            {"name": "key", "data_type": "Int64", "is_partition_key": True},
        ),
        shards_num=2,
        consistency_level="Session",
        num_partitions=5,
        properties=[{"key": "collection.ttl.seconds", "value": "60"}],
    )
    assert made.code == 0, made.reason
    described = answer(services, "DescribeCollection", collection_name="set")
    assert (described.shards_num, described.consistency_level, described.num_partitions) == (2, 1, 5)
    assert [(pair.key, pair.value) for pair in described.properties] == [("collection.ttl.seconds", "60")]


def test_the_same_collection_again_is_a_success_and_another_one_is_refused(services: Services) -> None:
    assert create(services, "twice", encoded(ID, VECTOR)).code == 0
    assert create(services, "twice", encoded(ID, VECTOR)).code == 0
    refused = create(services, "twice", encoded(ID, VECTOR, enable_dynamic_field=True))
    assert refused.code == 1100
    assert refused.reason.startswith("create duplicate collection with different parameters, collection: twice")


def test_a_broken_rule_has_milvuss_number(services: Services) -> None:
    assert create(services, "no-name", encoded(ID, VECTOR)).code == 1100
    assert create(services, "field", encoded(ID, {**VECTOR, "name": "1st"})).code == 1701
    assert create(services, "keyless", encoded(VECTOR)).code == 1101
    assert create(services, "shards", encoded(ID, VECTOR), shards_num=99).code == 1100
    assert create(services, "level", encoded(ID, VECTOR), consistency_level=77).code == 1100


def test_structs_have_the_capacity_of_their_fields_and_are_null_as_a_whole() -> None:
    capacity = {"key": "max_capacity", "value": "8"}
    schema = schema_of(
        encoded(
            ID,
            VECTOR,
            struct_array_fields=[
                {
                    "name": "parts",
                    "nullable": True,
                    "fields": [
                        {
                            "name": "page",
                            "data_type": "Array",
                            "element_type": "Int32",
                            "nullable": True,
                            "type_params": [capacity],
                        },
                        {
                            "name": "place",
                            "data_type": "ArrayOfVector",
                            "element_type": "FloatVector",
                            "nullable": True,
                            "type_params": [{"key": "dim", "value": "2"}, capacity],
                        },
                    ],
                }
            ],
        )
    )
    assert schema["parts"] == Field(
        name="parts",
        type=DataType.ARRAY_OF_STRUCT,
        max_capacity=8,
        nullable=True,
        fields=(
            Field(name="page", type=DataType.INT32),
            Field(name="place", type=DataType.FLOAT_VECTOR, dim=2),
        ),
    )


@pytest.mark.parametrize(
    ("schema", "kind", "text"),
    [
        (b"\xff\xff", InvalidParameter, "not a CollectionSchema message"),
        (encoded(ID, {"name": "", "data_type": "Int64"}), MissingParameter, "has no FieldName"),
        (encoded(ID, {"name": "a", "data_type": 99}), InvalidSchema, "data type 99 is invalid"),
        (encoded(ID, {"name": "a", "data_type": "None"}), InvalidSchema, "data type None is invalid"),
        (encoded(ID, {"name": "a", "data_type": "Mol"}), InvalidSchema, "data type Mol is invalid"),
        (encoded(ID, {**VECTOR, "is_dynamic": True}), InvalidParameter, "cannot explicitly set a field as a dynamic"),
        (encoded(ID, {**VECTOR, "autoID": True}), InvalidParameter, "only primary field can specify AutoID"),
        (encoded(ID, functions=[{"name": "f"}]), Unsupported, "function type Unknown of function f is not supported"),
        (encoded(ID, external_source="s3://b/t"), Unsupported, "external_source is not supported"),
        (
            encoded(ID, {**VECTOR, "type_params": [{"key": "dims", "value": "4"}]}),
            InvalidParameter,
            "parameter of type_params; did you mean dim?",
        ),
        (encoded(ID, *[VECTOR] * 256), InvalidSchema, "maximum field's number should be limited to 256"),
        (
            encoded({**ID, "default_value": {"bytes_data": b"x"}}),
            InvalidSchema,
            "does not fit the type Int64 of field id",
        ),
    ],
)
def test_a_schema_that_is_not_served(schema: bytes, kind: type[PenstockError], text: str) -> None:
    with pytest.raises(kind, match=text.replace("?", r"\?")):
        schema_of(schema)
