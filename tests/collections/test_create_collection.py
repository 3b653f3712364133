"""Creating a collection with its indexes, as any wire protocol does it, and its description."""

from __future__ import annotations

import pytest

from penstock.collections.collection_settings import collection_settings
from penstock.collections.create_collection import CreateCollection, create_collection
from penstock.collections.description import describe_fields
from penstock.collections.index_requests import CreateIndex, index_spec
from penstock.collections.indexes import IndexState
from penstock.collections.partitions import LoadStatus
from penstock.collections.quick_setup import QuickSetup
from penstock.domain.collections import TTL, Collection, LoadState
from penstock.domain.index import Metric
from penstock.domain.schema import DataType, Field
from penstock.errors import (
    FieldNotFound,
    IndexNotFound,
    InvalidName,
    InvalidParameter,
    PartitionNotFound,
    Unsupported,
)
from tests.collections.conftest import UseCases
from tests.support.catalogs import CLUSTER
from tests.support.schemas import EVERYTHING
from tests.support.tables import plain


def create(cases: UseCases, request: CreateCollection) -> Collection:
    create_collection(cases.collections, cases.indexes, CLUSTER, "default", request)
    return cases.collections.get(CLUSTER, "default", request.name)


def test_a_collection_with_an_index_is_loaded(cases: UseCases) -> None:
    index = CreateIndex(field_name="vector", index_type="HNSW", metric="l2", params={"M": "16"})
    docs = create(cases, CreateCollection(name="docs", schema=plain(), indexes=[index], load=True))
    description = cases.collections.describe(CLUSTER, "default", "docs")
    assert description.collection == docs
    assert docs.load_state is LoadState.LOADED
    assert [partition.name for partition in description.partitions] == ["_default"]
    assert [field.id for field in description.fields] == [100, 101, 102, 103]
    (spec,) = description.vector_indexes
    assert (spec.name, spec.type, spec.metric) == ("vector", "HNSW", Metric.L2)
    status = cases.indexes.status(docs, "vector")
    assert (status.state, status.rows) == (IndexState.FINISHED, 0)
    assert cases.partitions.load_status(docs, ["_default"]) == LoadStatus(LoadState.LOADED, 100)
    with pytest.raises(PartitionNotFound):
        cases.partitions.load_status(docs, ["_default", "p"])


def test_a_collection_stays_where_one_of_its_indexes_is_refused(cases: UseCases) -> None:
    indexes = [CreateIndex(field_name="vector"), CreateIndex(field_name="colour")]
    with pytest.raises(FieldNotFound, match="non-exist field: colour"):
        create(cases, CreateCollection(name="docs", schema=plain(), indexes=indexes, load=True))
    docs = cases.collections.get(CLUSTER, "default", "docs")
    assert [spec.name for spec in cases.indexes.list(docs)] == ["vector"]
    assert cases.partitions.load_status(docs) == LoadStatus(LoadState.NEVER, 0)


def test_the_quick_form_is_a_key_and_an_indexed_vector(cases: UseCases) -> None:
    quick = QuickSetup(dimension=4, metric="IP", id_type="VarChar", max_length=36)
    request = CreateCollection(name="quick", schema=quick.schema(), indexes=[quick.index()], load=True)
    schema = create(cases, request).schema
    assert [(field.name, field.type) for field in schema] == [
        ("id", DataType.VARCHAR),
        ("vector", DataType.FLOAT_VECTOR),
    ]
    assert (schema.primary.max_length, schema["vector"].dim, schema.dynamic) == (36, 4, True)
    (index,) = cases.collections.describe(CLUSTER, "default", "quick").indexes
    assert (index.type, index.metric) == ("AUTOINDEX", Metric.IP)


@pytest.mark.parametrize(
    ("quick", "text"),
    [
        (QuickSetup(), "dimension is required"),
        (QuickSetup(dimension=4, vector_type="Vector"), "vectorFieldType can only be"),
        (QuickSetup(dimension=4, id_type="Int32"), "idType can only be"),
    ],
)
def test_a_quick_form_that_is_refused(quick: QuickSetup, text: str) -> None:
    with pytest.raises(InvalidParameter, match=text):
        quick.schema()
    assert QuickSetup(vector_type="SparseFloatVector").schema()["vector"].dim is None


def test_settings_of_a_new_collection() -> None:
    settings = collection_settings(plain(), shards=2, properties={"mmap.enabled": True}, ttl_seconds="60")
    assert settings.properties == {"mmap.enabled": "true", TTL: "60"}
    assert (settings.shards, settings.consistency_level, settings.ttl_seconds) == (2, "Bounded", 60)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"shards": 17}, "maximum shards's number should be limited to 16"),
        ({"consistency_level": "strong"}, "there is no level strong"),
        ({"key_partitions": 8}, "only be specified with partition key"),
        ({"properties": {TTL: 1}, "ttl_seconds": 1}, "TTL is specified multiple times"),
        ({"properties": {"mmap.enable": True}}, "did you mean mmap.enabled"),
        ({"ttl_seconds": 1.5}, "takes whole seconds"),
    ],
)
def test_settings_that_are_refused(values: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidParameter, match=text):
        collection_settings(plain(), **{"properties": {}, **values})  # type: ignore[arg-type]


def test_type_and_metric_of_an_index_may_stand_among_its_parameters() -> None:
    params = {"index_type": "IVF_FLAT", "metric_type": "COSINE", "nlist": 8}
    spec = index_spec(CreateIndex(field_name="vector", params=params), plain())
    assert (spec.type, spec.metric, spec.params) == ("IVF_FLAT", Metric.COSINE, {"nlist": 8})
    with pytest.raises(InvalidParameter, match="only metric type can be passed"):
        index_spec(CreateIndex(field_name="vector", params={"nlist": 8}), plain())
    with pytest.raises(InvalidParameter, match=r"metric type: JACCARD: invalid parameter\[expected="):
        index_spec(CreateIndex(field_name="vector", metric="JACCARD"), plain())
    with pytest.raises(Unsupported, match="indexes on struct arrays"):
        index_spec(CreateIndex(field_name="parts[place]"), EVERYTHING)


def test_fields_of_a_struct_follow_it_and_are_as_long() -> None:
    *_, struct = describe_fields(EVERYTHING)
    assert struct.is_struct_array
    assert [field.id for field in struct.fields] == [struct.id + 1, struct.id + 2, struct.id + 3]
    assert struct.fields[0].field == Field(name="word", type=DataType.VARCHAR, max_length=8, max_capacity=3)


def test_properties_of_a_database_are_checked(cases: UseCases) -> None:
    database = cases.databases.create(CLUSTER, "sales", {"mmap.enabled": True})
    assert database.properties == {"mmap.enabled": "true"}
    with pytest.raises(InvalidParameter, match="not a parameter of properties"):
        cases.databases.create(CLUSTER, "other", {"colour": "red"})
    with pytest.raises(InvalidName):
        cases.databases.create(CLUSTER, "no name", {})
    with pytest.raises(IndexNotFound):
        cases.indexes.status(cases.create(), "vector")
