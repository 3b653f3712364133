"""``/v2/vectordb/aliases/…``, and aliases where other calls take a collection's name."""

from __future__ import annotations

import pytest

from tests.support.data_planes import DataPlane


def test_create_list_describe_alter_drop(plane: DataPlane) -> None:
    database = plane.name("db")
    plane.call("databases/create", dbName=database)
    for name in ("v1", "v2"):
        plane.call("collections/create", dbName=database, collectionName=name, dimension=2)
    here = {"dbName": database}
    assert plane.reply("aliases/list", here) == {"code": 0, "data": []}
    for _ in range(2):  # one that it has already is fine
        body = {**here, "collectionName": "v1", "aliasName": "now"}
        assert plane.reply("aliases/create", body) == {"code": 0, "data": {}}
    assert plane.reply("aliases/describe", {**here, "aliasName": "now"}) == {
        "code": 0,
        "data": {"dbName": database, "collectionName": "v1", "aliasName": "now"},
    }
    assert plane.reply("aliases/alter", {**here, "collectionName": "v2", "aliasName": "now"}) == {
        "code": 0,
        "data": {},
    }
    assert plane.call("aliases/list", dbName=database) == ["now"]
    assert plane.call("aliases/list", dbName=database, collectionName="v1") == []
    assert plane.call("aliases/list", dbName=database, collectionName="v2") == ["now"]
    for _ in range(2):  # and one that isn't there
        assert plane.reply("aliases/drop", {**here, "aliasName": "now"}) == {"code": 0, "data": {}}
    assert plane.call("aliases/list", dbName=database) == []


def test_an_alias_stands_for_its_collection(plane: DataPlane) -> None:
    docs, alias = plane.quick(), plane.name("alias")
    plane.put(docs, [{"id": 1, "vector": [1, 2]}])
    plane.call("aliases/create", collectionName=docs, aliasName=alias)
    described = plane.call("collections/describe", collectionName=alias)
    assert (described["collectionName"], described["aliases"]) == (docs, [alias])
    assert plane.call("collections/has", collectionName=alias) == {"has": True}
    assert alias not in plane.call("collections/list")
    assert plane.call("collections/get_stats", collectionName=alias) == {"rowCount": 1}
    assert plane.call("entities/get", collectionName=alias, id=1)[0]["id"] == "1"
    assert [hit["id"] for hit in plane.call("entities/search", collectionName=alias, data=[[1, 2]])] == ["1"]
    plane.call("partitions/create", collectionName=alias, partitionName="p")
    assert plane.call("partitions/list", collectionName=docs) == ["_default", "p"]
    assert plane.call("indexes/list", collectionName=alias) == ["vector"]
    for action in ("release", "load"):
        assert plane.call(f"collections/{action}", collectionName=alias) == {}


def test_what_is_refused(plane: DataPlane) -> None:
    docs, other, alias = plane.quick(), plane.quick(), plane.name("alias")
    plane.call("aliases/create", collectionName=docs, aliasName=alias)
    assert plane.error("aliases/create", collectionName=other, aliasName=alias) == (
        1602,
        f"{alias} is alias to another collection: {docs}: alias already exist[database=default][alias={alias}]",
    )
    assert plane.error("aliases/create", collectionName=docs, aliasName=other) == (
        1601,
        f"alias and collection name conflict[database=default][alias={other}]",
    )
    assert plane.error("collections/create", collectionName=alias, dimension=2) == (
        1601,
        f"alias and collection name conflict[database=default][alias={alias}]",
    )
    for action in ("describe", "alter"):
        assert plane.error(f"aliases/{action}", collectionName=docs, aliasName="nope") == (
            1600,
            "alias not found[database=default][alias=nope]",
        )
    for action in ("create", "alter", "list"):
        assert plane.error(f"aliases/{action}", collectionName="nope", aliasName="a") == (
            100,
            "collection not found[database=default][collection=nope]",
        )
    code, text = plane.error("aliases/create", collectionName=docs, aliasName="a-b")
    assert (code, text) == (
        1100,
        (
            "Invalid collection alias: a-b. collection alias can only contain numbers, letters and underscores"
            ": invalid parameter"
        ),
    )


def test_collections_with_aliases_stay(plane: DataPlane) -> None:
    docs, alias = plane.quick(), plane.name("alias")
    plane.call("aliases/create", collectionName=docs, aliasName=alias)
    assert plane.error("collections/drop", collectionName=alias) == (
        1100,
        f"cannot drop the collection via alias = {alias}: invalid parameter",
    )
    assert plane.error("collections/drop", collectionName=docs) == (
        1100,
        (
            f"unable to drop the collection [{docs}] because it has associated aliases [{alias}], "
            "please remove all aliases before dropping the collection: invalid parameter"
        ),
    )
    plane.call("aliases/drop", aliasName=alias)
    plane.call("collections/drop", collectionName=docs)


@pytest.mark.parametrize(
    ("action", "missing"),
    [
        ("describe", "AliasReq.AliasName"),
        ("drop", "AliasReq.AliasName"),
        ("create", "AliasCollectionReq.CollectionName"),
        ("alter", "AliasCollectionReq.CollectionName"),
    ],
)
def test_names_there_must_be(plane: DataPlane, action: str, missing: str) -> None:
    code, text = plane.error(f"aliases/{action}")
    assert (code, missing in text) == (1802, True), text
    assert plane.error(f"aliases/{action}", collectionName=1, aliasName=1)[0] == 1801
