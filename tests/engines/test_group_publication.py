"""Conformance: jobs that are published together are published as each would be alone: exactly once, on their own."""

from __future__ import annotations

import pickle
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from penstock.engines.base import Engine
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.write import publish as publishing
from penstock.engines.lance.write.commit import commit_fragments
from penstock.engines.values import Publication, Published, Reversal, Reverted, Table
from penstock.errors import JobWithdrawn, PenstockError, StorageConflict, StorageError
from tests.support.racers import Racers
from tests.support.tables import new_table, plain_batch, vectors

ROWS = 3


def staged_job(engine: Engine, table: Table, job: int, rows: int = ROWS) -> Publication:
    """A job whose ids begin at a hundred times its own; every other one has its own intent."""
    staged = engine.stage(table, job, iter([plain_batch(vectors(rows), first_id=100 * job)]))
    own_intent = job % 2 == 1
    return Publication(job_id=job, epoch=1, intent_version=table.version, staged=[staged], own_intent=own_intent)


def published(outcome: Published | PenstockError) -> Published:
    assert isinstance(outcome, Published), outcome
    return outcome


def rows_of(outcomes: Mapping[int, Published | PenstockError]) -> dict[int, int]:
    return {job: published(outcome).rows for job, outcome in outcomes.items()}


def rows_by_job(engine: Engine, table: Table) -> Counter[int]:
    ids: list[Any] = engine.query(table, columns=["id"])["id"].to_pylist()
    return Counter(key // 100 for key in ids)


def at(table: Table, outcomes: Sequence[Published]) -> Table:
    return replace(table, version=max([table.version, *(outcome.version for outcome in outcomes)]))


def test_a_group_is_published_once_however_often_it_is_tried(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    jobs = [staged_job(stored_engine, table, job, rows=job) for job in (1, 2, 3)]
    first = rows_of(stored_engine.publish_group(table, jobs))
    assert first == {1: 1, 2: 2, 3: 3}
    # Again: the group, with one more; each alone; by a process that has just started.
    fourth = staged_job(stored_engine, table, 4)
    again = stored_engine.publish_group(table, [*jobs, fourth])
    assert rows_of(again) == first | {4: ROWS}
    other: Engine = pickle.loads(pickle.dumps(stored_engine))
    for job in jobs:
        assert other.publish(table, job.job_id, 2, job.staged).rows == first[job.job_id]
    table = at(table, [published(outcome) for outcome in again.values()])
    assert rows_by_job(stored_engine, table) == {1: 1, 2: 2, 3: 3, 4: ROWS}


def test_a_group_is_one_version(lance_on_a_disk: LanceEngine) -> None:
    table = new_table(lance_on_a_disk)
    jobs = [staged_job(lance_on_a_disk, table, job) for job in range(1, 6)]
    outcomes = lance_on_a_disk.publish_group(table, jobs)
    assert {published(outcome).version for outcome in outcomes.values()} == {table.version + 1}


def test_a_job_without_rows_takes_no_part(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    empty = Publication(job_id=2, epoch=1, intent_version=table.version, staged=[])
    outcomes = stored_engine.publish_group(table, [staged_job(stored_engine, table, 1), empty])
    assert [published(outcomes[job]).rows for job in (1, 2)] == [ROWS, 0]


def test_the_missing_file_of_one_job_concerns_no_other(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    jobs = [staged_job(stored_engine, table, job) for job in (1, 2, 3)]
    stored_engine.discard(table.id, jobs[1].staged)
    outcomes = stored_engine.publish_group(table, jobs)
    assert isinstance(outcomes[2], StorageError)
    assert "missing" in str(outcomes[2])
    table = at(table, [published(outcomes[1]), published(outcomes[3])])
    assert rows_by_job(stored_engine, table) == {1: ROWS, 3: ROWS}


def test_a_withdrawn_job_stays_out_of_its_group_until_its_next_intent(engine: Engine) -> None:
    table = new_table(engine)
    jobs = [staged_job(engine, table, job) for job in (1, 2, 3)]
    withdrawn = engine.withdraw(table, 2, 1, jobs[1].staged)
    assert isinstance(withdrawn, int)
    outcomes = engine.publish_group(table, jobs)
    assert isinstance(outcomes[2], JobWithdrawn)
    table = at(table, [published(outcomes[1]), published(outcomes[3])])
    assert rows_by_job(engine, table) == {1: ROWS, 3: ROWS}


def test_the_intent_of_each_job_counts_for_itself(lance_on_a_disk: LanceEngine) -> None:
    """A job that was withdrawn and retried is published, beside one whose intent is older than the withdrawal."""
    engine = lance_on_a_disk
    table = new_table(engine)
    older, retried = staged_job(engine, table, 1), staged_job(engine, table, 2)
    withdrawn = engine.withdraw(table, 2, 1, retried.staged)
    assert isinstance(withdrawn, int)
    outcomes = engine.publish_group(table, [older, replace(retried, epoch=3, intent_version=withdrawn)])
    table = at(table, [published(outcome) for outcome in outcomes.values()])
    assert rows_by_job(engine, table) == {1: ROWS, 2: ROWS}


def test_one_job_of_a_version_is_reverted_alone(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    jobs = [staged_job(stored_engine, table, job) for job in (1, 2, 3)]
    outcomes = stored_engine.publish_group(table, jobs)
    reversal = Reversal(published=published(outcomes[2]), partitions=[0])
    table = at(table, [published(outcome) for outcome in outcomes.values()])
    assert stored_engine.check_revert(table, 2, reversal) == 0
    reverted = stored_engine.revert(table, 2, 1, reversal)
    assert isinstance(reverted, Reverted)
    assert (reverted.removed, reverted.restored) == (ROWS, 0)
    assert rows_by_job(stored_engine, replace(table, version=reverted.version)) == {1: ROWS, 3: ROWS}


def test_jobs_are_found_by_their_rows_once_the_versions_are_gone(lance_on_a_disk: LanceEngine) -> None:
    engine = lance_on_a_disk
    table = new_table(engine)
    jobs = [staged_job(engine, table, job) for job in (1, 2)]
    first = engine.publish_group(table, jobs)
    later = at(table, [published(outcome) for outcome in first.values()])
    (more,) = engine.publish_group(later, [staged_job(engine, later, 3)]).values()
    later = at(later, [published(more)])
    engine.expire_versions(later, 0)
    again = engine.publish_group(table, [*jobs, staged_job(engine, later, 4)])
    later = at(later, [published(outcome) for outcome in again.values()])
    assert rows_by_job(engine, later) == {1: ROWS, 2: ROWS, 3: ROWS, 4: ROWS}


def publish_a_group(
    ready: Callable[[], object], engine: Engine, table: Table, jobs: Sequence[Publication]
) -> dict[int, Published | PenstockError]:
    engine.count(table)
    ready()
    return dict(engine.publish_group(table, jobs))


def test_processes_whose_groups_overlap_publish_each_job_once(stored_engine: Engine, racers: Racers) -> None:
    table = new_table(stored_engine)
    for round_ in range(3):
        jobs = [staged_job(stored_engine, table, 10 * round_ + job) for job in range(1, 5)]
        calls = [(stored_engine, table, group) for group in (jobs[:3], jobs[1:], jobs[::-1])]
        results = racers.run(publish_a_group, calls)
        for job in jobs:
            rows = {published(result[job.job_id]).rows for result in results if job.job_id in result}
            assert rows == {ROWS}
        table = at(table, [published(outcome) for result in results for outcome in result.values()])
    assert set(rows_by_job(stored_engine, table).values()) == {ROWS}
    assert len(rows_by_job(stored_engine, table)) == 12


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_groups_and_deaths_publishes_each_job_once(
    lance_on_a_disk: LanceEngine, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Jobs are tried alone and in groups; the commit fails before or after it is made, or another one is first."""
    chance, engine = random.Random(seed), lance_on_a_disk
    table = first = new_table(engine)
    jobs = {job: staged_job(engine, table, job, rows=1 + job % 3) for job in range(1, 9)}
    reverted: set[int] = set()
    known: dict[int, Published] = {}
    commit = commit_fragments
    fault = ""

    def faulty(*arguments: Any) -> int:
        nonlocal fault
        now, fault = fault, ""
        if now == "before":
            raise StorageError("the process dies")
        if now == "conflict":
            other = chance.choice(sorted(jobs))
            if other not in reverted:
                engine.publish(first, other, 7, jobs[other].staged)
            raise StorageConflict("another commit was first")
        version = commit(*arguments)
        if now == "after":
            raise StorageError("its response is lost")
        return version

    monkeypatch.setattr(publishing, "commit_fragments", faulty)
    for _ in range(14):
        fault = chance.choice(["", "before", "after", "conflict"])
        group = [jobs[job] for job in chance.sample(sorted(jobs), chance.randint(1, 4)) if job not in reverted]
        try:
            outcomes = engine.publish_group(first, group) if group else {}
        except StorageError:
            outcomes = {}
        for job, outcome in outcomes.items():
            assert known.setdefault(job, published(outcome)) == outcome, "a job was published twice"
        table = at(table, [published(outcome) for outcome in outcomes.values()])
        if known and chance.random() < 0.2 and (job := chance.choice(sorted(known))) not in reverted:
            result = engine.revert(table, job, 1, Reversal(published=known[job], partitions=[0]))
            assert isinstance(result, Reverted)
            table = replace(table, version=result.version)
            reverted.add(job)
    fault = ""
    outcomes = engine.publish_group(first, [job for number, job in jobs.items() if number not in reverted])
    table = at(table, [published(outcome) for outcome in outcomes.values()])
    assert rows_by_job(engine, table) == {job: each.rows for job, each in jobs.items() if job not in reverted}
