"""Conformance: what is staged belongs to its job and nobody sees it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from penstock.domain.ids import new_id
from penstock.engines.base import Engine
from penstock.engines.values import Staged, Table
from penstock.errors import DataError, StorageError
from tests.support.racers import Racers
from tests.support.tables import import_rows, new_table, plain_batch, vectors


def test_staged_rows_are_invisible_until_published(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    staged = stored_engine.stage(table, 7, iter([plain_batch(vectors(10)), plain_batch(vectors(5), first_id=10)]))
    assert staged.rows == 15
    assert staged.size > 15 * 16 * 4
    assert stored_engine.count(table) == 0
    published = stored_engine.publish(table, 7, 1, [staged])
    assert published.rows == 15
    assert stored_engine.count(replace(table, version=published.version)) == 15


def test_no_rows_leave_no_file(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    staged = [stored_engine.stage(table, 7, iter([])), stored_engine.stage(table, 7, iter([plain_batch(vectors(0))]))]
    assert [each.rows for each in staged] == [0, 0]
    published = stored_engine.publish(table, 7, 1, staged)
    assert published.rows == 0
    assert stored_engine.count(replace(table, version=published.version)) == 0


def test_a_discarded_job_leaves_the_others_alone(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    dropped = stored_engine.stage(table, 1, iter([plain_batch(vectors(10))]))
    kept = stored_engine.stage(table, 2, iter([plain_batch(vectors(4))]))
    stored_engine.discard(table.id, [dropped])
    stored_engine.discard(table.id, [dropped])
    published = stored_engine.publish(table, 2, 1, [kept])
    assert stored_engine.count(replace(table, version=published.version)) == 4
    with pytest.raises(StorageError, match="missing"):
        stored_engine.publish(table, 1, 1, [dropped])


def test_the_error_of_a_batch_comes_out_as_it_is(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    error = DataError("the vector is too short", file="a.parquet", row=12)

    def batches() -> Iterator[pa.RecordBatch]:
        yield plain_batch(vectors(100))
        raise error

    with pytest.raises(DataError) as caught:
        stored_engine.stage(table, 7, batches())
    assert caught.value is error
    table, _ = import_rows(stored_engine, table, plain_batch(vectors(3)))
    assert stored_engine.count(table) == 3


def test_a_failed_call_leaves_no_file(engine: Engine, tmp_path: Path) -> None:
    table = new_table(engine)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, 40_000, 1000):
            yield plain_batch(vectors(1000), first_id=start)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.stage(table, 7, batches())
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_batch_of_another_shape_is_refused(engine: Engine) -> None:
    table = new_table(engine)
    batch = plain_batch(vectors(3)).drop_columns(["number"])
    with pytest.raises(StorageError, match="number"):
        engine.stage(table, 7, iter([batch]))


def test_a_dropped_table_takes_no_rows(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    stored_engine.drop(table.id)
    with pytest.raises(StorageError, match="not in the store"):
        stored_engine.stage(table, 7, iter([plain_batch(vectors(3))]))
    assert stored_engine.create(table) == table.version


def stage_in_a_process(ready: Callable[[], object], engine: Engine, table: Table, job: int, first: int) -> Staged:
    ready()
    return engine.stage(table, job, (plain_batch(vectors(500), first_id=first + 500 * i) for i in range(4)))


def test_processes_stage_at_the_same_time(engine: Engine, racers: Racers) -> None:
    table = new_table(engine)
    staged = racers.run(stage_in_a_process, [(engine, table, 7, 2000 * i) for i in range(racers.size)])
    published = engine.publish(table, 7, 1, staged)
    table = replace(table, version=published.version)
    ids = engine.query(table)["id"].to_pylist()
    assert ids == list(range(2000 * racers.size))


def stage_forever(engine: Engine, table: Table) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        while True:
            yield plain_batch(vectors(1000))

    engine.stage(table, 7, batches())


def test_a_killed_writer_leaves_nothing_visible(engine: Engine, tmp_path: Path) -> None:
    table = new_table(engine)
    writer = multiprocessing.get_context("spawn").Process(target=stage_forever, args=(engine, table), daemon=True)
    writer.start()
    deadline = time.monotonic() + 60
    while sum(path.stat().st_size for path in tmp_path.rglob("data/.tmp*")) < 1 << 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    assert engine.count(table) == 0
    table, _ = import_rows(engine, table, plain_batch(vectors(3)), job=new_id())
    assert engine.count(table) == 3
    assert engine.query(table)["id"].to_pylist() == [0, 1, 2]
