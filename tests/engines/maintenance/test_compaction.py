"""Conformance: compaction changes in how many parts rows lie; rows, indexes and exactly-once stay as they are."""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pytest
from lance.optimize import Compaction

from penstock.domain.index import IndexSpec, Metric
from penstock.engines.base import MaintainableEngine
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.maintenance import compaction
from penstock.engines.lance.maintenance.compaction import FEW
from penstock.engines.values import Published, SearchRequest, Staged, Table
from penstock.errors import StorageConflict
from penstock.filters import parse
from tests.support.racers import Racers
from tests.support.tables import import_rows, new_table, plain, plain_batch, vectors

NOW = -60.0
"""An age that every file has, also on a store whose clock is a little off."""

NUMBER = IndexSpec(name="n", field_name="number", type="STL_SORT")
WORD = IndexSpec(name="w", field_name="word", type="BITMAP")


def many_jobs(engine: MaintainableEngine, table: Table, jobs: int, rows: int = 5, first: int = 0) -> Table:
    for job in range(jobs):
        table, _ = import_rows(engine, table, plain_batch(vectors(rows), first + rows * job, partitions=job % 2))
    return table


def compacted(engine: MaintainableEngine, table: Table) -> Table:
    return replace(table, version=engine.compact(table))


def ids(engine: MaintainableEngine, table: Table) -> list[int]:
    found: list[Any] = engine.query(table, columns=["id"])["id"].to_pylist()
    return found


def opened(folder: Path, table: Table) -> lance.LanceDataset:
    return lance.dataset(str(folder / "store" / f"{table.id}.lance"))


def test_many_small_jobs_become_few_parts(stored_engine: MaintainableEngine) -> None:
    table = many_jobs(stored_engine, new_table(stored_engine), 12)
    before = stored_engine.query(table, columns=["vector", "word", "$meta"])
    assert stored_engine.due(table, []).compaction
    after = compacted(stored_engine, table)
    assert after.version > table.version
    assert stored_engine.query(after, columns=["vector", "word", "$meta"]).equals(before)
    assert stored_engine.count(after, partitions=[1]) == 30
    assert not stored_engine.due(after, []).compaction
    assert stored_engine.compact(after) == after.version


def test_a_few_parts_are_left_as_they_are(engine: MaintainableEngine) -> None:
    table = many_jobs(engine, new_table(engine), 5)
    assert not engine.due(table, []).compaction
    assert engine.compact(table) == table.version


def test_however_many_jobs_come_parts_stay_few_and_rows_are_rewritten_once_per_tier(
    engine: MaintainableEngine, tmp_path: Path
) -> None:
    table = new_table(engine)
    jobs, rewritten = 72, Counter[object]()
    for job in range(jobs):
        table = many_jobs(engine, table, 1, rows=1, first=job)
        if not engine.due(table, []).compaction:
            continue
        before = {fragment.fragment_id for fragment in opened(tmp_path, table).get_fragments()}
        table = compacted(engine, table)
        for fragment in opened(tmp_path, table).get_fragments():
            if fragment.fragment_id not in before:
                rewritten.update(fragment.to_table(columns=["id"])["id"].to_pylist())
    # Tiers of 1 to 7, 8 to 63 and 64 to 511 rows.
    assert max(rewritten.values()) == 2
    assert len(opened(tmp_path, table).get_fragments()) <= 3 * (FEW - 1)
    assert ids(engine, table) == list(range(jobs))


def test_small_parts_between_large_ones_are_joined_and_the_large_ones_left(
    engine: MaintainableEngine, tmp_path: Path
) -> None:
    table = new_table(engine)
    for job in range(FEW):
        table = many_jobs(engine, table, 1, rows=2, first=1000 * job)
        if job < FEW - 1:
            table = many_jobs(engine, table, 1, rows=100, first=1000 * job + 500)
    large = {f.fragment_id for f in opened(tmp_path, table).get_fragments() if f.physical_rows == 100}
    before = engine.query(table, columns=["vector"])
    table = compacted(engine, table)
    fragments = {f.fragment_id: f.physical_rows for f in opened(tmp_path, table).get_fragments()}
    assert fragments.keys() > large
    assert sorted(fragments.values()) == [2 * FEW, *[100] * (FEW - 1)]
    assert engine.query(table, columns=["vector"]).equals(before)


def test_rows_that_compress_well_move_up_a_tier(engine: MaintainableEngine, tmp_path: Path) -> None:
    """Joined equal rows take hardly more bytes than a part of them: by bytes, they would never leave their tier."""
    table = new_table(engine)
    for _ in range(2 * FEW):
        table, _ = import_rows(engine, table, plain_batch(np.zeros((20, 16), np.float32)))
        table = compacted(engine, table)
    assert [f.physical_rows for f in opened(tmp_path, table).get_fragments()] == [160, 160]


