"""Vectors are kept in memory for the version that is searched, within a bound, and given up when unused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.domain.deadline import DeadlineExceeded, deadline
from penstock.domain.index import IndexSpec, Metric
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.index import mapping
from penstock.engines.lance.layout import resident_vectors, vector_block
from penstock.engines.lance.layout.resident_vectors import ResidentVectors
from penstock.engines.lance.layout.tables import TableCache
from penstock.engines.lance.read import nearest
from penstock.engines.values import SearchRequest, Table
from tests.support.exact_search import ids
from tests.support.tables import DIM, import_rows, new_table, plain_batch, vectors

MIB = 1 << 20
ROWS = 3000
SPEC = IndexSpec(name="v", field_name="vector", metric=Metric.L2)


def engine_with(folder: Path, size: int = 64 * MIB) -> tuple[LanceEngine, ResidentVectors]:
    caches = TableCache(is_remote=False, vector_bytes=size)
    return LanceEngine(str(folder), caches=caches), caches.vectors


def stored(engine: LanceEngine, rows: int = ROWS) -> Table:
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(rows)))
    return table


def search(engine: LanceEngine, table: Table, times: int = 1, **others: Any) -> list[int]:
    defaults: dict[str, Any] = {"metric": Metric.L2, "limit": 10, "columns": ["word"]}
    request = SearchRequest(field_name="vector", queries=vectors(1, seed=1), **defaults | others)
    for _ in range(times):
        [hits] = engine.search(table, request)
    return ids(hits)


def test_vectors_are_read_by_the_second_search_of_a_version(tmp_path: Path) -> None:
    engine, kept = engine_with(tmp_path)
    table = stored(engine)
    search(engine, table)
    assert kept.size == 0
    search(engine, table)
    assert ROWS * DIM * 4 < kept.size < 3 * ROWS * DIM * 4


def test_a_search_of_vectors_in_memory_reads_nothing(tmp_path: Path) -> None:
    engine, _ = engine_with(tmp_path)
    table = stored(engine)
    search(engine, table, 3)
    dataset = engine._tables.at_least(table, "counting bytes")
    dataset.io_stats_incremental()
    search(engine, table)
    assert dataset.io_stats_incremental().read_iops == 0


def test_a_newer_version_drops_them_and_has_its_own(tmp_path: Path) -> None:
    engine, kept = engine_with(tmp_path)
    table = stored(engine)
    found = search(engine, table, 2)
    newer, _ = import_rows(engine, table, plain_batch(vectors(1, seed=1), ROWS))
    assert search(engine, newer) == [ROWS, *found[:9]]
    assert kept.size == 0
    assert search(engine, newer, 2) == [ROWS, *found[:9]]
    assert kept.size


def test_a_dropped_table_leaves_none(tmp_path: Path) -> None:
    engine, kept = engine_with(tmp_path)
    table = stored(engine)
    search(engine, table, 2)
    engine.drop(table.id)
    assert kept.size == 0


def test_the_least_recently_used_make_room(tmp_path: Path) -> None:
    engine, kept = engine_with(tmp_path)
    tables = [stored(engine) for _ in range(3)]
    search(engine, tables[0], 2)
    kept.limit = int(2.5 * kept.size)
    search(engine, tables[1], 2)
    search(engine, tables[0])
    search(engine, tables[2], 2)
    assert kept.size <= kept.limit
    assert [bool(kept.get((table.id, "vector"), table.version)) for table in tables] == [True, False, True]


@pytest.mark.parametrize("size", [0, ROWS * DIM * 4 - 1, ROWS * DIM * 4 + 1])
def test_vectors_that_do_not_fit_are_searched_where_they_are(tmp_path: Path, size: int) -> None:
    engine, kept = engine_with(tmp_path, size)
    table = stored(engine)
    assert search(engine, table, 4) == search(LanceEngine(str(tmp_path)), table)
    assert kept.size == 0
    assert not kept.is_due((table.id, "vector"), table.version, 1)


def test_those_that_are_not_searched_any_more_are_dropped(tmp_path: Path) -> None:
    engine, kept = engine_with(tmp_path)
    now = [0.0]
    kept._clock = lambda: now[0]
    table, other = stored(engine), stored(engine)
    search(engine, table, 2)
    search(engine, other, 2)
    now[0] = resident_vectors._IDLE_SECONDS - 1
    search(engine, other)
    kept.drop_idle()
    assert kept.get((table.id, "vector"), table.version) is not None
    now[0] += resident_vectors._IDLE_SECONDS - 1
    search(engine, other)
    now[0] += 2
    kept.drop_idle()
    assert kept.get((table.id, "vector"), table.version) is None
    assert kept.get((other.id, "vector"), other.version) is not None


def test_a_large_column_is_read_with_each_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, kept = engine_with(tmp_path)
    table = stored(engine)
    search(engine, table, 2, columns=[])
    size = kept.size
    monkeypatch.setattr(vector_block, "_LEAST_COLUMN_BYTES", 100)
    monkeypatch.setattr(vector_block, "_COLUMN_SHARE", ROWS * DIM)
    assert search(engine, table, 2) == search(LanceEngine(str(tmp_path)), table)
    assert kept.size == size


def test_a_load_that_takes_too_long_leaves_nothing(tmp_path: Path) -> None:
    engine, kept = engine_with(tmp_path)
    table = stored(engine)
    dataset = engine._tables.at_least(table, "testing")
    with deadline(-1), pytest.raises(DeadlineExceeded):
        kept.load((table.id, "vector"), dataset, "id", DIM)
    assert kept.size == 0
    assert kept.load((table.id, "vector"), dataset, "id", DIM) is not None


@pytest.mark.parametrize(
    ("metric", "factor"), [(Metric.L2, 1e30), (Metric.IP, 1e30), (Metric.COSINE, 1e30), (Metric.COSINE, 1e-30)]
)
def test_vectors_without_a_bound_of_rounding_are_compared_by_lance(
    tmp_path: Path, metric: Metric, factor: float
) -> None:
    engine, kept = engine_with(tmp_path)
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(100) * np.float32(factor)))
    for _ in range(3):
        found = search(engine, table, metric=metric)
    assert kept.size
    assert found == search(LanceEngine(str(tmp_path)), table, metric=metric)


def test_an_index_of_many_vectors_is_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, kept = engine_with(tmp_path)
    monkeypatch.setattr(mapping, "LEAST_VECTOR_BYTES", 1)
    table = stored(engine)
    table = replace(table, version=engine.index(table, [SPEC]))
    assert engine.built_rows(table, SPEC) == ROWS
    monkeypatch.setattr(nearest, "RESIDENT_BYTES", ROWS * DIM)
    search(engine, table, 4)
    assert kept.size == 0
    search(engine, table, 4, metric=Metric.IP)  # which the index doesn't serve
    assert kept.size
