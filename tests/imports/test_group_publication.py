"""Jobs that are ready while another one commits are published together; each has its own outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import cast

import pytest

from penstock.domain.write_modes import APPEND, WriteMode, WriteOptions
from penstock.engines.base import Engine
from penstock.engines.values import Publication, Published, Staged, Table
from penstock.errors import PenstockError, StorageError, StorageUnavailable
from penstock.imports.group_publication import GroupPublisher
from tests.support.catalogs import SCHEMA
from tests.support.doubles import MemoryEngine

TABLE = Table(id="t", schema=SCHEMA)


class GroupedEngine(MemoryEngine):
    """``groups`` are the jobs of each commit of several; ``fault`` ends them."""

    def __init__(self) -> None:
        super().__init__()
        self.create(TABLE)
        self.groups: list[list[int]] = []
        self.fault: PenstockError | None = None

    def publish_group(self, table: Table, jobs: Sequence[Publication]) -> Mapping[int, Published | PenstockError]:
        if len(jobs) > 1:
            self.groups.append([job.job_id for job in jobs])
            if self.fault is not None:
                raise self.fault
        return super().publish_group(table, jobs)


def job(number: int, file: str = "") -> Publication:
    staged = [Staged(rows=1, size=1, note={"files": {file: 1}})] if file else []
    return Publication(job_id=number, epoch=1, intent_version=1, staged=staged)


Ask = Callable[..., Future[Published]]


@contextmanager
def while_one_commits(engine: GroupedEngine) -> Iterator[Ask]:
    """Jobs that are asked for within are ready while job 0 is being published."""
    publisher, begun, go = GroupPublisher(), threading.Event(), threading.Event()
    waiting = threading.Semaphore(0)

    def hold(step: str) -> None:
        if step == "publish" and not begun.is_set():
            begun.set()
            assert go.wait(30)

    engine.hook = hold
    with ThreadPoolExecutor(8) as threads:

        def ask(each: Publication, options: WriteOptions = APPEND) -> Future[Published]:
            def publish() -> Published:
                waiting.release()
                return publisher.publish(cast(Engine, engine), TABLE, each, options)

            future = threads.submit(publish)
            waiting.acquire()
            return future

        try:
            ask(job(0))
            assert begun.wait(30)
            yield ask
            time.sleep(0.1)  # between the release above and the queue
        finally:
            go.set()


def test_what_is_ready_meanwhile_is_one_commit() -> None:
    engine = GroupedEngine()
    with while_one_commits(engine) as ask:
        asked = [ask(job(number)) for number in (1, 2, 3)]
    assert [each.result().rows for each in asked] == [0, 0, 0]
    assert [sorted(group) for group in engine.groups] == [[1, 2, 3]]
    assert sorted(engine.visible[TABLE.id]) == [0, 1, 2, 3]


def test_a_commit_waits_for_small_jobs_that_are_expected_and_no_longer() -> None:
    engine, publisher = GroupedEngine(), GroupPublisher()
    for number in (1, 2, 3):
        publisher.expect(TABLE.id, number)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(publisher.publish, cast(Engine, engine), TABLE, job(1), APPEND)
        time.sleep(0.05)
        second = threads.submit(publisher.publish, cast(Engine, engine), TABLE, job(2), APPEND)
        publisher.forget(3)  # it failed
        assert [first.result().rows, second.result().rows] == [0, 0]
    assert engine.groups == [[1, 2]]
    # One that takes long is not waited for.
    publisher.expect(TABLE.id, 4)
    assert publisher.publish(cast(Engine, engine), TABLE, job(5), APPEND).rows == 0
    publisher.forget(4)


def test_the_error_of_one_job_is_its_own() -> None:
    engine = GroupedEngine()
    with while_one_commits(engine) as ask:
        good, bad = ask(job(1)), ask(job(2, file="gone"))
    assert good.result().rows == 0
    with pytest.raises(StorageError, match="gone is missing"):
        bad.result()


def test_jobs_of_a_group_that_fails_are_published_one_by_one() -> None:
    engine = GroupedEngine()
    engine.fault = StorageUnavailable("the store is away")
    with while_one_commits(engine) as ask:
        good, bad = ask(job(1)), ask(job(2, file="gone"))
    assert good.result().rows == 0
    with pytest.raises(StorageError, match="gone is missing"):
        bad.result()
    assert len(engine.groups) == 1


def test_a_job_that_replaces_rows_has_a_commit_of_its_own() -> None:
    engine = GroupedEngine()
    with while_one_commits(engine) as ask:
        upsert = ask(job(1), WriteOptions(mode=WriteMode.UPSERT))
        assert upsert.result(10).rows == 0, "it does not wait for the others"
        ask(job(2))
    assert engine.groups == []
