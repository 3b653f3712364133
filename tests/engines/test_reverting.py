"""Conformance: a revert removes a job's rows and brings back those that it replaced, exactly once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from penstock.domain.write_modes import WriteOptions
from penstock.engines.base import Engine
from penstock.engines.values import Published, Reversal, Reverted, Table
from tests.engines.test_write_modes import OVERWRITE, UPSERT, numbered, numbers, publish
from tests.support.racers import Racers
from tests.support.tables import new_table


def reversal(published: Published, missing: int = 0) -> Reversal:
    return Reversal(published=published, partitions=(0, 1), missing=missing)


def revert(engine: Engine, table: Table, job: int, published: Published, missing: int = 0) -> tuple[Table, Reverted]:
    reverted = engine.revert(table, job, 1, reversal(published, missing))
    assert isinstance(reverted, Reverted)
    return replace(table, version=reverted.version), reverted


def test_an_append_is_reverted_after_later_jobs(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    table, first = publish(stored_engine, table, 1, WriteOptions(), numbered([1, 2], 1), numbered([3], 1))
    table, _ = publish(stored_engine, table, 2, WriteOptions(), numbered([1, 4], 2))
    table, reverted = revert(stored_engine, table, 1, first)
    assert (reverted.removed, reverted.restored) == (3, 0)
    assert numbers(stored_engine, table) == {1: 2, 4: 2}


def test_replaced_rows_come_back(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    table, _ = publish(stored_engine, table, 1, WriteOptions(), numbered(range(6), 1), numbered(range(6, 9), 1))
    table, upserted = publish(stored_engine, table, 2, UPSERT, numbered([2, 7, 20], 2))
    table, _ = publish(stored_engine, table, 3, WriteOptions(), numbered([30], 3))
    table, reverted = revert(stored_engine, table, 2, upserted)
    assert (reverted.removed, reverted.restored) == (3, 2)
    assert numbers(stored_engine, table) == dict.fromkeys(range(9), 1) | {30: 3}
    # They are rows like all others: for upserts, and for the revert of their own job.
    table, again = publish(stored_engine, table, 4, UPSERT, numbered([2, 3], 4))
    assert again.replaced == 2
    assert numbers(stored_engine, table)[2] == 4


def test_an_overwrite_is_reverted(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    table, first = publish(stored_engine, table, 1, WriteOptions(), numbered(range(6), 1), numbered([7], 1))
    table, published = publish(stored_engine, table, 2, OVERWRITE, numbered([1, 9], 2))
    table, reverted = revert(stored_engine, table, 2, published)
    assert (reverted.removed, reverted.restored) == (2, 7)
    assert numbers(stored_engine, table) == dict.fromkeys([*range(6), 7], 1)
    table, reverted = revert(stored_engine, table, 1, first)
    assert (reverted.removed, reverted.restored) == (7, 0)
    assert stored_engine.count(table) == 0


def test_later_jobs_are_reverted_first(engine: Engine) -> None:
    table = new_table(engine)
    table, first = publish(engine, table, 1, WriteOptions(), numbered(range(4), 1))
    table, second = publish(engine, table, 2, UPSERT, numbered([2, 3], 2))
    table, third = publish(engine, table, 3, UPSERT, numbered([3, 5], 3))
    for job, published, missing in ((1, first, 2), (2, second, 1)):
        assert engine.check_revert(table, job, reversal(published)) == missing
        assert engine.revert(table, job, 1, reversal(published)) == missing
    assert numbers(engine, table) == {0: 1, 1: 1, 2: 2, 3: 3, 5: 3}
    table, _ = revert(engine, table, 3, third)
    assert numbers(engine, table) == {0: 1, 1: 1, 2: 2, 3: 2}
    table, _ = revert(engine, table, 2, second)
    assert numbers(engine, table) == dict.fromkeys(range(4), 1)
    table, _ = revert(engine, table, 1, first)
    assert engine.count(table) == 0


def test_rows_of_a_partition_that_was_dropped_since_stay_away(engine: Engine) -> None:
    table = new_table(engine)
    table, _ = publish(engine, table, 1, WriteOptions(), numbered([1], 1, partition=1), numbered([2], 1, partition=5))
    table, published = publish(engine, table, 2, UPSERT, numbered([1, 2], 2))
    table = replace(table, version=engine.remove_partition(table, 5))
    _, reverted = revert(engine, table, 2, published)  # the partitions are 0 and 1
    assert reverted.restored == 1
    assert numbers(engine, replace(table, version=reverted.version)) == {1: 1}


def test_rows_that_went_with_their_partition_do_not_prevent_a_revert(engine: Engine) -> None:
    table = new_table(engine)
    table, published = publish(engine, table, 1, WriteOptions(), numbered([1], 1), numbered([2], 1, partition=1))
    table = replace(table, version=engine.remove_partition(table, 1))
    _, reverted = revert(engine, table, 1, published, missing=1)
    assert reverted.removed == 1


def test_reverting_again_changes_nothing(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    table, _ = publish(stored_engine, table, 1, WriteOptions(), numbered(range(4), 1))
    table, published = publish(stored_engine, table, 2, UPSERT, numbered([2, 9], 2))
    intent, first = table, revert(stored_engine, table, 2, published)[1]
    later, _ = publish(stored_engine, table, 3, UPSERT, numbered([2, 3], 3))
    again = stored_engine.revert(intent, 2, 2, reversal(published))
    assert isinstance(again, Reverted)
    assert (again.removed, again.restored) == (first.removed, first.restored)
    assert numbers(stored_engine, later) == {0: 1, 1: 1, 2: 3, 3: 3}


def revert_with_a_warm_engine(
    ready: Callable[[], object], engine: Engine, table: Table, job: int, epoch: int, published: Published
) -> Reverted | int:
    engine.count(table)
    ready()
    return engine.revert(table, job, epoch, reversal(published))


@pytest.mark.slow
def test_processes_that_revert_the_same_job_revert_it_once(stored_engine: Engine, racers: Racers) -> None:
    table = new_table(stored_engine)
    table, _ = publish(stored_engine, table, 1, WriteOptions(), numbered(range(9), 1))
    table, published = publish(stored_engine, table, 2, UPSERT, numbered(range(5, 15), 2))
    calls = [(stored_engine, table, 2, epoch, published) for epoch in range(3)]
    results = [result for result in racers.run(revert_with_a_warm_engine, calls) if isinstance(result, Reverted)]
    assert len(results) == 3
    assert {(result.removed, result.restored) for result in results} == {(10, 4)}
    newest = max(result.version for result in results)
    assert numbers(stored_engine, replace(table, version=newest)) == dict.fromkeys(range(9), 1)
