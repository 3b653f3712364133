"""``/v2/vectordb/databases/…``."""

from __future__ import annotations

import pytest

from tests.support.data_planes import DataPlane


def test_create_list_describe_drop(plane: DataPlane) -> None:
    name = plane.name("db")
    assert plane.reply(
        "databases/create", {"dbName": name, "properties": {"database.replica.number": 3, "mmap.enabled": True}}
    ) == {
        "code": 0,
        "data": {},
    }
    assert plane.call("databases/list") == ["default", *plane.call("databases/list")[1:]]
    assert name in plane.call("databases/list")

    described = plane.call("databases/describe", dbName=name)
    assert type(described.pop("dbID")) is int
    assert described == {
        "dbName": name,
        "properties": [{"key": "database.replica.number", "value": "3"}, {"key": "mmap.enabled", "value": "true"}],
    }

    assert plane.call("databases/drop", dbName=name) == {}
    assert name not in plane.call("databases/list")


def test_a_name_that_is_taken(plane: DataPlane) -> None:
    name = plane.name("db")
    plane.call("databases/create", dbName=name)
    assert plane.error("databases/create", dbName=name) == (
        1100,
        f"database already exist: {name}: invalid parameter",
    )


@pytest.mark.parametrize("name", ["1db", "d b", "d-b", "x" * 256])
def test_bad_names(plane: DataPlane, name: str) -> None:
    code, text = plane.error("databases/create", dbName=name)
    assert code == 802
    assert text.endswith(f": invalid database name[database={name}]")


def test_what_can_not_be_dropped(plane: DataPlane) -> None:
    assert plane.error("databases/drop", dbName="default") == (
        1100,
        "can not drop default database: invalid parameter",
    )
    name = plane.name("db")
    plane.call("databases/create", dbName=name)
    plane.call("collections/create", dbName=name, collectionName="docs", dimension=2)
    assert plane.error("databases/drop", dbName=name) == (
        1100,
        f"database:{name} not empty, must drop all collections before drop database: invalid parameter",
    )
    plane.call("collections/drop", dbName=name, collectionName="docs")
    assert plane.call("databases/drop", dbName=name) == {}


def test_unknown_databases(plane: DataPlane) -> None:
    assert plane.error("databases/describe", dbName="nope") == (800, "database not found[database=nope]")
    assert plane.call("databases/drop", dbName="nope") == {}  # as in Milvus


@pytest.mark.parametrize("action", ["create", "describe", "drop"])
def test_the_header_stands_in_for_no_required_name(plane: DataPlane, action: str) -> None:
    code, text = plane.error(f"databases/{action}", {"DB-Name": "default"}, dbName="")
    assert code == 1802
    assert "Error:Field validation for 'DbName' failed on the 'required' tag" in text


def test_a_body_there_must_be(plane: DataPlane) -> None:
    assert plane.reply("databases/list", b"")["code"] == 1801
    assert plane.reply("databases/list", b"null")["code"] == 0


def test_the_body_names_the_database_else_the_header_does(plane: DataPlane) -> None:
    one, other = plane.name("db"), plane.name("db")
    for each in (one, other):
        plane.call("databases/create", dbName=each)
        plane.call("collections/create", dbName=each, collectionName=f"in_{each}", dimension=2)
    assert plane.call("collections/list", {"DB-Name": one}) == [f"in_{one}"]
    assert plane.call("collections/list", {"DB-Name": one}, dbName=other) == [f"in_{other}"]
    assert plane.call("collections/list", {"DB-Name": one}, dbName="") == [f"in_{one}"]
    assert f"in_{one}" not in plane.call("collections/list")
    assert plane.error("collections/list", dbName="nope") == (800, "database not found[database=nope]")
    assert plane.error("entities/query", {"DB-Name": "nope"}, collectionName="docs")[0] == 800
