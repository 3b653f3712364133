"""The rows of each file of a job, counted in the table by where its splits have staged them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.domain.jobs import FileRange, Split
from penstock.domain.write_modes import WriteOptions
from penstock.engines.lance import LanceEngine
from penstock.engines.values import Staged, Table
from penstock.imports.row_counts import FileRows, count_rows
from tests.engines.test_write_modes import UPSERT, publish, stage
from tests.support.tables import new_table, plain_batch, vectors

JOB = 1


@pytest.fixture
def engine(tmp_path: Path) -> LanceEngine:
    engine = LanceEngine(str(tmp_path / "store"))
    engine.check()
    return engine


def split(*ranges: tuple[int, int]) -> Split:
    """A staged split of ranges of these files, with so many rows of each."""
    return Split(ordinal=0, ranges=tuple(FileRange(spec={}, size=1, file=file, rows=rows) for file, rows in ranges))


SPLITS = (split((0, 4)), split((0, 2), (1, 1), (2, 0), (3, 3)))
"""File 0 is cut into two ranges, and shares its second split with three small files, of which one has no rows."""


def published(engine: LanceEngine, *, then: int = 0) -> tuple[Table, Sequence[Staged]]:
    """A table with the job of :data:`SPLITS`, with ids from 0 on, and further jobs of five rows."""
    table = new_table(engine)
    staged = stage(engine, table, JOB, plain_batch(vectors(4)), plain_batch(vectors(6), 4))
    table = replace(table, version=engine.publish(table, JOB, 1, staged).version)
    for job in range(then):
        table, _ = publish(engine, table, JOB + 1 + job, WriteOptions(), plain_batch(vectors(5), 100 + 5 * job))
    return table, staged


def counted(engine: LanceEngine, table: Table, staged: Sequence[Staged]) -> list[int | None]:
    files = count_rows(SPLITS, staged, engine, table, engine.job_rows(table, JOB))
    return [files[file].counted for file in range(4)]


def test_rows_are_counted_by_file(engine: LanceEngine) -> None:
    table, staged = published(engine)
    assert counted(engine, table, staged) == [6, 1, 0, 3]
    table, _ = publish(engine, table, 2, UPSERT, plain_batch(vectors(4), 3))  # ids 3 to 6
    assert counted(engine, table, staged) == [3, 0, 0, 3]


def test_a_split_none_of_whose_rows_are_left_has_none(engine: LanceEngine) -> None:
    table, staged = published(engine)
    table, _ = publish(engine, table, 2, UPSERT, plain_batch(vectors(6), 4))
    assert counted(engine, table, staged) == [4, 0, 0, 0]


def test_rows_that_a_compaction_has_joined_are_counted_if_all_are_there(engine: LanceEngine) -> None:
    table, staged = published(engine, then=12)
    table = replace(table, version=engine.compact(table))
    assert engine.staged_rows(table, staged, [[4], [2, 1, 0, 3]]) == [None, None]
    assert counted(engine, table, staged) == [6, 1, 0, 3]
    table, _ = publish(engine, table, 50, UPSERT, plain_batch(vectors(1), 0))
    assert counted(engine, table, staged) == [None, None, 0, None]  # one of them is missing, and it isn't known which


def test_an_engine_that_maintains_its_tables_itself_leaves_the_counts_unknown(engine: LanceEngine) -> None:
    table, staged = published(engine)
    files = count_rows(SPLITS, staged, None, table, None)
    assert [(files[file].imported, files[file].counted) for file in range(4)] == [
        (6, None),
        (1, None),
        (0, None),
        (3, None),
    ]


def test_fewer_rows_are_a_problem_unless_rows_with_the_same_key_are_left_out() -> None:
    fewer, more = FileRows(imported=10, counted=8), FileRows(imported=10, counted=11)
    assert list(fewer.problems("a", leaves_out=False)) == ["file 'a': 8 of its 10 rows are in the collection"]
    assert list(fewer.problems("a", leaves_out=True)) == []
    assert list(more.problems("a", leaves_out=True)) == ["file 'a': 11 of its 10 rows are in the collection"]
    unread = FileRows(imported=10, rejected=2, counted=10, recorded=15)
    assert list(unread.problems("a", leaves_out=False)) == ["file 'a' has 15 rows, 12 were read"]
