"""Query, get, count and query iterators of pymilvus's client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pymilvus import AnnSearchRequest, MilvusClient, MilvusException, RRFRanker

from tests.support.data_planes import DataPlane


@pytest.fixture(scope="module")
def docs(served: tuple[DataPlane, MilvusClient]) -> str:
    """Ten rows, odd ones red, in two partitions."""
    plane, _ = served
    name = plane.quick(2, metricType="L2")
    plane.call("partitions/create", collectionName=name, partitionName="late")
    rows = [{"id": i, "vector": [i, 0], "color": "red" if i % 2 else "blue", "size": i} for i in range(10)]
    plane.put(name, rows[:7])
    plane.put(name, rows[7:], partition="late")
    return name


def test_rows_with_all_fields_or_with_some(client: MilvusClient, docs: str) -> None:
    (row,) = client.query(docs, "id == 3", output_fields=["*"])
    assert row == {"id": 3, "vector": [3.0, 0.0], "color": "red", "size": 3}
    assert list(client.query(docs, "id == 3", output_fields=["color"])) == [{"id": 3, "color": "red"}]
    assert list(client.query(docs, "id == 3", output_fields=["vector"])) == [{"id": 3, "vector": [3.0, 0.0]}]
    assert list(client.query(docs, "id > 99", output_fields=["vector"])) == []


def test_limit_offset_and_partitions(client: MilvusClient, docs: str) -> None:
    def ids(expression: str = "", **options: Any) -> list[int]:
        return [row["id"] for row in client.query(docs, expression, output_fields=["id"], **options)]

    assert ids(limit=3) == [0, 1, 2]
    assert ids(limit=3, offset=8) == [8, 9]
    assert ids("id >= 0") == list(range(10))
    assert ids(limit=10, partition_names=["late"]) == [7, 8, 9]


def test_an_offset_of_zero_needs_no_limit(client: MilvusClient, docs: str) -> None:
    assert len(client.query(docs, "id >= 0", output_fields=["id"], offset=0)) == 10


def test_a_session_reads_the_cluster_that_it_names(client: MilvusClient, docs: str) -> None:
    """``session`` of pymilvus 3 sends the cluster with each read."""
    near, far = client.session("in01-local"), client.session("in02-far")
    request = AnnSearchRequest([[0, 0]], "vector", {}, limit=1)

    def reads(session: Any) -> list[Callable[[], Any]]:
        return [
            lambda: session.query(docs, "id == 3"),
            lambda: session.get(docs, [3]),
            lambda: session.search(docs, [[3, 0]], limit=1)[0],
            lambda: session.hybrid_search(docs, [request], RRFRanker(), limit=1)[0],
            lambda: session.query_iterator(docs, filter="id == 3").next(),
        ]

    assert [len(read()) for read in reads(near)] == [1] * 5
    for read in reads(far):
        with pytest.raises(MilvusException, match="cluster_id is in02-far, but a call reads the cluster of its cred"):
            read()


def test_templates_keys_and_counts(client: MilvusClient, docs: str) -> None:
    rows = client.query(docs, "id in {ids} and color == {color}", filter_params={"ids": [1, 2, 3], "color": "red"})
    assert [row["id"] for row in rows] == [1, 3]
    assert [row["id"] for row in client.get(docs, [5, 4, 77], output_fields=["id"])] == [4, 5]
    assert list(client.query(docs, "id < 4", output_fields=["count(*)"])) == [{"count(*)": 4}]
    assert list(client.query(docs, output_fields=["count(*)"])) == [{"count(*)": 10}]
    with pytest.raises(MilvusException, match="count entities with pagination is not allowed"):
        client.query(docs, output_fields=["count(*)"], limit=3)


@pytest.mark.parametrize(("expression", "expected"), [("", list(range(10))), ("id > 2", list(range(3, 10)))])
def test_an_iterator_reads_each_row_once(
    client: MilvusClient, docs: str, expression: str, expected: list[int]
) -> None:
    iterator = client.query_iterator(docs, batch_size=3, filter=expression, output_fields=["id"])
    ids, batch = [], iterator.next()
    while batch:
        assert len(batch) <= 3
        ids += [row["id"] for row in batch]
        batch = iterator.next()
    iterator.close()
    assert ids == expected


def test_an_iterator_has_all_rows_of_a_key_on_one_page(plane: DataPlane, client: MilvusClient) -> None:
    """Keys that were imported twice are stored twice, and the next page begins behind the last key."""
    name = plane.quick(2)
    keys = [1, 2, 3, 3, 3, 4, 5, 5, 6]
    plane.put(name, [{"id": key, "vector": [i, 1], "place": i} for i, key in enumerate(keys)])
    iterator = client.query_iterator(name, batch_size=4, output_fields=["place"])
    pages = []
    while rows := iterator.next():
        pages.append([row["id"] for row in rows])
    assert pages == [[1, 2], [3, 3, 3, 4], [5, 5, 6]]
    iterator = client.query_iterator(name, batch_size=2)
    assert [row["id"] for row in iterator.next()] == [1, 2]
    with pytest.raises(MilvusException, match=r"at least 3 rows have the primary key 3, .*larger batch_size"):
        iterator.next()


@pytest.mark.parametrize("fields", [None, ["place"]])
def test_a_page_of_one_row_skips_no_rows_with_its_key(
    plane: DataPlane, client: MilvusClient, fields: list[str] | None
) -> None:
    name = plane.quick(2)
    plane.put(name, [{"id": key, "vector": [i, 1], "place": i} for i, key in enumerate([1, 2, 2, 3])])
    iterator = client.query_iterator(name, batch_size=1, output_fields=fields)
    assert [row["id"] for row in iterator.next()] == [1]
    with pytest.raises(MilvusException, match=r"at least 2 rows have the primary key 2, .*larger batch_size"):
        iterator.next()
    iterator = client.query_iterator(name, batch_size=1, filter="id > 1 and place != 1", output_fields=fields)
    assert [iterator.next()[0]["id"] for _ in range(2)] == [2, 3]
    assert not iterator.next()


def test_an_offset_of_an_iterator_skips_whole_keys(plane: DataPlane, client: MilvusClient) -> None:
    """pymilvus reads the rows before it, and goes on behind the last key of these."""
    name = plane.quick(2)
    plane.put(name, [{"id": key, "vector": [i, 1]} for i, key in enumerate([1, 1, 2, 3, 3, 3, 4])])

    def ids(offset: int) -> list[int]:
        iterator = client.query_iterator(name, batch_size=5, output_fields=["id"], offset=offset)
        found = []
        while rows := iterator.next():
            found += [row["id"] for row in rows]
        return found

    assert ids(2) == [2, 3, 3, 3, 4]
    assert ids(3) == [3, 3, 3, 4]
    assert ids(6) == [4]
    assert ids(9) == []
    for within in (1, 4, 5):
        with pytest.raises(MilvusException, match=r"rows have the primary key ., .*or another offset"):
            ids(within)


def test_an_iterator_ends_when_another_collection_has_its_name(plane: DataPlane, client: MilvusClient) -> None:
    name = plane.quick(2)
    plane.put(name, [{"id": i, "vector": [1, 2]} for i in range(9)])
    iterator = client.query_iterator(name, batch_size=3)
    plane.call("collections/drop", collectionName=name)
    plane.call("collections/create", collectionName=name, dimension=2)
    with pytest.raises(MilvusException, match="collection id is not consistent"):
        iterator.next()


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"filter": "id >"}, 1100, "failed to create query plan: cannot parse expression: id >, error: "),
        ({"filter": ""}, 1100, "empty expression should be used with limit"),
        ({"filter": "", "limit": 20000}, 1100, "invalid max query result window, (offset+limit) should be in range"),
        ({"filter": "", "limit": 0}, 1100, "limit [0] is invalid"),
        ({"filter": "id > 1", "partition_names": ["nope"]}, 1100, "nope"),
        ({"filter": "id > 1", "order_by_fields": ["size"]}, 1100, "order_by_fields"),
        ({"filter": "id in {a}"}, 1100, "failed to create query plan: "),
        ({"filter": "id > 1", "offset": 5}, 1100, "offset [5] has no effect without a limit: add one"),
        (
            {"filter": "id > 1", "namespace": "n"},
            1100,
            "namespace of a query is not supported by this server; omit it",
        ),
    ],
)
def test_errors(client: MilvusClient, docs: str, options: dict[str, Any], code: int, text: str) -> None:
    with pytest.raises(MilvusException) as error:
        client.query(docs, **options)
    assert error.value.code == code
    assert text in error.value.message


def test_a_field_that_is_missing_and_a_collection_that_is_missing_or_released(
    plane: DataPlane, client: MilvusClient
) -> None:
    with pytest.raises(MilvusException) as error:
        client.query("nope", "id > 1")
    assert (error.value.code, error.value.message) == (
        100,
        "can't find collection[database=default][collection=nope]",
    )
    name = plane.collection({"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}})
    with pytest.raises(MilvusException, match="field colour not exist") as error:
        client.query(name, "id > 1", output_fields=["colour"])
    assert error.value.code == 1100
    plane.call("collections/release", collectionName=name)
    with pytest.raises(MilvusException, match="collection not loaded") as error:
        client.query(name, "id > 1")
    assert error.value.code == 101