def test_large_parts_are_not_written_again(engine: MaintainableEngine, tmp_path: Path) -> None:
    table = new_table(engine, plain(512))
    large = plain_batch(vectors(5_000, 512), schema=table.schema)  # 10 MB, beyond the first class
    table, _ = import_rows(engine, table, large)
    [before] = [file.path for fragment in opened(tmp_path, table).get_fragments() for file in fragment.data_files()]
    for job in range(10):
        table, _ = import_rows(engine, table, plain_batch(vectors(5, 512), 10_000 + 5 * job, schema=table.schema))
    table = compacted(engine, table)
    fragments = opened(tmp_path, table).get_fragments()
    assert len(fragments) == 2
    assert before in {file.path for fragment in fragments for file in fragment.data_files()}


def test_deleted_rows_give_their_space_back(engine: MaintainableEngine, tmp_path: Path) -> None:
    table = new_table(engine)
    for job in range(4):
        batch = plain_batch(vectors(100), 100 * job, [row % 2 for row in range(100)])
        table, _ = import_rows(engine, table, batch)
    table = replace(table, version=engine.remove_partition(table, 1))
    assert engine.due(table, []).compaction
    table = compacted(engine, table)
    assert sum(fragment.physical_rows for fragment in opened(tmp_path, table).get_fragments()) == 200
    assert engine.count(table) == 200
    assert not engine.due(table, []).compaction


@pytest.mark.usefixtures("tenth_of_the_thresholds")
def test_indexes_cover_what_they_covered(engine: MaintainableEngine) -> None:
    schema = plain(128)
    values = vectors(7_000, 128)
    vector = IndexSpec(name="v", field_name="vector", metric=Metric.L2)
    specs = [vector, NUMBER, WORD]
    table = new_table(engine, schema)
    for start in range(0, 6_600, 600):
        batch = plain_batch(values[start : start + 600], start, start // 600 % 2, schema)
        table, _ = import_rows(engine, table, batch)
    table = replace(table, version=engine.index(table, specs))
    for start in range(6_600, 7_000, 40):
        table, _ = import_rows(engine, table, plain_batch(values[start : start + 40], start, 0, schema))
    request = SearchRequest(
        field_name="vector", queries=values[[3, 6_599, 6_999]], metric=Metric.L2, limit=10, columns=["word"]
    )
    condition = parse("number == 3 and word like 'word 1%'", schema)
    covered = [engine.indexed_rows(table, spec) for spec in specs]
    assert covered == [6_600] * 3
    searched, queried = engine.search(table, request), engine.query(table, filter=condition, columns=["word"])
    after = compacted(engine, table)
    assert after.version > table.version
    assert [engine.indexed_rows(after, spec) for spec in specs] == covered
    for one, other in zip(searched, engine.search(after, request), strict=True):
        assert one.rows.equals(other.rows)
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5, atol=1e-5)
    assert engine.query(after, filter=condition, columns=["word"]).equals(queried)
    assert not engine.due(after, specs).index


def a_commit_whose_answer_was_lost(engine: MaintainableEngine, indexed: bool) -> tuple[Table, list[Staged]]:
    """Job 1 is committed as of an intent at the table's version, and the catalog doesn't know; others came after."""
    table = many_jobs(engine, new_table(engine), 3)
    staged = [engine.stage(table, 1, iter([plain_batch(vectors(12_000 if indexed else 7), 100_000)]))]
    engine.publish(table, 1, 1, staged)
    many_jobs(engine, table, 9, first=1_000)
    if indexed:
        engine.index(table, [NUMBER])
        many_jobs(engine, table, 9, first=2_000)
    return table, staged


@pytest.mark.parametrize("indexed", [False, True], ids=["without an index", "with an index"])
@pytest.mark.parametrize("forgotten", [False, True], ids=["with its history", "without its history"])
def test_a_job_is_not_published_again_after_a_compaction(
    engine: MaintainableEngine, indexed: bool, forgotten: bool
) -> None:
    table, staged = a_commit_whose_answer_was_lost(engine, indexed)
    newest = compacted(engine, table)
    rows = engine.count(newest)
    if forgotten:
        assert engine.expire_versions(newest, NOW) > 0
    other: MaintainableEngine = pickle.loads(pickle.dumps(engine))
    published = other.publish(table, 1, 2, staged)
    assert published.rows == staged[0].rows
    assert engine.count(replace(table, version=max(newest.version, published.version))) == rows


