"""``/v2/vectordb/indexes/…``."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.data_planes import DataPlane

V = {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}}
BITS = {"fieldName": "bits", "dataType": "BinaryVector", "elementTypeParams": {"dim": 16}}
SPARSE = {"fieldName": "sparse", "dataType": "SparseFloatVector"}
WORD = {"fieldName": "word", "dataType": "VarChar", "elementTypeParams": {"max_length": 10}}
JSON = {"fieldName": "j", "dataType": "JSON"}


def make(plane: DataPlane, docs: str, **param: Any) -> Any:
    return plane.call("indexes/create", collectionName=docs, indexParams=[param])


def test_describe(plane: DataPlane) -> None:
    docs = plane.collection(V)
    make(
        plane,
        docs,
        fieldName="v",
        indexName="by_v",
        metricType="L2",
        indexType="HNSW",
        params={"M": 16, "efConstruction": "8"},
    )
    plane.put(docs, [{"id": 1, "v": [1, 2, 3, 4]}])
    assert plane.call("indexes/list", collectionName=docs) == ["by_v"]
    assert plane.call("indexes/describe", collectionName=docs, indexName="by_v", timestamp=0) == [
        {
            "indexName": "by_v",
            "fieldName": "v",
            "indexType": "HNSW",
            "metricType": "L2",
            "totalRows": 1,
            "indexedRows": 1,
            "pendingRows": 0,
            "indexState": "Finished",
            "failReason": "",
            "mmap.enabled": "",
            "indexoffsetcache.enabled": "",
            "warmup": "",
            "minIndexVersion": 0,
            "maxIndexVersion": 0,
            "indexParams": [
                {"key": "index_type", "value": "HNSW"},
                {"key": "metric_type", "value": "L2"},
                {"key": "params", "value": '{"M":16,"efConstruction":"8"}'},
            ],
        }
    ]


def test_parameters_under_the_name_that_the_documentation_of_2_4_has(plane: DataPlane) -> None:
    docs = plane.collection(V)
    config = {"index_type": "IVF_FLAT", "nlist": "1024"}
    make(plane, docs, fieldName="v", indexName="by_v", metricType="L2", indexConfig=config)
    (index,) = plane.call("indexes/describe", collectionName=docs, indexName="by_v")
    assert (index["indexType"], index["indexParams"][2]["value"]) == ("IVF_FLAT", '{"nlist":"1024"}')
    index = {"fieldName": "v", "indexName": "by_v", "metricType": "L2", "indexConfig": config, "params": config}
    code, text = plane.error("indexes/create", collectionName=docs, indexParams=[index])
    assert (code, text.startswith("params and indexConfig of an index are the same")) == (1100, True)


def test_rows_that_are_searched_exactly_are_not_built(plane: DataPlane) -> None:
    docs = plane.collection(V)
    make(plane, docs, fieldName="v", metricType="L2")
    plane.put(docs, [{"id": 1, "v": [1, 2, 3, 4]}])
    (told,) = plane.call("indexes/describe", collectionName=docs, indexName="v", verbose=True)
    assert (told["indexedRows"], told["builtRows"]) == (1, 0)


def test_auto_index_reports_itself_and_the_metric_it_took(plane: DataPlane) -> None:
    (told,) = plane.call("indexes/describe", collectionName=plane.quick(), indexName="vector")
    assert (told["indexType"], told["metricType"], told["totalRows"]) == ("AUTOINDEX", "COSINE", 0)
    assert told["indexParams"] == [
        {"key": "index_type", "value": "AUTOINDEX"},
        {"key": "metric_type", "value": "COSINE"},
    ]


def test_the_state_is_that_of_the_engine(plane: DataPlane) -> None:
    """From 10,000 rows on scalars get an index, and 10,000 may be beside it; who waits for it comes to an end."""
    docs = plane.collection(V)

    def state() -> tuple[str, int, int, int]:
        (told,) = plane.call("indexes/describe", collectionName=docs, indexName="by_id")
        return told["indexState"], told["totalRows"], told["indexedRows"], told["pendingRows"]

    def put(first: int, rows: int) -> None:
        plane.put(docs, ({"id": number, "v": [number, 1, 1, 1]} for number in range(first, first + rows)))

    make(plane, docs, fieldName="id", indexName="by_id", indexType="STL_SORT")
    assert state() == ("Finished", 0, 0, 0)
    put(0, 100)
    assert state() == ("Finished", 100, 100, 0), "too few for an index: searched exactly"
    put(100, 11_900)
    assert state() == ("Unissued", 12_000, 0, 12_000)
    with plane.maintained(docs):
        assert state() == ("InProgress", 12_000, 0, 12_000)
    plane.index(docs)
    assert state() == ("Finished", 12_000, 12_000, 0)
    put(12_000, 5_000)
    assert state() == ("Finished", 17_000, 17_000, 0), "few enough to be searched beside the index"
    put(17_000, 6_000)
    assert state() == ("Unissued", 23_000, 12_000, 11_000)
    plane.index(docs)
    assert state() == ("Finished", 23_000, 23_000, 0)


def test_a_description_has_the_indexes_of_all_vector_fields(plane: DataPlane) -> None:
    docs = plane.collection(V, BITS, SPARSE)
    make(plane, docs, fieldName="bits")
    told = plane.reply("collections/describe", {"collectionName": docs})
    assert told["message"] == "", "the first vector field has none, another has"
    make(plane, docs, fieldName="v")
    make(plane, docs, fieldName="id", indexType="STL_SORT")
    shown = plane.call("collections/describe", collectionName=docs)["indexes"]
    assert [(each["fieldName"], each["metricType"]) for each in shown] == [("bits", "HAMMING"), ("v", "COSINE")]


@pytest.mark.parametrize(
    ("param", "type_name", "metric"),
    [
        ({"fieldName": "v"}, "AUTOINDEX", "COSINE"),
        ({"fieldName": "v", "params": {"index_type": "IVF_FLAT", "nlist": 4, "metric_type": "IP"}}, "IVF_FLAT", "IP"),
        ({"fieldName": "v", "indexType": "DISKANN", "metricType": "l2"}, "DISKANN", "L2"),
        ({"fieldName": "v", "indexType": "GPU_CAGRA", "metricType": "L2"}, "GPU_CAGRA", "L2"),
        ({"fieldName": "v", "params": {"mmap.enabled": True}}, "AUTOINDEX", "COSINE"),
        ({"fieldName": "bits"}, "AUTOINDEX", "HAMMING"),
        ({"fieldName": "bits", "indexType": "BIN_IVF_FLAT", "metricType": "JACCARD"}, "BIN_IVF_FLAT", "JACCARD"),
        ({"fieldName": "sparse", "indexType": "SPARSE_WAND", "metricType": "IP"}, "SPARSE_WAND", "IP"),
        ({"fieldName": "word", "indexType": "Trie"}, "Trie", ""),
        ({"fieldName": "word", "indexType": "INVERTED"}, "INVERTED", ""),
        ({"fieldName": "id", "indexType": "STL_SORT"}, "STL_SORT", ""),
    ],
)
def test_types_and_metrics(plane: DataPlane, param: dict[str, Any], type_name: str, metric: str) -> None:
    docs = plane.collection(V, BITS, SPARSE, WORD)
    make(plane, docs, **param)
    (told,) = plane.call("indexes/describe", collectionName=docs, indexName=param["fieldName"])
    assert (told["indexType"], told["metricType"]) == (type_name, metric)
    if "mmap.enabled" in param.get("params", {}):
        assert told["mmap.enabled"] == "true"


@pytest.mark.parametrize(
    ("param", "code", "text"),
    [
        ({"fieldName": "x"}, 1100, "cannot create index on non-exist field: x: invalid parameter"),
        ({"fieldName": "v", "indexType": "FOO"}, 1100, "invalid index type: FOO: invalid parameter"),
        ({"fieldName": "word", "indexType": "HNSW"}, 1100, "invalid index type: HNSW: invalid parameter"),
        (
            {"fieldName": "v", "metricType": "HAMMING"},
            1100,
            (
                "float vector index does not support metric type: HAMMING: "
                "invalid parameter[expected=valid index params][actual=invalid index params]"
            ),
        ),
        ({"fieldName": "v", "indexType": "HNSW"}, 1100, "metric type not set for vector index: invalid parameter"),
        ({"fieldName": "v", "params": {"nlist": 3}}, 1100, "only metric type can be passed when use AutoIndex"),
        (
            {"fieldName": "sparse", "metricType": "BM25"},
            1100,
            "only BM25 Function output field support BM25 metric type",
        ),
        ({"fieldName": "j", "params": {"json_path": "j['a']"}}, 1100, "indexes on a path of a JSON field"),
        ({}, 1802, "Field validation for 'FieldName' failed on the 'required' tag"),
        ({"fieldName": 3}, 1801, "cannot unmarshal number"),
        ({"fieldName": "v", "params": []}, 1801, "cannot unmarshal array"),
    ],
)
def test_what_is_refused(plane: DataPlane, param: dict[str, Any], code: int, text: str) -> None:
    docs = plane.collection(V, SPARSE, WORD, JSON)
    found, told = plane.error("indexes/create", collectionName=docs, indexParams=[param])
    assert (found, text in told) == (code, True), told
    assert plane.call("indexes/list", collectionName=docs) == []


def test_the_same_again_succeeds_and_another_on_the_field_does_not(plane: DataPlane) -> None:
    docs = plane.collection(V)
    for _ in range(2):
        make(plane, docs, fieldName="v", indexName="a", indexType="HNSW", metricType="L2", params={"M": 16})
    for other in ({"params": {"M": 8}}, {"metricType": "IP"}):
        param = {"fieldName": "v", "indexName": "a", "indexType": "HNSW", "metricType": "L2", **other}
        assert plane.error("indexes/create", collectionName=docs, indexParams=[param]) == (
            1100,
            "at most one distinct index is allowed per field: invalid parameter",
        )
    assert plane.error("indexes/create", collectionName=docs, indexParams=[{"fieldName": "v", "indexName": "b"}]) == (
        1100,
        "CreateIndex failed: creating multiple indexes on same field is not supported: invalid parameter",
    )


def test_indexes_before_a_wrong_one_stay(plane: DataPlane) -> None:
    docs = plane.collection(V, WORD)
    params = [{"fieldName": "word"}, {"fieldName": "x"}, {"fieldName": "v"}]
    assert plane.error("indexes/create", collectionName=docs, indexParams=params)[0] == 1100
    assert plane.call("indexes/list", collectionName=docs) == ["word"]


def test_drop(plane: DataPlane) -> None:
    docs = plane.quick()
    number = plane.call("collections/describe", collectionName=docs)["collectionID"]
    assert plane.call("indexes/drop", collectionName=docs, indexName="nope") == {}
    assert plane.error("indexes/drop", collectionName=docs, indexName="vector") == (
        1100,
        f"vector index cannot be dropped on loaded collection: {number}: invalid parameter",
    )
    plane.call("collections/release", collectionName=docs)
    assert plane.call("indexes/drop", collectionName=docs, indexName="vector") == {}
    assert plane.call("indexes/list", collectionName=docs) == []


@pytest.mark.parametrize("action", ["list", "describe", "create", "drop"])
def test_names_there_must_be(plane: DataPlane, action: str) -> None:
    assert plane.error(f"indexes/{action}", collectionName="nope", indexName="i", indexParams=[]) == (
        100,
        "collection not found[database=default][collection=nope]",
    )
    assert plane.error(f"indexes/{action}")[0] == 1802
    if action != "list":
        assert plane.error(f"indexes/{action}", collectionName="nope")[0] == 1802


def test_an_unknown_index(plane: DataPlane) -> None:
    assert plane.error("indexes/describe", collectionName=plane.quick(), indexName="nope") == (
        700,
        "index not found[indexName=nope]",
    )
