"""Search and search iterators of pymilvus's client."""

from __future__ import annotations

from typing import Any

import pytest
from pymilvus import MilvusClient, MilvusException

from tests.support.data_planes import DataPlane


@pytest.fixture(scope="module")
def docs(served: tuple[DataPlane, MilvusClient]) -> str:
    """Twenty rows on a line, found by L2, odd ones red: row i is at ``[i, 0]``; the last ten in a partition."""
    plane, _ = served
    name = plane.quick(2, metricType="L2")
    plane.call("partitions/create", collectionName=name, partitionName="late")
    rows = [{"id": i, "vector": [i, 0], "color": "red" if i % 2 else "blue"} for i in range(20)]
    plane.put(name, rows[:10])
    plane.put(name, rows[10:], partition="late")
    return name


def test_hits_with_and_without_output_fields(client: MilvusClient, docs: str) -> None:
    first, second = client.search(docs, [[4, 0.5], [0, 0]], limit=2)
    assert list(first) == [
        {"id": 4, "distance": 0.25, "entity": {}},
        {"id": 3, "distance": 1.25, "entity": {}},
    ]
    assert [hit["id"] for hit in second] == [0, 1]
    ((hit,),) = client.search(docs, [[4, 0]], limit=1, output_fields=["color", "vector"])
    assert hit == {"id": 4, "distance": 0.0, "entity": {"color": "blue", "vector": [4.0, 0.0]}}
    ((hit,),) = client.search(docs, [[4, 0]], limit=1, output_fields=["*"])
    assert hit["entity"] == {"id": 4, "color": "blue", "vector": [4.0, 0.0]}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"limit": 2, "search_params": {"offset": 3}}, [3, 4]),
        ({"limit": 2, "offset": 3}, [3, 4]),
        ({"limit": 3, "filter": "id in {ids}", "filter_params": {"ids": [5, 6]}}, [5, 6]),
        ({"limit": 2, "partition_names": ["late"]}, [10, 11]),
        ({"limit": 9, "search_params": {"params": {"radius": 5, "range_filter": 1}}}, [1, 2]),
        ({"limit": 9, "search_params": {"metric_type": "L2", "radius": 5, "range_filter": 1}}, [1, 2]),
        ({"limit": 1, "search_params": {"nprobe": 4, "ignore_growing": True, "hints": "iterative_filter"}}, [0]),
        ({"limit": 1, "anns_field": "vector", "consistency_level": "Eventually"}, [0]),
        ({"limit": 2, "filter": "id > 99"}, []),
    ],
)
def test_parameters(client: MilvusClient, docs: str, options: dict[str, Any], expected: list[int]) -> None:
    (hits,) = client.search(docs, [[0, 0]], **options)
    assert [hit["id"] for hit in hits] == expected


def test_by_stored_rows_in_groups_and_rounded(plane: DataPlane, client: MilvusClient) -> None:
    name = plane.collection(
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
        {"fieldName": "book", "dataType": "VarChar", "elementTypeParams": {"max_length": 9}},
    )
    plane.put(name, [{"id": i, "v": [i, 0.1], "book": "aab"[i % 3]} for i in range(12)])
    options: dict[str, Any] = {"search_params": {"metric_type": "L2"}}
    (hits,) = client.search(name, ids=[5], limit=1, **options)
    assert [hit["id"] for hit in hits] == [5]
    (hits,) = client.search(
        name,
        [[0, 0]],
        limit=2,
        group_by_field="book",
        group_size=2,
        strict_group_size=True,
        output_fields=["book"],
        **options,
    )
    assert [(hit["id"], hit["entity"]["book"]) for hit in hits] == [(0, "a"), (1, "a"), (2, "b"), (5, "b")]
    ((hit,),) = client.search(name, [[0, 0]], limit=1, round_decimal=1, **options)
    assert hit["distance"] == 0.0


def test_an_iterator_reads_each_row_once(client: MilvusClient, docs: str) -> None:
    iterator = client.search_iterator(docs, [[0, 0]], batch_size=4, search_params={"metric_type": "L2"})
    ids: list[int] = []
    while page := iterator.next():
        ids += page.ids()
    iterator.close()
    assert ids == list(range(20))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"data": [[1, 2, 3]]}, "vector dimension mismatch, expected vector size(byte) 8, actual 12"),
        ({"data": [b"\x01"]}, "vector type must be the same"),
        ({"search_params": {"metric_type": "IP"}}, "metric type not match: invalid [expected=L2][actual=IP]"),
        ({"filter": "id >"}, "failed to create query plan: cannot parse expression: id >, error: "),
        ({"limit": 20000}, "topk [20000] is invalid, it should be in range [1, 16384], but got 20000"),
        ({"anns_field": "nope"}, "field not found[field=nope]"),
        ({"search_params": {"params": {"n_probe": 1}}}, "did you mean nprobe?"),
        ({"group_by_field": "nope"}, "field not found[field=nope]"),
        ({"data": ["words"]}, "field vector - type FloatVector, search info type VarChar"),
    ],
)
def test_errors(client: MilvusClient, docs: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(MilvusException) as error:
        client.search(**{"collection_name": docs, "data": [[0, 0]], **options})
    assert error.value.code == 1100
    assert text in error.value.message