def test_what_was_staged_before_a_compaction_is_published_after_it(engine: MaintainableEngine) -> None:
    table = many_jobs(engine, new_table(engine), 9)
    staged = engine.stage(table, 1, iter([plain_batch(vectors(4), 1000)]))
    newest = compacted(engine, table)
    engine.expire_versions(newest, NOW)
    published = engine.publish(table, 1, 1, [staged])
    assert ids(engine, replace(table, version=published.version)) == [*range(45), *range(1000, 1004)]


def test_a_publish_in_the_middle_of_a_compaction_wins(
    engine: MaintainableEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compaction is refused, takes its files away, and finds the new rows when it begins again."""
    table = many_jobs(engine, new_table(engine), 9)
    published = list[Published]()

    class Interrupted:
        plan = Compaction.plan

        @staticmethod
        def commit(*arguments: Any) -> object:
            if not published:
                published.append(import_rows(engine, table, plain_batch(vectors(3), 500))[1])
            return Compaction.commit(*arguments)

    monkeypatch.setattr(compaction, "Compaction", Interrupted)
    after = compacted(engine, table)
    assert ids(engine, after) == [*range(45), 500, 501, 502]
    dataset = opened(tmp_path, after)
    assert len(dataset.get_fragments()) == 1
    assert engine.orphans(after, [], NOW) is None


def publish_many(
    ready: Callable[[], object],
    engine: MaintainableEngine,
    table: Table,
    first: int,
    work: list[tuple[int, list[Staged]]],
) -> int:
    ready()
    for job, staged in work:
        for epoch in (1, 2):  # again, as after a crash
            engine.publish(table, job, epoch, staged)
        time.sleep(0.02)
    return first


def compact_many(
    ready: Callable[[], object],
    engine: MaintainableEngine,
    table: Table,
    rounds: int,
    work: list[tuple[int, list[Staged]]],
) -> int:
    ready()
    done = 0
    for _ in range(rounds):
        try:
            version = engine.compact(table)
            done += version > table.version
            table = replace(table, version=version)
            engine.expire_versions(table, 1.0)
        except StorageConflict:
            time.sleep(0.02)
    return done


def run_either(ready: Callable[[], object], compacts: bool, *arguments: object) -> int:
    return (compact_many if compacts else publish_many)(ready, *arguments)  # type: ignore[arg-type]


def test_processes_publish_while_another_compacts_and_forgets(
    stored_engine: MaintainableEngine, racers: Racers
) -> None:
    table = many_jobs(stored_engine, new_table(stored_engine), 9)
    calls: list[tuple[object, ...]] = [(True, stored_engine, table, 15, [])]
    for racer in (1, 2):
        jobs = range(racer * 100, racer * 100 + 8)
        work = [(job, [stored_engine.stage(table, job, iter([plain_batch(vectors(5), 100 * job)]))]) for job in jobs]
        calls.append((False, stored_engine, table, racer, work))
    racers.run(run_either, calls)
    table = compacted(stored_engine, table)
    counts = Counter(ids(stored_engine, table))
    expected = {100 * (racer * 100 + job) + row for racer in (1, 2) for job in range(8) for row in range(5)}
    assert set(counts) == expected | set(range(45))
    assert set(counts.values()) == {1}


@pytest.mark.usefixtures("tenth_of_the_thresholds")
def test_indexing_compacting_and_publishing_at_once_lose_nothing(engine: MaintainableEngine) -> None:
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(1_100)))

    def keep(rounds: int) -> None:
        other: MaintainableEngine = pickle.loads(pickle.dumps(engine))
        for _ in range(rounds):
            other.index(table, [NUMBER, WORD])
            try:
                other.compact(table)
            except StorageConflict:
                continue

    with ThreadPoolExecutor(1) as keeper:
        keeping = keeper.submit(keep, 6)
        for job in range(30):
            table, _ = import_rows(engine, table, plain_batch(vectors(100), 2_000 + 100 * job))
        keeping.result()
    table = replace(table, version=engine.index(table, [NUMBER, WORD]))
    table = compacted(engine, table)
    assert ids(engine, table) == [*range(1_100), *range(2_000, 5_000)]
    condition = parse("number == 3", table.schema)
    expected = [i for i in ids(engine, table) if i % 10 == 3 and i % 11 != 10]
    assert engine.query(table, filter=condition, columns=["id"])["id"].to_pylist() == expected


def test_a_name_of_the_engines_own(tmp_path: Path) -> None:
    """Two engines on one store, as two processes: each sees what the other compacted."""
    one, other = LanceEngine(str(tmp_path)), LanceEngine(str(tmp_path))
    table = many_jobs(one, new_table(one), 9)
    assert other.count(table) == 45
    assert one.count(compacted(other, table)) == 45
