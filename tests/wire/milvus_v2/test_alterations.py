"""``/v2/vectordb/collections/…``: calls that change a collection which exists."""

from __future__ import annotations

import time

from tests.support.data_planes import DataPlane

V = {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}}

# Rename


def test_rename(plane: DataPlane) -> None:
    docs, texts, sales = plane.quick(), plane.name(), plane.name("db")
    plane.put(docs, [{"id": 1, "vector": [1, 2]}])
    body = {"collectionName": docs, "newCollectionName": texts}
    assert plane.reply("collections/rename", body) == {"code": 0, "data": {}}
    assert plane.call("entities/get", collectionName=texts, id=1)[0]["id"] == "1"
    assert plane.error("collections/describe", collectionName=docs) == (
        100,
        f"can't find collection[database=default][collection={docs}]",
    )
    plane.call("databases/create", dbName=sales)
    plane.call("collections/rename", collectionName=texts, newCollectionName=texts, newDbName=sales)
    assert plane.call("collections/list", dbName=sales) == [texts]
    assert plane.call("collections/get_stats", dbName=sales, collectionName=texts) == {"rowCount": 1}


def test_renames_that_are_refused(plane: DataPlane) -> None:
    docs, other, alias = plane.quick(), plane.quick(), plane.name("alias")
    plane.call("aliases/create", collectionName=docs, aliasName=alias)
    assert plane.error("collections/rename", collectionName=docs, newCollectionName=docs) == (
        1100,
        "collection name or database name should be different: invalid parameter",
    )
    for taken in (other, alias):
        assert plane.error("collections/rename", collectionName=docs, newCollectionName=taken) == (
            1100,
            f"duplicated new collection name default:{taken} with other collection name or alias: invalid parameter",
        )
    assert plane.error("collections/rename", collectionName=alias, newCollectionName="x") == (
        1100,
        f"unsupported use an alias to rename collection, alias:{alias}: invalid parameter",
    )
    plane.call("databases/create", dbName=plane.name("db"))
    assert plane.error("collections/rename", collectionName="nope", newCollectionName="x") == (
        100,
        "collection not found[database=default][collection=nope]",
    )
    assert plane.error("collections/rename", collectionName=docs, newCollectionName="x", newDbName="nope") == (
        800,
        "database not found[database=nope]",
    )
    code, text = plane.error("collections/rename", collectionName=docs)
    assert (code, "'NewCollectionName' failed on the 'required' tag" in text) == (1802, True)


# Properties


def properties(plane: DataPlane, name: str) -> list[dict[str, str]]:
    described: list[dict[str, str]] = plane.call("collections/describe", collectionName=name)["properties"]
    return described


def test_properties_of_a_collection(plane: DataPlane) -> None:
    docs = plane.quick()
    body = {"collectionName": docs, "properties": {"collection.ttl.seconds": 600, "timezone": "UTC"}}
    assert plane.reply("collections/alter_properties", body) == {"code": 0, "data": {}}
    assert properties(plane, docs) == [
        {"key": "timezone", "value": "UTC"},
        {"key": "collection.ttl.seconds", "value": "600"},
    ]
    gone = {"collectionName": docs, "propertyKeys": ["timezone"]}
    assert plane.reply("collections/drop_properties", gone) == {"code": 0, "data": {}}
    assert properties(plane, docs) == [{"key": "collection.ttl.seconds", "value": "600"}]
    assert plane.error("collections/alter_properties", collectionName=docs) == (
        1100,
        "no properties or delete keys provided: invalid parameter",
    )
    assert plane.error("collections/alter_properties", collectionName=docs, properties={"mmap.enabled": True}) == (
        104,
        f"can not alter mmap properties if collection loaded: collection already loaded[collection={docs}]",
    )
    assert plane.error("collections/alter_properties", collectionName=docs, properties=["a"])[0] == 1801
    assert plane.error("collections/drop_properties", collectionName="nope", propertyKeys=["a"])[0] == 100


def test_a_time_to_live_that_is_set_later_holds_for_rows_that_are_there(plane: DataPlane) -> None:
    docs = plane.quick()
    plane.put(docs, [{"id": 1, "vector": [1, 2]}])
    plane.call("collections/alter_properties", collectionName=docs, properties={"ttl.seconds": 1})
    time.sleep(1.1)
    assert plane.call("collections/get_stats", collectionName=docs) == {"rowCount": 0}
    plane.call("collections/drop_properties", collectionName=docs, propertyKeys=["collection.ttl.seconds"])


