"""Every key of every free-typed object: served, without effect, or refused, as docs/parameters.md says; no other."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.collections.parameter_tables import (
    COLLECTION_PARAMS,
    COLLECTION_PROPERTIES,
    DATABASE_PROPERTIES,
    FIELD_PARAMS,
    INDEX_PARAMS,
    SEARCH_PARAMS,
)
from penstock.collections.parameters import Effect, Kind, Parameter, ParameterTable
from tests.support.data_planes import DataPlane

V = {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}}
VALUES: dict[Kind, Any] = {
    Kind.ANY: "1",
    Kind.FLAG: True,
    Kind.COUNT: 4,
    Kind.AMOUNT: 1,
    Kind.NUMBER: 1,
    Kind.TEXT: "x",
}
WRONG: dict[Kind, Any] = {
    Kind.FLAG: "maybe",
    Kind.COUNT: 0,
    Kind.AMOUNT: "many",
    Kind.NUMBER: "much",
    Kind.TEXT: {"a": 1},
}
SAMPLES = {
    "metric_type": "L2",
    "metricType": "L2",
    "index_type": "HNSW",
    "group_by_field": "id",
    "consistencyLevel": "Strong",
    "enableDynamicField": "0",
    "M": 16,
    "m": 2,
    "partitionsNum": 0,
    "timezone": "Asia/Shanghai",
}


def rows(table: ParameterTable, *effects: Effect) -> list[Any]:
    keys = [(row, f"{name}x" if name.endswith(".") else name) for row in table.rows for name in row.names]
    return [pytest.param(row, key, id=key) for row, key in keys if row.effect in effects]


def value(row: Parameter, key: str) -> Any:
    return SAMPLES.get(key, VALUES[row.kind])


TAKEN = (Effect.SERVED, Effect.NONE)


@pytest.mark.parametrize(("row", "key"), rows(COLLECTION_PARAMS, *TAKEN))
def test_params_of_a_collection(plane: DataPlane, row: Parameter, key: str) -> None:
    plane.quick(2, params={key: value(row, key)})


@pytest.mark.parametrize(("row", "key"), rows(COLLECTION_PROPERTIES, *TAKEN))
def test_properties_of_a_collection(plane: DataPlane, row: Parameter, key: str) -> None:
    name = plane.quick(2, properties={key: value(row, key)})
    assert len(plane.call("collections/describe", collectionName=name)["properties"]) == 1


@pytest.mark.parametrize(("row", "key"), rows(DATABASE_PROPERTIES, *TAKEN))
def test_properties_of_a_database(plane: DataPlane, row: Parameter, key: str) -> None:
    plane.call("databases/create", dbName=plane.name("db"), properties={key: value(row, key)})


@pytest.mark.parametrize(("row", "key"), rows(INDEX_PARAMS, *TAKEN))
def test_params_of_an_index(plane: DataPlane, row: Parameter, key: str) -> None:
    docs = plane.collection(
        V, {"fieldName": "s", "dataType": "SparseFloatVector"}, {"fieldName": "n", "dataType": "Int64"}
    )
    kind = sorted(row.types)[0] if row.types else "HNSW"
    field, metric = ("v", "L2")
    if kind.startswith("SPARSE"):
        field, metric = ("s", "IP")
    elif kind in ("NGRAM", "HYBRID"):
        field, metric = ("n", "")
    elif kind.startswith("BIN"):
        kind = "IVF_FLAT"
    param = {"fieldName": field, "indexType": kind, "metricType": metric, "params": {key: value(row, key)}}
    plane.call("indexes/create", collectionName=docs, indexParams=[param])


@pytest.fixture(scope="module")
def docs(plane: DataPlane) -> str:
    name = plane.quick(2, metricType="L2")
    plane.put(name, [{"id": 1, "vector": [0, 1]}])
    return name


@pytest.mark.parametrize(("row", "key"), rows(SEARCH_PARAMS, *TAKEN))
def test_params_of_a_search(plane: DataPlane, docs: str, row: Parameter, key: str) -> None:
    ask = {"collectionName": docs, "data": [[1, 1]]}
    plane.call("entities/search", **ask, searchParams={key: value(row, key)})
    plane.call("entities/search", **ask, searchParams={"params": {key: value(row, key)}})
    if row.kind in WRONG:
        code, text = plane.error("entities/search", **ask, searchParams={key: WRONG[row.kind]})
        assert (code, f"{key} in searchParams should be {row.kind.value}" in text) == (1100, True), text


REFUSED = [
    (table, key, row)
    for table in (
        COLLECTION_PARAMS,
        COLLECTION_PROPERTIES,
        DATABASE_PROPERTIES,
        FIELD_PARAMS,
        INDEX_PARAMS,
        SEARCH_PARAMS,
    )
    for row in table.rows
    if row.effect is Effect.REFUSED
    for key in row.names
]


def send(plane: DataPlane, docs: str, table: ParameterTable, given: dict[str, Any]) -> dict[str, Any]:
    name = plane.name()
    if table is COLLECTION_PARAMS:
        return plane.reply("collections/create", {"collectionName": name, "dimension": 2, "params": given})
    if table is COLLECTION_PROPERTIES:
        return plane.reply("collections/create", {"collectionName": name, "dimension": 2, "properties": given})
    if table is DATABASE_PROPERTIES:
        return plane.reply("databases/create", {"dbName": name, "properties": given})
    if table is FIELD_PARAMS:
        key = {"fieldName": "id", "dataType": "Int64", "isPrimary": True}
        text = {"fieldName": "t", "dataType": "VarChar", "elementTypeParams": {"max_length": 9, **given}}
        return plane.reply("collections/create", {"collectionName": name, "schema": {"fields": [key, V, text]}})
    if table is INDEX_PARAMS:
        param = {"fieldName": "vector", "indexType": "HNSW", "metricType": "L2", "params": given}
        return plane.reply("indexes/create", {"collectionName": docs, "indexParams": [param]})
    return plane.reply("entities/search", {"collectionName": docs, "data": [[1, 1]], "searchParams": given})


@pytest.mark.parametrize(("table", "key", "row"), REFUSED, ids=[key for _, key, _ in REFUSED])
def test_what_is_not_served_is_refused(
    plane: DataPlane, docs: str, table: ParameterTable, key: str, row: Parameter
) -> None:
    key = f"{key}x" if key.endswith(".") else key
    told = send(plane, docs, table, {key: VALUES[row.kind]})
    assert (told["code"], row.about in told["message"]) == (1100, True), told


@pytest.mark.parametrize(
    ("table", "key", "meant"),
    [
        (COLLECTION_PARAMS, "ttlSecond", "ttlSeconds"),
        (COLLECTION_PROPERTIES, "collection.ttl.second", "collection.ttl.seconds"),
        (DATABASE_PROPERTIES, "mmap_enabled", "mmap.enabled"),
        (FIELD_PARAMS, "maxlength", "max_length"),
        (INDEX_PARAMS, "efconstruction", "efConstruction"),
        (SEARCH_PARAMS, "n_probe", "nprobe"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_nearest(
    plane: DataPlane, docs: str, table: ParameterTable, key: str, meant: str
) -> None:
    told = send(plane, docs, table, {key: 1})
    assert told["code"] == 1100
    assert f"{key} is not a parameter of {table.where}; did you mean {meant}?" in told["message"]


def test_a_parameter_of_another_index_type(plane: DataPlane, docs: str) -> None:
    told = send(plane, docs, INDEX_PARAMS, {"nlist": 4})
    assert "nlist is not a parameter of an index of type HNSW, only of AISAQ, BIN_IVF_FLAT" in told["message"]


def test_flags_of_what_is_not_served_may_be_off(plane: DataPlane, docs: str) -> None:
    assert send(plane, docs, FIELD_PARAMS, {"enable_analyzer": False, "enable_match": "false"})["code"] == 0
    assert send(plane, docs, SEARCH_PARAMS, {"iterator": False})["code"] == 0


def test_an_automatic_id_is_named_beside_the_fields(plane: DataPlane) -> None:
    key = {"fieldName": "id", "dataType": "Int64", "isPrimary": True, "autoID": True}
    code, text = plane.error("collections/create", collectionName=plane.name(), schema={"fields": [key, V]})
    assert (code, "set schema.autoID, next to fields" in text) == (1100, True)
    plane.call("collections/create", collectionName=plane.name(), schema={"autoID": True, "fields": [key, V]})


def test_null_is_as_if_a_parameter_were_absent(plane: DataPlane) -> None:
    name = plane.name()
    key = {"fieldName": "id", "dataType": "Int64", "isPrimary": True, "elementTypeParams": {"max_length": None}}
    vector = {**V, "elementTypeParams": {"dim": 4, "mmap.enabled": None}}
    plane.call(
        "collections/create",
        collectionName=name,
        schema={"fields": [key, vector]},
        indexParams=[{"fieldName": "v", "params": {"index_type": None, "nlist": None}}],
        properties={"timezone": None, "collection.ttl.seconds": None, "mmap.enabled": True},
    )
    described = plane.call("collections/describe", collectionName=name)
    assert described["properties"] == [{"key": "mmap.enabled", "value": "true"}]
    assert [field.get("params") for field in described["fields"]] == [None, [{"key": "dim", "value": "4"}]]

    plane.call("collections/release", collectionName=name)
    of_index = {"collectionName": name, "indexName": "v"}
    plane.call("indexes/alter_properties", **of_index, properties={"mmap.enabled": None, "warmup": "sync"})
    (index,) = plane.call("indexes/describe", **of_index)
    assert (index["indexType"], index["mmap.enabled"], index["warmup"]) == ("AUTOINDEX", "", "sync")

    database = plane.name("db")
    plane.call("databases/create", dbName=database, properties={"timezone": None})
    plane.call("databases/alter", dbName=database, properties={"timezone": None, "mmap.enabled": False})
    assert plane.call("databases/describe", dbName=database)["properties"] == [
        {"key": "mmap.enabled", "value": "false"}
    ]
