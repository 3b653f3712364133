"""Upserts, overwrites and reverts beside indexes, compaction, version expiry and rows past their time to live."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy.typing as npt
import pytest

from penstock.domain.expiry import Expiry
from penstock.domain.ids import new_id
from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import DataType, Field
from penstock.domain.write_modes import WriteOptions
from penstock.engines.base import MaintainableEngine
from penstock.engines.lance.index import build
from penstock.engines.lance.maintenance import compaction
from penstock.engines.values import SearchRequest, Table
from penstock.errors import RevertImpossible
from tests.engines.test_reverting import reversal, revert
from tests.engines.test_write_modes import OVERWRITE, UPSERT, numbered, numbers, publish
from tests.support.tables import new_table, plain, plain_batch, vectors


def ids_near(engine: MaintainableEngine, table: Table, vector: npt.NDArray[Any], limit: int = 5) -> list[Any]:
    request = SearchRequest(field_name="vector", queries=vector[None, :], metric=Metric.L2, limit=limit)
    ids: list[Any] = engine.search(table, request)[0].rows["id"].to_pylist()
    return ids


VECTOR = IndexSpec(name="v", field_name="vector", metric=Metric.L2)
NUMBER = IndexSpec(name="n", field_name="number", type="STL_SORT")
ROWS = 600


def with_job(engine: MaintainableEngine, table: Table, job: int, values: npt.NDArray[Any], **batch: int) -> Table:
    return publish(engine, table, job, WriteOptions(), plain_batch(values, schema=table.schema, **batch))[0]


@pytest.fixture
def every_index(tenth_of_the_thresholds: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes are built and extended for few rows, too."""
    monkeypatch.setattr(build, "MAX_UNINDEXED_ROWS", 0)


@pytest.mark.usefixtures("every_index")
def test_indexes_find_the_rows_of_an_upsert_and_of_its_revert(engine: MaintainableEngine) -> None:
    """Before and after the indexes are brought up to date, and compaction has rewritten what was worn."""
    old, new = vectors(ROWS * 6, 256), vectors(ROWS * 2, 256, seed=1)
    table = new_table(engine, plain(256))
    table = with_job(engine, table, 1, old)
    specs = [VECTOR, NUMBER]
    table = replace(table, version=engine.index(table, specs))
    assert engine.built_rows(table, VECTOR) == ROWS * 6
    upsert = plain_batch(new, 100, schema=table.schema)
    table, published = publish(engine, table, 2, UPSERT, upsert)
    assert published.replaced == ROWS * 2

    def expect(table: Table, *, reverted: bool) -> None:
        assert engine.count(table) == ROWS * 6
        assert 100 + ROWS in ids_near(engine, table, old[100 + ROWS] if reverted else new[ROWS], 1)
        assert 3 in ids_near(engine, table, old[3], 1)
        absent = new[ROWS] if reverted else old[100 + ROWS]
        assert 100 + ROWS not in ids_near(engine, table, absent, 1)

    expect(table, reverted=False)
    table = replace(table, version=engine.index(table, specs))
    expect(table, reverted=False)
    table = replace(table, version=engine.compact(table))
    expect(table, reverted=False)
    table, reverted = revert(engine, table, 2, published)
    assert (reverted.removed, reverted.restored) == (ROWS * 2, ROWS * 2)
    expect(table, reverted=True)
    table = replace(table, version=engine.index(table, specs))
    expect(table, reverted=True)
    table = replace(table, version=engine.compact(table))
    table = replace(table, version=engine.index(table, specs))
    expect(table, reverted=True)
    assert engine.indexed_rows(table, VECTOR) == ROWS * 6


@pytest.mark.usefixtures("every_index")
def test_an_overwritten_table_is_indexed_again(engine: MaintainableEngine) -> None:
    old, new = vectors(ROWS * 2, 768), vectors(ROWS * 2, 768, seed=1)
    table = new_table(engine, plain(768))
    table = with_job(engine, table, 1, old)
    table = replace(table, version=engine.index(table, [VECTOR, NUMBER]))
    table, published = publish(engine, table, 2, OVERWRITE, plain_batch(new, schema=table.schema))
    for _ in range(2):
        assert ids_near(engine, table, new[7], 1) == [7]
        assert engine.count(table) == ROWS * 2
        table = replace(table, version=engine.index(table, [VECTOR, NUMBER]))
    assert engine.built_rows(table, VECTOR) == ROWS * 2
    table, _ = revert(engine, table, 2, published)
    assert ids_near(engine, table, old[7], 1) == [7]


