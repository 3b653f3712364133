"""Conformance: a job's rows become visible at once, exactly once, whoever publishes at the same time."""

from __future__ import annotations

import pickle
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from penstock.domain.ids import new_id
from penstock.domain.write_modes import APPEND, WriteOptions
from penstock.engines.base import Engine
from penstock.engines.values import Published, Staged, Table
from tests.support.racers import Racers
from tests.support.tables import import_rows, new_table, plain_batch, vectors


def test_publishing_again_changes_nothing(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    job = new_id()
    staged = [stored_engine.stage(table, job, iter([plain_batch(vectors(5), first_id=5 * i)])) for i in range(3)]
    first = stored_engine.publish(table, job, 1, staged)
    assert first.rows == 15
    assert stored_engine.publish(table, job, 2, staged) == first
    # By a process that has just started, and whose catalog knows the version already.
    other: Engine = pickle.loads(pickle.dumps(stored_engine))
    again = other.publish(replace(table, version=first.version), job, 3, staged)
    assert again.rows == 15
    assert other.count(replace(table, version=again.version)) == 15


def test_jobs_of_one_table_add_up(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    for i in range(4):
        table, published = import_rows(stored_engine, table, plain_batch(vectors(5), first_id=5 * i))
        assert published.rows == 5
    assert stored_engine.query(table)["id"].to_pylist() == list(range(20))


def test_staged_before_another_jobs_commit_published_after_it(engine: Engine) -> None:
    table = new_table(engine)
    early = engine.stage(table, 1, iter([plain_batch(vectors(3))]))
    later, _ = import_rows(engine, table, plain_batch(vectors(3), first_id=3), job=2)
    published = engine.publish(table, 1, 1, [early])
    assert engine.count(replace(later, version=published.version)) == 6


def race(racers: Racers, engine: Engine, table: Table, work: list[tuple[int, list[Staged]]]) -> list[Published]:
    """Publish each ``(job, staged)`` in a process of its own, all at the same moment."""
    calls = [(engine, table, job, epoch, staged) for epoch, (job, staged) in enumerate(work, start=1)]
    return racers.run(publish_with_a_warm_engine, calls)


def publish_with_a_warm_engine(
    ready: Callable[[], object],
    engine: Engine,
    table: Table,
    job: int,
    epoch: int,
    staged: list[Staged],
    options: WriteOptions = APPEND,
) -> Published:
    engine.count(table)
    ready()
    return engine.publish(table, job, epoch, staged, options)


def test_processes_that_publish_the_same_job_publish_it_once(stored_engine: Engine, racers: Racers) -> None:
    table = new_table(stored_engine)
    for round_ in range(5):
        staged = [stored_engine.stage(table, 10 + round_, iter([plain_batch(vectors(7), first_id=100 * round_)]))]
        results = race(racers, stored_engine, table, [(10 + round_, staged)] * 3)
        assert len(set(results)) == 1
        assert results[0].rows == 7
        table = replace(table, version=results[0].version)
    ids = Counter(stored_engine.query(table)["id"].to_pylist())
    assert len(ids) == 35
    assert set(ids.values()) == {1}


def test_processes_that_publish_different_jobs_all_get_through(stored_engine: Engine, racers: Racers) -> None:
    table = new_table(stored_engine)
    for round_ in range(5):
        jobs = [10 * round_ + i for i in range(1, 4)]
        work = [
            (job, [stored_engine.stage(table, job, iter([plain_batch(vectors(5), first_id=100 * job)]))])
            for job in jobs
        ]
        results = race(racers, stored_engine, table, work)
        assert len({result.version for result in results}) == 3
        table = replace(table, version=max(result.version for result in results))
        assert stored_engine.count(table) == 15 * (round_ + 1)


def test_threads_of_one_process_publish_and_read_the_same_table(engine: Engine) -> None:
    table = new_table(engine)
    jobs = [(job, engine.stage(table, job, iter([plain_batch(vectors(5), first_id=5 * job)]))) for job in range(12)]
    done = threading.Event()

    def read() -> int:
        looks = 0
        newest = table
        while not done.is_set():
            rows = engine.count(newest)
            assert rows % 5 == 0
            assert len(engine.query(newest, columns=["id"])) >= rows
            newest = replace(newest, version=versions[-1])
            looks += 1
        return looks

    def publish(job: int, staged: Staged) -> None:
        # Again, as after a crash: this looks through what others have committed meanwhile.
        for epoch in (1, 2):
            versions.append(max(versions[-1], engine.publish(table, job, epoch, [staged]).version))

    versions = [table.version]
    with ThreadPoolExecutor(6) as threads:
        reading = [threads.submit(read) for _ in range(3)]
        publishing = [threads.submit(publish, *job) for job in jobs]
        try:
            for each in publishing:
                each.result()
        finally:
            done.set()
        assert all(each.result() for each in reading)
    assert engine.count(replace(table, version=max(versions))) == 60
