"""Conformance: rows past their time to live are hidden from every way of reading, then deleted; no others are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest

from penstock.domain.expiry import Expiry
from penstock.domain.ids import first_id_at
from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import DataType
from penstock.engines.base import MaintainableEngine
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.values import SearchRequest, Table
from penstock.filters import parse
from tests.support.tables import import_rows, new_table, plain, plain_batch, vectors

NOW = -60.0
CUTOFF = 1_000_000
OLD, LATE, NEW = first_id_at(CUTOFF - 2000), first_id_at(CUTOFF - 1000), first_id_at(CUTOFF + 1000)
EXPIRY = Expiry(cutoff=CUTOFF, late=(LATE,))


def ids(engine: MaintainableEngine, table: Table) -> list[int]:
    return keys(engine.query(table, columns=["id"]))


def keys(rows: pa.Table) -> list[int]:
    found: list[Any] = rows["id"].to_pylist()
    return found


def three_jobs(engine: MaintainableEngine, rows: int = 5) -> Table:
    """Rows 0 to 4 are expired, 100 to 104 committed late, 200 to 204 were created after the cutoff."""
    table = new_table(engine)
    for first, job in ((0, OLD), (100, LATE), (200, NEW)):
        table, _ = import_rows(engine, table, plain_batch(vectors(rows), first, first // 100 % 2), job=job)
    return replace(table, expiry=EXPIRY)


VISIBLE = [*range(100, 105), *range(200, 205)]


def test_every_way_of_reading_leaves_expired_rows_out(stored_engine: MaintainableEngine) -> None:
    table = three_jobs(stored_engine)
    assert ids(stored_engine, table) == VISIBLE
    assert ids(stored_engine, replace(table, expiry=replace(EXPIRY, late=()))) == list(range(200, 205))
    assert ids(stored_engine, replace(table, expiry=None)) == [*range(5), *VISIBLE]
    assert stored_engine.query(table, columns=["id"], limit=6, offset=1)["id"].to_pylist() == VISIBLE[1:7]
    assert stored_engine.count(table) == 10
    assert stored_engine.count(table, partitions=[0]) == 5
    condition = parse("id in [1, 101] or id == 2", table.schema)
    assert stored_engine.query(table, filter=condition)["id"].to_pylist() == [101]
    request = SearchRequest(field_name="vector", queries=vectors(5)[[1]], metric=Metric.L2, limit=100)
    [hits] = stored_engine.search(table, request)
    assert sorted(keys(hits.rows)) == VISIBLE


def test_searches_of_sparse_vectors_and_by_jaccard_leave_them_out_too(engine: MaintainableEngine) -> None:
    schema = plain(16, type=DataType.BINARY_VECTOR)
    table = new_table(engine, schema)
    values = np.random.default_rng(0).integers(0, 256, (5, 2)).astype(np.uint8)
    for first, job in ((0, OLD), (100, LATE), (200, NEW)):
        table, _ = import_rows(engine, table, plain_batch(values, first, schema=schema), job=job)
    request = SearchRequest(field_name="vector", queries=values[:1], metric=Metric.JACCARD, limit=100)
    [hits] = engine.search(replace(table, expiry=EXPIRY), request)
    assert sorted(keys(hits.rows)) == VISIBLE


@pytest.mark.usefixtures("tenth_of_the_thresholds")
def test_an_index_finds_as_many_visible_rows_as_are_asked_for(engine: MaintainableEngine) -> None:
    """Most rows near the query are expired: the index must not be left with fewer than the limit."""
    schema, rows = plain(256), 2_000
    values = vectors(2 * rows, 256)
    table = new_table(engine, schema)
    table, _ = import_rows(engine, table, plain_batch(values[:rows], 0, schema=schema), job=OLD)
    table, _ = import_rows(engine, table, plain_batch(values[rows:] + 1, rows, schema=schema), job=NEW)
    version = engine.index(table, [IndexSpec(name="v", field_name="vector", metric=Metric.L2)])
    table = replace(table, version=version, expiry=EXPIRY)
    request = SearchRequest(field_name="vector", queries=values[:2], metric=Metric.L2, limit=50)
    for hits in engine.search(table, request):
        found = keys(hits.rows)
        assert len(found) == 50
        assert min(found) >= rows


def test_expired_rows_are_deleted_and_their_space_comes_back(stored_engine: MaintainableEngine) -> None:
    table = three_jobs(stored_engine)
    table = replace(table, version=stored_engine.remove_expired(table))
    assert stored_engine.count(replace(table, expiry=None)) == 10
    assert stored_engine.remove_expired(table) == table.version
    table = replace(table, version=stored_engine.compact(table))
    assert stored_engine.expire_versions(table, NOW) > 0
    assert ids(stored_engine, replace(table, expiry=None)) == VISIBLE


def test_it_holds_after_a_compaction(engine: MaintainableEngine, tmp_path: Path) -> None:
    table = new_table(engine)
    for number, job in enumerate([OLD, LATE, *range(OLD + 1, OLD + 8), NEW]):
        table, _ = import_rows(engine, table, plain_batch(vectors(5), 5 * number), job=job)
    table = replace(table, version=engine.compact(table), expiry=EXPIRY)
    home = str(tmp_path / "store" / f"{table.id}.lance")
    assert len(lance.dataset(home).get_fragments()) == 1
    visible = [*range(5, 10), *range(45, 50)]
    assert ids(engine, table) == visible
    table = replace(table, version=engine.remove_expired(table))
    assert engine.due(table, []).compaction  # four fifths of the fragment are deleted
    table = replace(table, version=engine.compact(table), expiry=None)
    assert ids(engine, table) == visible
    assert sum(fragment.physical_rows for fragment in lance.dataset(home).get_fragments()) == 10


@pytest.mark.parametrize("when", ["before the delete", "during the delete"])
def test_a_job_that_was_created_long_ago_and_commits_meanwhile_stays(
    engine: MaintainableEngine, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The expiry was read before its intent. A delete that its publish refuses is done again on what is there now."""
    table = three_jobs(engine)
    late = OLD + 1
    published: list[Table] = []

    def publish() -> None:
        if not published:
            published.append(import_rows(engine, table, plain_batch(vectors(5), 300), job=late)[0])

    if when == "before the delete":
        publish()
    else:
        opened: Callable[[TableRoot, str, str], lance.LanceDataset] = TableRoot.latest

        def open_then_publish(self: TableRoot, table_id: str, doing: str) -> lance.LanceDataset:
            dataset = opened(self, table_id, doing)
            if doing.startswith("deleting"):
                publish()
            return dataset

        monkeypatch.setattr(TableRoot, "latest", open_then_publish)
    version = engine.remove_expired(table)
    now = replace(table, version=version, expiry=None)
    assert ids(engine, now) == [*VISIBLE, *range(300, 305)]