def test_a_revert_after_compaction(stored_engine: MaintainableEngine) -> None:
    table, tables = new_table(stored_engine), []
    for job in range(1, compaction.FEW + 1):
        table, _ = publish(stored_engine, table, job, WriteOptions(), numbered([job], job))
    table, published = publish(stored_engine, table, 100, UPSERT, numbered([2, 4, 50], 100))
    for job in range(101, 101 + compaction.FEW):
        table, _ = publish(stored_engine, table, job, WriteOptions(), numbered([job], job))
        tables.append(table)
    table = replace(table, version=stored_engine.compact(table))
    assert table.version > tables[-1].version, "there was something to compact"
    table, reverted = revert(stored_engine, table, 100, published)
    assert (reverted.removed, reverted.restored) == (3, 2)
    present = {job: job for job in [*range(1, compaction.FEW + 1), *range(101, 101 + compaction.FEW)]}
    assert numbers(stored_engine, table) == present
    table = replace(table, version=stored_engine.compact(table))
    assert numbers(stored_engine, table) == present


def test_replaced_rows_are_kept_as_long_as_their_version(stored_engine: MaintainableEngine) -> None:
    table = new_table(stored_engine)
    table, _ = publish(stored_engine, table, 1, WriteOptions(), numbered(range(5), 1))
    table, published = publish(stored_engine, table, 2, OVERWRITE, numbered([1], 2))
    kept = replace(table, version=published.version - 1)
    stored_engine.expire_versions(kept, -60.0)
    stored_engine.check_revert(table, 2, reversal(published))
    stored_engine.expire_versions(table, -60.0)
    with pytest.raises(RevertImpossible, match="no longer kept"):
        stored_engine.check_revert(table, 2, reversal(published))
    with pytest.raises(RevertImpossible, match="no longer kept"):
        revert(stored_engine, table, 2, published)
    assert numbers(stored_engine, table) == {1: 2}


def test_files_that_a_revert_brought_back_outlive_the_versions_before_it(engine: MaintainableEngine) -> None:
    table = new_table(engine)
    table, _ = publish(engine, table, 1, WriteOptions(), numbered(range(5), 1))
    table, published = publish(engine, table, 2, OVERWRITE, numbered([1], 2))
    table, _ = revert(engine, table, 2, published)
    kept = table.version
    table, _ = publish(engine, table, 3, OVERWRITE, numbered([7], 3))
    # The version of the revert stays, the ones before expire; the newest no longer has these files.
    engine.expire_versions(replace(table, version=kept), -60.0)
    reverted, _ = revert(engine, table, 3, replace(published, version=table.version, rows=1, replaced=5))
    assert numbers(engine, reverted) == dict.fromkeys(range(5), 1)
    engine.expire_versions(reverted, -60.0)
    assert numbers(engine, reverted) == dict.fromkeys(range(5), 1)
    assert engine.orphans(reverted, [], -60.0) is None


def test_expired_rows_are_replaced_but_not_counted(engine: MaintainableEngine) -> None:
    table = new_table(engine)
    old, late, job = new_id(), new_id(), new_id()
    table, _ = publish(engine, table, old, WriteOptions(), numbered([1, 2], 1))
    table, _ = publish(engine, table, late, WriteOptions(), numbered([3], 2))
    # All jobs are from before the cutoff; one has committed after it.
    expiring = replace(table, expiry=Expiry(cutoff=(job >> 18) + 60_000, late=(late,)))
    published = engine.publish(expiring, job, 1, [engine.stage(table, job, iter([numbered([1, 3], 3)]))], UPSERT)
    assert (published.rows, published.replaced) == (2, 1)
    assert numbers(engine, replace(table, version=published.version)) == {1: 3, 2: 1, 3: 3}


def test_restored_rows_have_the_default_of_a_field_that_was_added_since(engine: MaintainableEngine) -> None:
    table = new_table(engine)
    table, _ = publish(engine, table, 1, WriteOptions(), numbered([1, 2], 1))
    table, published = publish(engine, table, 2, UPSERT, numbered([2], 2))
    grade = Field(name="grade", type=DataType.INT64, nullable=True, default=7)
    version = engine.add_field(table, grade)
    schema = replace(table.schema, fields=(*table.schema.fields, grade))
    table, _ = revert(engine, replace(table, schema=schema, version=version), 2, published)
    assert engine.query(table, columns=["grade"])["grade"].to_pylist() == [7, 7]
