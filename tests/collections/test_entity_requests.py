"""Requests for rows: their limits, search parameters and query vectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from penstock.collections.entity_requests import (
    MAX_KEYS,
    MAX_WINDOW,
    GetRequest,
    HybridSearchRequest,
    QueryRequest,
    VectorSearchRequest,
)
from penstock.collections.query_vectors import MAX_QUERIES, sparse_vector, vector_from_bytes, vector_from_numbers
from penstock.collections.search_groups import Grouping
from penstock.collections.search_params import SearchParams, search_params
from penstock.domain.schema import DataType, Field
from penstock.errors import InvalidParameter, Unsupported
from tests.collections.conftest import UseCases
from tests.support.tables import vectors


@pytest.mark.parametrize("name", ["count(*)", " COUNT ( * ) "])
def test_a_query_for_the_number_of_rows(cases: UseCases, name: str) -> None:
    docs = cases.put(cases.create(), rows=3)
    request = QueryRequest(output_fields=[name], filter="id < 2")
    assert request.is_count()
    assert cases.entities.count(docs, request) == 2
    with pytest.raises(InvalidParameter, match="with other output fields"):
        QueryRequest(output_fields=[name, "id"]).is_count()
    assert not QueryRequest(output_fields=["id"]).is_count()


def test_limits_of_reading_calls(cases: UseCases) -> None:
    docs = cases.create()
    with pytest.raises(InvalidParameter, match=r"\(offset\+limit\) should be in range \[1, 16384\], but got 16385"):
        cases.entities.query(docs, QueryRequest(limit=MAX_WINDOW, offset=1))
    with pytest.raises(InvalidParameter, match=r"offset \[-1\] is invalid, it should be 0 or more"):
        cases.entities.query(docs, QueryRequest(limit=2, offset=-1))
    with pytest.raises(InvalidParameter, match="at most 65536 ids"):
        cases.entities.get(docs, GetRequest(keys=range(MAX_KEYS + 1)))
    for limit, offset, what in ((0, 0, r"topk \[0\]"), (1, -1, r"offset \[-1\]"), (1, MAX_WINDOW, r"offset\+limit")):
        with pytest.raises(InvalidParameter, match=what):
            cases.searches.search(docs, VectorSearchRequest(queries=vectors(1), limit=limit, offset=offset))
    with pytest.raises(InvalidParameter, match=r"nq \[0\] is invalid"):
        cases.searches.search(docs, VectorSearchRequest(queries=vectors(0), limit=1))


def test_search_parameters_are_merged_and_taken_apart() -> None:
    params = search_params({"metric_type": "L2", "radius": "0.5"}, {"nprobe": 8}, metric="L2")
    assert params == SearchParams(metric="L2", radius=0.5, tuning={"nprobe": 8})
    with pytest.raises(InvalidParameter, match="ambiguous parameter: nprobe"):
        search_params({"nprobe": 8}, {"nprobe": 9})
    with pytest.raises(InvalidParameter, match="metric type should be one string, but got L2, IP"):
        search_params({"metric_type": "IP"}, metric="L2")
    with pytest.raises(InvalidParameter, match="did you mean nprobe"):
        search_params({"nprob": 8})
    grouped = search_params({"group_by_field": "word", "group_size": "3", "strict_group_size": "True"})
    assert grouped.grouping == Grouping(field_name="word", size=3, strict=True)
    assert search_params({"round_decimal": "-1"}) == SearchParams()
    assert search_params({"round_decimal": 2}).round_decimal == 2
    with pytest.raises(Unsupported, match="over gRPC only"):
        search_params({"search_iter_v2": True})
    for radius in ("near", "nan", "1" * 90 + "x"):
        with pytest.raises(InvalidParameter, match="radius should be a number"):
            search_params({"radius": radius})


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(DataType.FLOAT_VECTOR, np.float32), (DataType.FLOAT16_VECTOR, np.float16), (DataType.INT8_VECTOR, np.int8)],
)
def test_query_vectors_from_bytes_and_from_numbers(kind: DataType, dtype: type[np.generic]) -> None:
    field = Field(name="v", type=kind, dim=2)
    from_bytes = vector_from_bytes(np.asarray([1, -2], dtype).tobytes(), field)
    assert from_bytes.dtype == np.float32
    assert from_bytes.tolist() == vector_from_numbers([1, -2.0], field).tolist() == [1, -2]
    with pytest.raises(InvalidParameter, match="dimension: 2, but length of"):
        vector_from_numbers([1, 2, 3], field)
    with pytest.raises(InvalidParameter, match="a list of numbers"):
        vector_from_numbers([True, 1], field)


def test_query_vectors_that_are_refused() -> None:
    floats = Field(name="v", type=DataType.FLOAT_VECTOR, dim=2)
    with pytest.raises(ValueError, match="multiple of element size"):
        vector_from_bytes(b"abc", floats)
    with pytest.raises(InvalidParameter, match="finite numbers only"):
        vector_from_bytes(np.asarray([np.nan, 0], np.float32).tobytes(), floats)
    with pytest.raises(InvalidParameter, match="fit in 32 bits"):
        vector_from_numbers([1e39, 0], floats)
    bits = Field(name="v", type=DataType.BINARY_VECTOR, dim=16)
    assert vector_from_numbers([255, 0], bits).dtype == np.uint8
    with pytest.raises(InvalidParameter, match="whole numbers from 0 to 255"):
        vector_from_numbers([256, 0], bits)


def test_sparse_query_vectors() -> None:
    assert sparse_vector([3, 7], [0.5, 1]) == {3: 0.5, 7: 1.0}
    for indices, values, what in (
        ([1, 1], [1, 2], "must be unique"),
        ([-1], [1], "whole numbers from 0"),
        ([None], [1], "whole numbers from 0"),
        ([1], [float("inf")], "finite"),
    ):
        with pytest.raises(InvalidParameter, match=what):
            sparse_vector(indices, values)


def test_a_hybrid_search_counts_as_the_sum_of_its_searches() -> None:
    search = VectorSearchRequest(limit=1, keys=range(MAX_QUERIES // 2))
    HybridSearchRequest(searches=[search] * 2, limit=1).check()
    with pytest.raises(InvalidParameter, match=rf"nq \[{MAX_QUERIES // 2 * 3}\] is invalid"):
        HybridSearchRequest(searches=[search] * 3, limit=1).check()
    with pytest.raises(InvalidParameter, match="1 to 1024 ann search requests, but got 1025"):
        HybridSearchRequest(searches=[replace(search, keys=[1])] * 1025, limit=1).check()
