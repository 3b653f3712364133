"""DescribeCollection's answer, for a schema with a field of every kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from penstock.collections.description import CollectionDescription, describe_fields
from penstock.domain.collections import Collection, CollectionSettings, LoadState, Partition
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.wire.milvus_grpc.collection_views import description
from penstock.wire.milvus_grpc.stubs import common_pb2, schema_pb2

CREATED = datetime(2026, 5, 17, 12, 0, 0, 250_000, tzinfo=UTC)
SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="tag", type=DataType.VARCHAR, max_length=20, default="new", partition_key=True),
        Field(name="size", type=DataType.INT8, nullable=True, default=3, description="in metres"),
        Field(name="words", type=DataType.ARRAY, element_type=DataType.VARCHAR, max_length=9, max_capacity=4),
        Field(
            name="parts",
            type=DataType.ARRAY_OF_STRUCT,
            max_capacity=8,
            fields=(
                Field(name="page", type=DataType.INT32),
                Field(name="vector", type=DataType.FLOAT_VECTOR, dim=4),
            ),
        ),
        Field(name="vector", type=DataType.BFLOAT16_VECTOR, dim=16),
    ),
    auto_id=True,
    dynamic=True,
    description="all kinds",
)
COLLECTION = Collection(
    id="a-uuid",
    engine="lance",
    number=4711,
    cluster_id="in01-local",
    database_id=3,
    database="sales",
    name="docs",
    schema=SCHEMA,
    settings=CollectionSettings(consistency_level="Strong", shards=2, properties={"collection.ttl.seconds": "60"}),
    load_state=LoadState.LOADED,
    version=1,
    created_at=CREATED,
    updated_at=CREATED + timedelta(seconds=1),
)
PARTITIONS = [Partition(collection_id="a-uuid", number=number, name=f"p{number}") for number in range(3)]

ANSWER = description(
    CollectionDescription(
        collection=COLLECTION, fields=describe_fields(SCHEMA), partitions=PARTITIONS, indexes=[], aliases=["latest"]
    )
)


def test_the_collection() -> None:
    assert (ANSWER.collection_name, ANSWER.collectionID, ANSWER.db_name, ANSWER.db_id) == ("docs", 4711, "sales", 3)
    assert (ANSWER.shards_num, ANSWER.num_partitions) == (2, 3)
    assert ANSWER.consistency_level == common_pb2.ConsistencyLevel.Value("Strong")
    assert [(pair.key, pair.value) for pair in ANSWER.properties] == [("collection.ttl.seconds", "60")]
    assert (ANSWER.schema.name, ANSWER.schema.description, ANSWER.schema.enable_dynamic_field) == (
        "docs",
        "all kinds",
        True,
    )


def test_times_are_hybrid_timestamps() -> None:
    assert ANSWER.created_utc_timestamp == 1_779_019_200_250
    assert ANSWER.created_timestamp == 1_779_019_200_250 << 18
    assert ANSWER.update_timestamp == 1_779_019_201_250 << 18
    assert list(ANSWER.aliases) == ["latest"]


def test_fields_are_numbered_from_100_with_those_of_structs_among_them() -> None:
    numbers = {field.name: field.fieldID for field in ANSWER.schema.fields}
    assert numbers == {"id": 100, "tag": 101, "size": 102, "words": 103, "vector": 107}
    (struct,) = ANSWER.schema.struct_array_fields
    assert struct.fieldID == 104
    assert [(field.name, field.fieldID) for field in struct.fields] == [("page", 105), ("vector", 106)]


def test_fields_have_their_types_parameters_and_defaults() -> None:
    fields = {field.name: field for field in ANSWER.schema.fields}
    params = {name: {pair.key: pair.value for pair in field.type_params} for name, field in fields.items()}
    assert params["tag"] == {"max_length": "20"}
    assert params["words"] == {"max_length": "9", "max_capacity": "4"}
    assert params["vector"] == {"dim": "16"}
    assert (fields["id"].is_primary_key, fields["id"].autoID) == (True, True)
    assert (fields["tag"].is_partition_key, fields["tag"].default_value.string_data) == (True, "new")
    assert (fields["size"].nullable, fields["size"].default_value.int_data) == (True, 3)
    assert fields["size"].description == "in metres"
    assert fields["vector"].data_type == schema_pb2.DataType.Value("BFloat16Vector")
    assert fields["words"].element_type == schema_pb2.DataType.Value("VarChar")


def test_subfields_are_arrays_as_long_as_their_struct() -> None:
    page, vector = ANSWER.schema.struct_array_fields[0].fields
    names = schema_pb2.DataType.Name
    assert (names(page.data_type), names(page.element_type)) == ("Array", "Int32")
    assert (names(vector.data_type), names(vector.element_type)) == ("ArrayOfVector", "FloatVector")
    assert {pair.key: pair.value for pair in vector.type_params} == {"dim": "4", "max_capacity": "8"}
