"""Conformance: upserts and overwrites replace rows in the job's own transaction; duplicates within a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from penstock.domain.write_modes import Duplicates, WriteMode, WriteOptions
from penstock.engines.base import Engine
from penstock.engines.values import DuplicateKey, Published, Staged, Table
from tests.engines.test_publishing import publish_with_a_warm_engine
from tests.support.racers import Racers
from tests.support.tables import import_rows, new_table, plain_batch, vectors

UPSERT = WriteOptions(mode=WriteMode.UPSERT, duplicates=Duplicates.LAST)
OVERWRITE = WriteOptions(mode=WriteMode.OVERWRITE)


def stage(engine: Engine, table: Table, job: int, *batches: pa.RecordBatch) -> list[Staged]:
    """One split for each batch."""
    return [engine.stage(table, job, iter([batch])) for batch in batches]


def publish(
    engine: Engine, table: Table, job: int, options: WriteOptions, *batches: pa.RecordBatch
) -> tuple[Table, Published]:
    published = engine.publish(table, job, 1, stage(engine, table, job, *batches), options)
    return replace(table, version=published.version), published


def numbered(ids: Sequence[int], number: int, partition: int = 0) -> pa.RecordBatch:
    """Rows with these ids, whose ``number`` is the same."""
    batch = plain_batch(vectors(len(ids)), partitions=partition)
    batch = batch.set_column(0, batch.schema.field(0), pa.array(ids, pa.int64()))
    return batch.set_column(2, batch.schema.field(2), pa.array([number] * len(ids), pa.int64()))


def numbers(engine: Engine, table: Table) -> dict[int, int]:
    """The number of each id; every id is there once."""
    rows = engine.query(table, columns=["number"])
    ids: list[Any] = rows["id"].to_pylist()
    assert len(set(ids)) == len(ids)
    return dict(zip(ids, rows["number"].to_pylist(), strict=True))


def test_an_upsert_replaces_the_rows_with_its_keys_and_adds_the_others(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    table, _ = publish(stored_engine, table, 1, WriteOptions(), numbered(range(6), 1), numbered(range(6, 10), 1))
    table, published = publish(stored_engine, table, 2, UPSERT, numbered([2, 8, 10], 2), numbered([4, 11], 2))
    assert (published.rows, published.replaced) == (5, 3)
    assert numbers(stored_engine, table) == dict.fromkeys(range(12), 1) | dict.fromkeys([2, 4, 8, 10, 11], 2)
    # Replaced rows are gone for the next upsert, too.
    table, published = publish(stored_engine, table, 3, UPSERT, numbered([2, 3], 3))
    assert (published.rows, published.replaced) == (2, 2)
    assert numbers(stored_engine, table)[2] == 3
    assert stored_engine.count(table) == 12


def test_an_upsert_finds_a_key_in_every_partition(engine: Engine) -> None:
    table = new_table(engine)
    table, _ = publish(engine, table, 1, WriteOptions(), numbered([1, 2], 1, partition=7))
    table, published = publish(engine, table, 2, UPSERT, numbered([2, 3], 2, partition=8))
    assert published.replaced == 1
    assert engine.query(table, partitions=[7])["id"].to_pylist() == [1]
    assert engine.query(table, partitions=[8])["id"].to_pylist() == [2, 3]


def test_an_upsert_replaces_all_rows_of_a_key_that_was_appended_twice(engine: Engine) -> None:
    table = new_table(engine)
    for job in (1, 2):
        table, _ = publish(engine, table, job, WriteOptions(), numbered([5], job))
    table, published = publish(engine, table, 3, UPSERT, numbered([5], 3))
    assert published.replaced == 2
    assert numbers(engine, table) == {5: 3}


def test_an_overwrite_replaces_all_rows(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    table, _ = publish(stored_engine, table, 1, WriteOptions(), numbered(range(6), 1), numbered([7], 1, partition=3))
    table, published = publish(stored_engine, table, 2, OVERWRITE, numbered([6, 7], 2))
    assert (published.rows, published.replaced) == (2, 7)
    assert numbers(stored_engine, table) == {6: 2, 7: 2}


def test_an_overwrite_of_a_partition_leaves_the_others(engine: Engine) -> None:
    table = new_table(engine)
    table, _ = publish(engine, table, 1, WriteOptions(), numbered([1, 2], 1, partition=3), numbered([4], 1))
    options = replace(OVERWRITE, partition=3)
    table, published = publish(engine, table, 2, options, numbered([2, 3], 2, partition=3))
    assert published.replaced == 2
    assert numbers(engine, table) == {2: 2, 3: 2, 4: 1}


@pytest.mark.parametrize(
    ("duplicates", "kept"),
    [(Duplicates.FIRST, {1: 10, 2: 10, 3: 20}), (Duplicates.LAST, {1: 30, 2: 10, 3: 20})],
)
def test_of_rows_with_the_same_key_one_is_published(
    stored_engine: Engine, duplicates: Duplicates, kept: dict[int, int]
) -> None:
    table = new_table(stored_engine)
    batches = [numbered([1, 2], 10), numbered([1, 3], 20), numbered([1], 30)]
    options = WriteOptions(duplicates=duplicates)
    table, published = publish(stored_engine, table, 1, options, *batches)
    assert (published.rows, published.replaced) == (3, 0)
    assert numbers(stored_engine, table) == kept


def test_by_default_rows_with_the_same_key_all_stay(engine: Engine) -> None:
    table = new_table(engine)
    table, published = publish(engine, table, 1, WriteOptions(), numbered([1, 1], 1), numbered([1], 2))
    assert published.rows == engine.count(table) == 3


def test_the_first_duplicate_of_a_job_is_found(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    staged = stage(stored_engine, table, 1, numbered([1, 2], 1), numbered([3, 4, 2], 1), numbered([1], 1))
    assert stored_engine.find_duplicate(table, staged) == DuplicateKey(key=2, rows=(1, 4))
    assert stored_engine.find_duplicate(table, staged[:1]) is None


@pytest.mark.slow
def test_a_later_publisher_replaces_what_the_earlier_one_has_added(stored_engine: Engine, racers: Racers) -> None:
    """What a job replaces is computed again on the version that it is committed on."""
    table = new_table(stored_engine)
    for round_ in range(2):
        jobs = [10 * round_ + number for number in (1, 2, 3)]
        calls = [
            (stored_engine, table, job, 1, stage(stored_engine, table, job, numbered(range(20), job)), UPSERT)
            for job in jobs
        ]
        results: list[Published] = racers.run(publish_with_a_warm_engine, calls)
        last = max(results, key=lambda result: result.version)
        table = replace(table, version=last.version)
        assert sorted(result.replaced or 0 for result in results) == ([0, 20, 20] if round_ == 0 else [20, 20, 20])
        winner = jobs[results.index(last)]
        assert numbers(stored_engine, table) == dict.fromkeys(range(20), winner)


def test_a_job_whose_rows_were_all_replaced_is_not_published_again(stored_engine: Engine) -> None:
    """As after a crash between the publish and its record in the catalog."""
    table = new_table(stored_engine)
    staged = stage(stored_engine, table, 1, numbered(range(5), 1))
    first = stored_engine.publish(table, 1, 1, staged)
    later, _ = publish(stored_engine, table, 2, UPSERT, numbered(range(5), 2))
    again = stored_engine.publish(table, 1, 2, staged)
    assert (again.rows, again.replaced) == (first.rows, 0)
    assert numbers(stored_engine, later) == dict.fromkeys(range(5), 2)


def test_publishing_an_upsert_again_changes_nothing(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    table, _ = import_rows(stored_engine, table, plain_batch(vectors(5)), job=1)
    staged = stage(stored_engine, table, 2, numbered([1, 2, 2], 2))
    first = stored_engine.publish(table, 2, 1, staged, UPSERT)
    assert (first.rows, first.replaced) == (2, 2)
    assert stored_engine.publish(table, 2, 2, staged, UPSERT) == first
    assert stored_engine.count(replace(table, version=first.version)) == 5