def test_limits_of_a_field(plane: DataPlane) -> None:
    tag = {"fieldName": "tag", "dataType": "VarChar", "elementTypeParams": {"max_length": 4}}
    docs = plane.collection(V, tag)
    body = {"collectionName": docs, "fieldName": "tag", "fieldParams": {"max_length": 8}}
    assert plane.reply("collections/fields/alter_properties", body) == {"code": 0, "data": {}}
    field = plane.call("collections/describe", collectionName=docs)["fields"][2]
    assert field["params"] == [{"key": "max_length", "value": "8"}]
    plane.put(docs, [{"id": 1, "v": [1, 2], "tag": "12345678"}])
    bad = {"collectionName": docs, "fieldName": "v", "fieldParams": {"max_length": 8}}
    assert plane.error("collections/fields/alter_properties", **bad) == (
        1100,
        "v can not modify the maxlength for non-string types: invalid parameter",
    )
    code, text = plane.error("collections/fields/alter_properties", collectionName=docs)
    assert (code, "'FieldName' failed on the 'required' tag" in text) == (1802, True)


def test_a_field_is_added(plane: DataPlane) -> None:
    docs = plane.collection(V, dynamic=True)
    plane.call("indexes/create", collectionName=docs, indexParams=[{"fieldName": "v", "metricType": "L2"}])
    plane.call("collections/load", collectionName=docs)
    plane.put(docs, [{"id": 1, "v": [1, 0], "size": 5}])
    size = {"fieldName": "size", "dataType": "Int32", "defaultValue": 7, "description": "bytes"}
    tag = {"fieldName": "tag", "dataType": "VarChar", "nullable": True, "elementTypeParams": {"max_length": "8"}}
    for schema in (size, tag):
        assert plane.reply("collections/fields/add", {"collectionName": docs, "schema": schema}) == {
            "code": 0,
            "data": {},
        }
    fields = plane.call("collections/describe", collectionName=docs)["fields"][2:]
    assert [(field["id"], field["name"], field["type"], field["nullable"]) for field in fields] == [
        (102, "size", "Int32", False),
        (103, "tag", "VarChar", True),
    ]
    assert fields[0]["defaultValue"] == {"Data": {"IntData": 7}}
    plane.put(docs, [{"id": 2, "v": [2, 0], "size": 1, "tag": "new"}, {"id": 3, "v": [3, 0]}])
    rows = plane.call("entities/query", collectionName=docs, filter="size == 7", outputFields=["size", "tag"])
    assert rows == [{"id": "1", "size": 7, "tag": None}, {"id": "3", "size": 7, "tag": None}]
    # What row 1 has under the name as a dynamic value is still there, and the field comes first.
    rows = plane.call("entities/query", collectionName=docs, filter='$meta["size"] == 5', outputFields=["*"])
    assert rows == [{"id": "1", "v": [1, 0], "size": 7, "tag": None}]
    body = {"collectionName": docs, "data": [[1, 0]], "annsField": "v", "outputFields": ["size", "tag"]}
    assert plane.call("entities/search", **body, filter="tag is null") == [
        {"id": "1", "distance": 0, "size": 7, "tag": None},
        {"id": "3", "distance": 4, "size": 7, "tag": None},
    ]
    index = {"fieldName": "tag", "indexName": "by_tag", "indexType": "INVERTED"}
    plane.call("indexes/create", collectionName=docs, indexParams=[index])
    plane.index(docs)
    assert plane.call("entities/query", collectionName=docs, filter="tag == 'new'")[0]["id"] == "2"


def test_a_vector_field_is_added_if_it_is_nullable(plane: DataPlane) -> None:
    docs = plane.quick()
    plane.put(docs, [{"id": 1, "vector": [1, 2]}])
    w = {"fieldName": "w", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}}
    assert plane.error("collections/fields/add", collectionName=docs, schema=w) == (
        1100,
        "added field must be nullable, please check it, field name = w: invalid parameter",
    )
    plane.call("collections/fields/add", collectionName=docs, schema=w | {"nullable": True})
    plane.call("indexes/create", collectionName=docs, indexParams=[{"fieldName": "w", "metricType": "L2"}])
    plane.put(docs, [{"id": 2, "vector": [1, 2], "w": [1, 1]}])
    body = {"collectionName": docs, "data": [[1, 1]], "annsField": "w", "outputFields": ["w"]}
    assert plane.call("entities/search", **body) == [{"id": "2", "distance": 0, "w": [1, 1]}]


