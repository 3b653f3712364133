"""Aliases with pymilvus's client, and aliases where other calls take a collection's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pymilvus import MilvusClient, MilvusException

from tests.support.data_planes import DataPlane


def refusal(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[int, str]:
    with pytest.raises(MilvusException) as error:
        call(*args, **kwargs)
    return error.value.code, error.value.message


def test_create_list_describe_alter_drop(plane: DataPlane, client: MilvusClient) -> None:
    first, second, alias = plane.quick(), plane.quick(), plane.name("alias")
    for _ in range(2):  # one that it has already is fine
        client.create_alias(first, alias)
    assert client.describe_alias(alias) == {"alias": alias, "collection_name": first, "db_name": "default"}
    client.alter_alias(second, alias)
    assert client.list_aliases(first)["aliases"] == []
    assert client.list_aliases(second) == {"aliases": [alias], "collection_name": second, "db_name": "default"}
    assert alias in client.list_aliases()["aliases"]
    for _ in range(2):  # and one that isn't there
        client.drop_alias(alias)
    assert alias not in client.list_aliases()["aliases"]
    assert refusal(client.describe_alias, alias) == (1600, f"alias not found[database=default][alias={alias}]")


def test_an_alias_stands_for_its_collection(plane: DataPlane, client: MilvusClient) -> None:
    docs, alias = plane.quick(), plane.name("alias")
    plane.put(docs, [{"id": number, "vector": [1, number]} for number in range(3)])
    client.create_alias(docs, alias)
    described = client.describe_collection(alias)
    assert (described["collection_name"], described["aliases"]) == (docs, [alias])
    assert client.has_collection(alias)
    assert alias not in client.list_collections()
    assert client.get_collection_stats(alias) == {"row_count": 3}
    assert [row["id"] for row in client.query(alias, "id > 0", output_fields=["id"])] == [1, 2]
    assert [row["id"] for row in client.get(alias, [2], output_fields=["id"])] == [2]
    ((hit,),) = client.search(alias, [[1.0, 2.0]], limit=1)
    assert hit["id"] == 2
    iterator = client.query_iterator(alias, batch_size=2, output_fields=["id"])
    assert [len(iterator.next()) for _ in range(2)] == [2, 1]
    iterator.close()
    client.create_partition(alias, "p")
    assert client.list_partitions(docs) == ["_default", "p"]
    client.release_partitions(alias, ["p"])
    client.load_partitions(alias, ["p"])
    assert client.get_partition_stats(alias, "p")["row_count"] == 0
    assert client.list_indexes(alias) == ["vector"]
    assert client.describe_index(alias, "vector")["total_rows"] == 3
    client.release_collection(alias)
    assert client.get_load_state(alias)["state"].name == "NotLoad"
    client.load_collection(alias)
    assert client.get_load_state(docs)["state"].name == "Loaded"


def test_what_is_refused(plane: DataPlane, client: MilvusClient) -> None:
    docs, other, alias = plane.quick(), plane.quick(), plane.name("alias")
    client.create_alias(docs, alias)
    assert refusal(client.create_alias, other, alias) == (
        1602,
        f"{alias} is alias to another collection: {docs}: alias already exist[database=default][alias={alias}]",
    )
    assert refusal(client.create_alias, docs, other) == (
        1601,
        f"alias and collection name conflict[database=default][alias={other}]",
    )
    assert refusal(client.create_collection, alias, dimension=2)[0] == 1601
    assert refusal(client.alter_alias, docs, "nope") == (1600, "alias not found[database=default][alias=nope]")
    assert refusal(client.create_alias, "nope", "a") == (
        100,
        "collection not found[database=default][collection=nope]",
    )
    assert refusal(client.create_alias, docs, "a-b")[0] == 1100
    assert refusal(client.drop_collection, alias) == (
        1100,
        f"cannot drop the collection via alias = {alias}: invalid parameter",
    )
    assert "it has associated aliases" in refusal(client.drop_collection, docs)[1]
    client.drop_alias(alias)
    client.drop_collection(docs)
