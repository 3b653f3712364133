"""Searches of vectors in memory find what Lance's own scan of the table finds, to the last row."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.expiry import Expiry
from penstock.domain.ids import first_id_at
from penstock.domain.index import Metric
from penstock.domain.schema import CollectionSchema, DataType
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.layout.tables import TableCache
from penstock.engines.lance.read import resident_search
from penstock.engines.lance.read.brute_force import paired_distances
from penstock.engines.values import SearchRequest, Table
from penstock.filters import parse
from tests.support.exact_search import ids
from tests.support.examples import examples
from tests.support.tables import fixed_lists, import_rows, new_table, plain, plain_batch, vectors

ROWS_OF_JOBS = (1500, 40, 700)
ROWS = sum(ROWS_OF_JOBS)
MIB = 1 << 20
METRICS = (Metric.L2, Metric.IP, Metric.COSINE)
KINDS = (DataType.FLOAT_VECTOR, DataType.BFLOAT16_VECTOR)
"""What Lance stores as 32-bit floats."""
COLUMNS = ("number", "word", "$meta")
JOBS = tuple(map(first_id_at, (1000, 2000, 3000)))
EXPIRIES = (None, Expiry(cutoff=1500), Expiry(cutoff=2500, late=JOBS[:1]))


@dataclass(frozen=True)
class Case:
    """A table that one engine searches in memory, and another one as Lance does."""

    resident: LanceEngine
    lance: LanceEngine
    table: Table
    rows: npt.NDArray[np.float32]


def engine_in_memory(folder: Path, size: int = 64 * MIB) -> LanceEngine:
    return LanceEngine(str(folder), caches=TableCache(is_remote=False, vector_bytes=size))


def some_rows() -> npt.NDArray[np.float32]:
    """Among others zero vectors, equal ones, and such that only rounding tells apart."""
    rows = vectors(ROWS) * 20
    rows[100:160] = 0
    rows[300:420] = rows[5]
    rows[500:560] = rows[9] * np.linspace(1, 1.00001, 60, dtype=np.float32)[:, None]
    return rows


def import_all(engine: LanceEngine, table: Table, schema: CollectionSchema, rows: npt.NDArray[Any]) -> Table:
    start = 0
    for job, count in zip(JOBS, ROWS_OF_JOBS, strict=True):
        part = range(start, start + count)
        column = fixed_lists(rows[start : start + count], [number % 17 == 3 for number in part])
        batch = plain_batch(column, start, [number % 3 for number in part], schema=schema)
        table, _ = import_rows(engine, table, batch, job=job)
        start += count
    return replace(table, version=engine.remove_partition(table, 1))


@pytest.fixture(scope="module", params=KINDS, ids=[kind.value for kind in KINDS])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("resident")
    lance, schema = LanceEngine(str(folder)), plain(type=request.param, nullable=True)
    rows = some_rows()
    if request.param is DataType.BFLOAT16_VECTOR:
        rows = (rows.view(np.uint32) & 0xFFFF0000).view(np.float32)
    table = import_all(lance, new_table(lance, schema), schema, rows)
    resident = engine_in_memory(folder)
    for _ in range(2):
        resident.search(table, search_of(vectors(1), Metric.L2))
    assert resident._opened.vectors.size
    return Case(resident, lance, table, rows)


def search_of(queries: npt.NDArray[np.float32], metric: Metric, **others: Any) -> SearchRequest:
    return SearchRequest(field_name="vector", queries=queries, metric=metric, **{"limit": 10} | others)


@settings(max_examples=examples(each_run=25, at_length=1500), deadline=None)
@given(data=st.data())
def test_rows_scores_and_columns_are_those_of_a_scan(case: Case, data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 1000))
    queries = vectors(data.draw(st.integers(1, 20)), seed=seed) * 20
    if data.draw(st.booleans()):
        queries[0] = case.rows[data.draw(st.sampled_from([5, 9, 310, 530, ROWS - 1]))]
    schema = case.table.schema
    text = data.draw(st.sampled_from(["", "number == 3", "number < 9", "id == 7", "id < 0", "word like 'word 1%'"]))
    request = search_of(
        queries,
        data.draw(st.sampled_from(METRICS)),
        limit=data.draw(st.sampled_from([1, 2, 10, 100, 3000])),
        offset=data.draw(st.sampled_from([0, 0, 3])),
        filter=parse(text, schema) if text else None,
        partitions=data.draw(st.sampled_from([None, [0], [0, 2], [1], []])),
        columns=COLUMNS,
    )
    expiry = data.draw(st.sampled_from(EXPIRIES))
    check(case, replace(case.table, expiry=expiry), request)


@settings(max_examples=examples(each_run=15, at_length=1000), deadline=None)
@given(data=st.data())
def test_ranges_are_those_of_a_scan(case: Case, data: st.DataObject) -> None:
    metric = data.draw(st.sampled_from(METRICS))
    queries = vectors(3, seed=data.draw(st.integers(0, 1000))) * 20
    whole = case.lance.search(case.table, search_of(queries, metric, limit=ROWS))[0].scores
    near, far = sorted(data.draw(st.tuples(*[st.integers(0, len(whole) - 1)] * 2)))
    # Halfway between two scores: as far as rounding goes either row may be within.
    bounds = [None if place == 0 else (float(whole[place - 1]) + float(whole[place])) / 2 for place in (near, far)]
    limit = data.draw(st.sampled_from([1, 10, ROWS]))
    request = search_of(queries[:1], metric, limit=limit, range_filter=bounds[0], radius=bounds[1])
    check(case, case.table, request)


def check(case: Case, table: Table, request: SearchRequest) -> None:
    """Compare with the distances of all rows that Lance's query finds, and with the scores of Lance's own scan."""
    matching = case.lance.query(table, filter=request.filter, partitions=request.partitions, columns=["vector"])
    keys = matching.filter(matching["vector"].is_valid())["id"].to_numpy()
    by_lance = case.lance.search(table, replace(request, exact=True))
    found = case.resident.search(table, request)
    for mine, theirs, query in zip(found, by_lance, request.queries, strict=True):
        rows = case.rows[keys]
        distances = paired_distances(request.metric, rows, np.repeat(query[None], len(rows), axis=0))
        scores = 1 - distances if request.metric.higher_is_nearer else distances
        order = np.lexsort((keys, distances))
        order = order[[is_within(score, request) for score in scores[order].tolist()]][request.offset :][
            : request.limit
        ]
        assert ids(mine) == keys[order].tolist()
        np.testing.assert_array_equal(mine.scores, scores[order])
        # Of a zero vector Lance's scan has a score by COSINE, an index has none.
        present = np.isfinite(theirs.scores) & (
            case.rows[ids(theirs)].any(axis=1) | (request.metric is not Metric.COSINE)
        )
        count = int(present.sum())
        np.testing.assert_allclose(mine.scores[:count], theirs.scores[present], rtol=1e-4, atol=1e-3)
        if request.columns:
            numbers = [None if key % 11 == 10 else key % 10 for key in ids(mine)]
            assert mine.rows["number"].to_pylist() == numbers
            tags = [json.loads(str(text))["tag"] for text in mine.rows["$meta"].to_pylist()]
            assert tags == [key % 5 for key in ids(mine)]
            assert mine.rows["word"].to_pylist() == [
                None if key % 7 == 6 else f"word {key % 100}" for key in ids(mine)
            ]


def is_within(score: float, request: SearchRequest) -> bool:
    if np.isnan(score):
        return False
    distance, sign = (1 - score, -1) if request.metric.higher_is_nearer else (score, 1)
    lower, below = request.range_filter, request.radius
    offset = 1 if sign == -1 else 0
    return (lower is None or distance >= offset + sign * lower) and (
        below is None or distance < offset + sign * below
    )


def test_a_limit_beyond_the_rows_takes_no_memory(case: Case) -> None:
    request = search_of(vectors(300), Metric.L2, limit=16_384, filter=parse("id < 40", case.table.schema))
    case.resident.search(case.table, request)
    tracemalloc.start()
    hits = case.resident.search(case.table, request)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(hits) == 300
    assert peak < 8 * MIB, "the heap of 300 x 16,384 distances alone would take 20"


@pytest.mark.parametrize("rows", [1, 40_000, 160_001])
def test_a_large_product_is_computed_by_several_threads(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(resident_search, "_processors", lambda: 3)
    block = np.random.default_rng(4).random((rows, 64), dtype=np.float32)
    np.testing.assert_allclose(resident_search._product(block, block[0]), block @ block[0], rtol=1e-5)