def test_an_added_text_is_matched_by_words(plane: DataPlane) -> None:
    docs = plane.quick()
    plane.put(docs, [{"id": 1, "vector": [1, 2]}])
    params = {"max_length": 99, "enable_analyzer": True, "enable_match": True}
    text = {"fieldName": "text", "dataType": "VarChar", "nullable": True, "elementTypeParams": params}
    plane.call("collections/fields/add", collectionName=docs, schema=text)
    plane.put(docs, [{"id": 2, "vector": [1, 2], "text": "The Quick fox"}])
    rows = plane.call("entities/query", collectionName=docs, filter="text_match(text, 'quick')", outputFields=["id"])
    assert rows == [{"id": "2"}]


def test_fields_that_are_not_added(plane: DataPlane) -> None:
    docs = plane.quick()
    size = {"fieldName": "size", "dataType": "Int32", "nullable": True}
    call = "collections/fields/add"
    assert plane.error(call, collectionName="nope", schema=size)[0] == 100
    assert plane.error(call, collectionName=docs, schema=size | {"fieldName": "vector"}) == (
        1100,
        "duplicated field name vector found: invalid parameter",
    )
    assert plane.error(call, collectionName=docs, schema=size | {"fieldName": "a-b"})[0] == 1701
    assert plane.error(call, collectionName=docs, schema=size | {"dataType": "Int31"})[0] == 1100
    assert plane.error(call, collectionName=docs, schema=size | {"defaultValue": 2**40})[0] == 1100
    assert plane.error(call, collectionName=docs, schema=size | {"isPrimary": True}) == (
        1100,
        "not support to add pk field, field name = size: invalid parameter",
    )
    assert plane.error(call, collectionName=docs, schema=size | {"nullable": "yes"})[0] == 1801
    assert plane.error(call, collectionName=docs, schema=[size])[0] == 1801
    assert plane.error(call, collectionName=docs, schema={"fieldName": "size"})[0] == 1802
    code, text = plane.error(call, collectionName=docs)
    assert (code, "'Schema' failed on the 'required' tag" in text) == (1802, True)
    params = {"elementTypeParams": {"enable_match": True}}
    assert "for VarChar and Text fields only" in plane.error(call, collectionName=docs, schema=size | params)[1]
    assert len(plane.call("collections/describe", collectionName=docs)["fields"]) == 2


def test_properties_of_an_index(plane: DataPlane) -> None:
    docs = plane.quick()
    body = {"collectionName": docs, "indexName": "vector", "properties": {"mmap.enabled": True}}
    assert plane.error("indexes/alter_properties", **body) == (
        104,
        (
            "can't alter index on loaded collection, please release the collection first: "
            f"collection already loaded[collection={docs}]"
        ),
    )
    plane.call("collections/release", collectionName=docs)
    assert plane.reply("indexes/alter_properties", body) == {"code": 0, "data": {}}
    (index,) = plane.call("indexes/describe", collectionName=docs, indexName="vector")
    assert index["mmap.enabled"] == "true"
    gone = {"collectionName": docs, "indexName": "vector", "propertyKeys": ["mmap.enabled"]}
    assert plane.reply("indexes/drop_properties", gone) == {"code": 0, "data": {}}
    (index,) = plane.call("indexes/describe", collectionName=docs, indexName="vector")
    assert index["mmap.enabled"] == ""
    assert plane.error("indexes/drop_properties", **(gone | {"indexName": "nope"})) == (
        700,
        "index not found[indexName=nope]",
    )


def test_properties_of_a_database(plane: DataPlane) -> None:
    sales = plane.name("db")
    plane.call("databases/create", dbName=sales)
    for action, value in (("alter", 2), ("alter_properties", 3)):
        body = {"dbName": sales, "properties": {"database.replica.number": value}}
        assert plane.reply(f"databases/{action}", body) == {"code": 0, "data": {}}
        assert plane.call("databases/describe", dbName=sales)["properties"] == [
            {"key": "database.replica.number", "value": str(value)}
        ]
    plane.call("databases/drop_properties", dbName=sales, propertyKeys=["database.replica.number"])
    assert plane.call("databases/describe", dbName=sales)["properties"] == []
    assert plane.error("databases/alter", dbName=sales) == (
        1100,
        (
            "alter database with empty properties and delete keys, expected to set either properties or delete keys: "
            "invalid parameter"
        ),
    )
    assert plane.error("databases/alter", dbName="nope", properties={"timezone": "UTC"}) == (
        800,
        "database not found[database=nope]",
    )
