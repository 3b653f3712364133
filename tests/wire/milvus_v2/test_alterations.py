"""``/v2/vectordb/collections/…``: calls that change a collection which exists."""

from __future__ import annotations

from tests.support.data_planes import DataPlane

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
