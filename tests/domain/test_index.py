"""Which indexes and metrics a field may have."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.index import Bm25Params, IndexSpec, Metric, check_index, default_metric
from penstock.domain.schema import DataType, Field
from penstock.errors import InvalidParameter

VECTOR = Field(name="v", type=DataType.FLOAT_VECTOR, dim=4)
BINARY = Field(name="b", type=DataType.BINARY_VECTOR, dim=8)
SPARSE = Field(name="s", type=DataType.SPARSE_FLOAT_VECTOR)
TERMS = Field(name="t", type=DataType.SPARSE_FLOAT_VECTOR, function_output=True)
TAG = Field(name="tag", type=DataType.VARCHAR, max_length=9)


def check(field: Field, type_name: str = "", metric: str = "") -> IndexSpec:
    return check_index(field, name="i", type_name=type_name, metric=metric, params={})


@pytest.mark.parametrize(
    ("field", "metric"),
    [(VECTOR, Metric.COSINE), (BINARY, Metric.HAMMING), (SPARSE, Metric.IP), (TERMS, Metric.BM25)],
)
def test_an_index_that_says_nothing_is_automatic(field: Field, metric: Metric) -> None:
    assert check(field) == IndexSpec(name="i", field_name=field.name, type="AUTOINDEX", metric=metric)
    assert default_metric(field) is metric


def test_scalar_indexes_have_no_metric() -> None:
    assert check(TAG, "INVERTED") == IndexSpec(name="i", field_name="tag", type="INVERTED")


def test_metrics_are_named_in_any_case() -> None:
    assert check(VECTOR, "HNSW", "l2").metric is Metric.L2


@pytest.mark.parametrize(
    ("field", "type_name"), [(VECTOR, "BTREE"), (BINARY, "HNSW"), (SPARSE, "IVF_FLAT"), (TAG, "HNSW")]
)
def test_a_type_that_the_field_cannot_have(field: Field, type_name: str) -> None:
    with pytest.raises(InvalidParameter, match=f"invalid index type: {type_name}"):
        check(field, type_name, "IP")


@pytest.mark.parametrize(
    ("field", "metric", "kind"), [(VECTOR, "HAMMING", "float"), (BINARY, "L2", "binary"), (SPARSE, "L2", "sparse")]
)
def test_a_metric_that_the_field_cannot_have(field: Field, metric: str, kind: str) -> None:
    with pytest.raises(InvalidParameter, match=f"{kind} vector index does not support metric type: {metric}"):
        check(field, metric=metric)


def test_an_explicit_vector_index_needs_a_metric() -> None:
    with pytest.raises(InvalidParameter, match="metric type not set for vector index"):
        check(VECTOR, "HNSW")


def test_similarities_rise_and_distances_fall() -> None:
    assert {each for each in Metric if each.higher_is_nearer} == {Metric.IP, Metric.COSINE, Metric.BM25}


@pytest.mark.parametrize("spec", [check(VECTOR), check(TAG)])
def test_specs_survive_json(spec: IndexSpec) -> None:
    assert IndexSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    "params",
    [{}, {"nlist": 128}, {"nlist": "128"}, {"M": 16.0, "efConstruction": 200}, {"m": 4, "nbits": 8}, {"other": "x"}],
)
def test_parameters_may_be_numbers_or_text(params: dict[str, Any]) -> None:
    assert check_index(VECTOR, name="i", type_name="HNSW", metric="L2", params=params).params == params


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"nlist": 0}, r"'nlist' \(0\) should be in range \[1, 65536\]"),
        ({"M": "5000"}, r"'M' \(5000\) should be in range \[2, 2048\]"),
        ({"efConstruction": -1}, "'efConstruction'"),
        ({"nlist": "many"}, r"'nlist' \(many\) of the index on v should be a whole number"),
        ({"nlist": True}, "whole number"),
        ({"m": 3}, "dimension: 4, m: 3"),
    ],
)
def test_parameters_out_of_range_are_refused(params: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidParameter, match=told):
        check_index(VECTOR, name="i", type_name="IVF_PQ", metric="L2", params=params)


def bm25(metric: str = "", **params: Any) -> IndexSpec:
    return check_index(TERMS, name="i", type_name="SPARSE_INVERTED_INDEX", metric=metric, params=params)


def test_bm25_is_the_metric_of_a_function_output_only() -> None:
    assert bm25().metric is bm25("bm25").metric is Metric.BM25
    with pytest.raises(InvalidParameter, match="of BM25 function output field must be BM25, got IP"):
        bm25("IP")
    with pytest.raises(InvalidParameter, match="only BM25 Function output field support BM25 metric type"):
        check(SPARSE, metric="BM25")


def test_parameters_of_bm25() -> None:
    assert Bm25Params.of(bm25().params) == Bm25Params(k1=1.2, b=0.75)
    assert Bm25Params.of(bm25(bm25_k1="0", bm25_b=1).params) == Bm25Params(k1=0.0, b=1.0)
    assert Bm25Params.of(bm25(bm25_k1=0, bm25_b="").params) == Bm25Params(k1=0.0, b=0.75)
    for params in ({"bm25_k1": 3.1}, {"bm25_b": -0.1}, {"bm25_b": "x"}, {"bm25_k1": True}, {"bm25_k1": "nan"}):
        with pytest.raises(InvalidParameter, match=f"param '{next(iter(params))}'"):
            bm25(**params)
