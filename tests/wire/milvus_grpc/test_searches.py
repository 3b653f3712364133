"""Search and search iterators of pymilvus's client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymilvus import Collection, MilvusClient, MilvusException, connections
from pymilvus.client.iterator import SearchIteratorV2

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
        ({"limit": 1, "search_params": {"params": {"drop_ratio_build": 0.2}}}, [0]),
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
    rounded = {"metric_type": "L2", "params": {"round_decimal": 1}}
    ((hit,),) = client.search(name, [[0, 0]], limit=1, search_params=rounded)
    assert hit["distance"] == 0.0


def test_groups_of_keys_that_were_imported_twice(plane: DataPlane, client: MilvusClient) -> None:
    name = plane.collection(
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
        {"fieldName": "book", "dataType": "VarChar", "nullable": True, "elementTypeParams": {"max_length": 9}},
        {"fieldName": "page", "dataType": "Int64"},
    )
    books = [None if i % 4 == 3 else "ab"[i % 2] for i in range(12)]
    plane.put(name, [{"id": i // 2, "v": [i, 0], "book": books[i], "page": i} for i in range(12)])

    def groups(**options: Any) -> list[tuple[int, str | None, int]]:
        (hits,) = client.search(
            name,
            [[0, 0]],
            group_by_field="book",
            search_params={"metric_type": "L2"},
            output_fields=["book", "page"],
            **options,
        )
        assert [hit["distance"] for hit in hits] == [hit["entity"]["page"] ** 2 for hit in hits]
        return [(hit["id"], hit["entity"]["book"], hit["entity"]["page"]) for hit in hits]

    assert groups(limit=3) == [(0, "a", 0), (0, "b", 1), (1, None, 3)]
    assert groups(limit=2, offset=1) == [(0, "b", 1), (1, None, 3)]
    strict = groups(limit=2, group_size=3, strict_group_size=True)
    assert strict == [(0, "a", 0), (1, "a", 2), (2, "a", 4), (0, "b", 1), (2, "b", 5), (4, "b", 9)]
    assert groups(limit=1, group_size=2, filter="page > 4") == [(2, "b", 5), (4, "b", 9)]


def test_by_stored_rows(client: MilvusClient, docs: str) -> None:
    options: dict[str, Any] = {"limit": 1, "search_params": {"metric_type": "L2"}}
    assert [hits[0]["id"] for hits in client.search(docs, ids=[7, 3, 7], **options)] == [7, 3, 7]
    with pytest.raises(MilvusException, match=r"primary key IDs do not exist: missing IDs = \[99\]"):
        client.search(docs, ids=[3, 99], **options)
    with pytest.raises(MilvusException, match="ids must be of the type of the primary key: id is Int64"):
        client.search(docs, ids=["three"], **options)


# Iterators


GAPS = [0, 0, 0, 0, 0, 1, 1, 1.5, 40, 40, 9000, 9000, 9000, 9001]


@pytest.fixture(scope="module")
def gaps(served: tuple[DataPlane, MilvusClient]) -> str:
    """Fourteen rows on a line at :data:`GAPS`, found by L2: equal distances and wide gaps."""
    plane, _ = served
    name = plane.quick(2, metricType="L2")
    plane.put(name, [{"id": i, "vector": [place, 0], "place": str(place)} for i, place in enumerate(GAPS)])
    return name


def read(iterator: Any) -> list[list[int]]:
    """The ids of each page."""
    pages = []
    while page := iterator.next():
        pages.append(page.ids())
        assert page.distances() == sorted(page.distances())
    iterator.close()
    return pages


@pytest.mark.parametrize("size", [1, 2, 4, 14, 15])
def test_an_iterator_reads_each_row_once(client: MilvusClient, gaps: str, size: int) -> None:
    iterator = client.search_iterator(gaps, [[0, 0]], batch_size=size)
    assert isinstance(iterator, SearchIteratorV2)
    pages = read(iterator)
    assert [id for page in pages for id in page] == list(range(14))
    assert all(len(page) >= size for page in pages[:-1])


def test_what_an_iterator_takes(client: MilvusClient, gaps: str) -> None:
    def ids(**options: Any) -> list[int]:
        return [id for page in read(client.search_iterator(gaps, [[0, 0]], batch_size=2, **options)) for id in page]

    assert ids(limit=3) == [0, 1, 2]
    assert ids(filter="id > 6 and id < 10") == [7, 8, 9]
    assert ids(search_params={"params": {"radius": 2000, "range_filter": 2}}) == [7, 8, 9]
    assert ids(search_params={"metric_type": "L2", "nprobe": 1}, round_decimal=1) == list(range(14))
    assert ids(external_filter_func=lambda hits: [hit for hit in hits if hit["id"] % 3 == 0]) == [0, 3, 6, 9, 12]
    page = client.search_iterator(gaps, [[9001, 0]], batch_size=1, output_fields=["place"]).next()
    assert page is not None
    assert page[0]["entity"] == {"place": "9001"}


def test_an_iterator_of_sparse_vectors(plane: DataPlane, client: MilvusClient) -> None:
    name = plane.collection({"fieldName": "words", "dataType": "SparseFloatVector"})
    plane.put(name, [{"id": i, "words": {"7": i // 4 + 0.1, str(90 + i): 1}} for i in range(20)])
    iterator = client.search_iterator(name, [{7: 0.3}], batch_size=3)
    ids = []
    while page := iterator.next():
        ids += page.ids()
    assert ids == [4 * four + i for four in reversed(range(5)) for i in range(4)]


older_calls = pytest.mark.filterwarnings("ignore:.*ORM-style:pymilvus.decorators.PyMilvusDeprecationWarning")


@pytest.fixture
def older(plane: DataPlane, gaps: str) -> Iterator[Any]:
    """The collection by the older calls of pymilvus, whose search iterator is that before v2."""
    url = plane.post("collections/list").url
    connections.connect("older", uri=f"http://{url.host}:{url.port}")
    yield Collection(gaps, using="older")
    connections.disconnect("older")


@older_calls
@pytest.mark.parametrize("size", [1, 3, 14])
def test_an_iterator_before_v2_reads_each_row_once(older: Any, size: int) -> None:
    iterator = older.search_iterator([[0, 0]], "vector", {"metric_type": "L2"}, batch_size=size)
    assert not isinstance(iterator, SearchIteratorV2)
    assert [id for page in read(iterator) for id in page] == list(range(14))


@older_calls
def test_an_iterator_before_v2_keeps_to_the_range_of_its_user(older: Any) -> None:
    ranged = {"metric_type": "L2", "params": {"radius": 1601, "range_filter": 2}}
    iterator = older.search_iterator([[0, 0]], "vector", ranged, batch_size=3)
    assert read(iterator) == [[7, 8, 9]]


@older_calls
def test_a_query_iterator_of_the_older_calls(older: Any) -> None:
    iterator = older.query_iterator(batch_size=4, expr="id > 2", output_fields=["place"])
    ids: list[int] = []
    while rows := iterator.next():
        ids += [row["id"] for row in rows]
    assert ids == list(range(3, 14))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"iterator": False}, "both iterator and search_iter_v2 must be set"),
        ({"search_iter_batch_size": ""}, "batch size is required"),
        ({"search_iter_batch_size": 0}, "batch size is invalid, it should be in range [1, 16384], but got 0"),
        ({"search_iter_last_bound": "far"}, "search_iter_last_bound in search_params of an iterator should be a num"),
        ({"search_iter_last_bound": "nan"}, "search_iter_last_bound in search_params of an iterator should be a num"),
        ({"search_iter_last_bound": "1" * 90 + "x"}, "should be a number, but got 1"),
        ({"search_iter_id": "one"}, "invalid token format"),
        ({"search_iter_id": "00000000-0000-0000-0000-000000000000"}, "begin a new iterator"),
        ({"group_by_field": "place"}, "GroupBy is not permitted when using a search iterator"),
        ({"offset": 1}, "Setting an offset is not permitted when using a search iterator v2"),
        ({"data": [[0, 0], [1, 1]]}, "a search iterator takes one query vector, but got 2"),
    ],
)
def test_what_is_no_page_of_an_iterator(plane: DataPlane, client: MilvusClient, options: Any, text: str) -> None:
    name = plane.collection(
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
        {"fieldName": "place", "dataType": "VarChar", "elementTypeParams": {"max_length": 9}},
    )
    page = {"data": [[0, 0]], "iterator": True, "search_iter_v2": True, "search_iter_batch_size": 2}
    with pytest.raises(MilvusException) as error:
        client.search(name, **{**page, **options})
    assert error.value.code == 1100
    assert text in error.value.message


def test_an_iterator_may_repeat_in_params_all_that_it_sends(client: MilvusClient, gaps: str) -> None:
    number = client.describe_collection(gaps)["collection_id"]
    call = {"collection_id": number, "guarantee_timestamp": 0, "iterator": True, "search_iter_v2": True}
    page = {**call, "search_iter_batch_size": 2}
    (hits,) = client.search(gaps, [[0, 0]], search_params={"params": page}, **page)
    assert len(hits) >= 2


# Errors


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
        ({"search_params": {"analyzer_name": "english"}}, "analyzer_name in searchParams is not supported by this"),
        ({"group_by_field": "nope"}, "field not found[field=nope]"),
        ({"data": ["words"]}, "field vector - type FloatVector, search info type VarChar"),
    ],
)
def test_errors(client: MilvusClient, docs: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(MilvusException) as error:
        client.search(**{"collection_name": docs, "data": [[0, 0]], **options})
    assert error.value.code == 1100
    assert text in error.value.message
