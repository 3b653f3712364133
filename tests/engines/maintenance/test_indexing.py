"""Conformance: indexes change how fast an answer comes, never the answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from penstock.domain.index import IndexSpec, Metric
from penstock.engines.base import MaintainableEngine
from penstock.engines.values import Table
from penstock.filters import parse
from tests.support.tables import fixed_lists, import_rows, new_table, plain, plain_batch, vectors

pytestmark = pytest.mark.usefixtures("tenth_of_the_thresholds")

ROWS = 7_000
VECTOR = IndexSpec(name="v", field_name="vector", metric=Metric.L2)
NUMBER = IndexSpec(name="n", field_name="number", type="STL_SORT")
WORD = IndexSpec(name="w", field_name="word", type="BITMAP")


@pytest.fixture(scope="module")
def rows() -> npt.NDArray[np.float32]:
    return vectors(ROWS, 128)


def filled(engine: MaintainableEngine, rows: npt.NDArray[np.float32], first: int = 0) -> Table:
    table = new_table(engine, plain(128))
    parts = [i % 3 for i in range(len(rows))]
    table, _ = import_rows(engine, table, plain_batch(rows, first, parts, table.schema))
    return table


def index(engine: MaintainableEngine, table: Table, *specs: IndexSpec) -> Table:
    return replace(table, version=engine.index(table, specs))


def test_indexing_again_does_nothing(engine: MaintainableEngine, rows: npt.NDArray[np.float32]) -> None:
    table = filled(engine, rows)
    assert engine.indexed_rows(table, VECTOR) == 0
    once = index(engine, table, VECTOR, NUMBER, WORD)
    assert once.version > table.version
    assert index(engine, once, VECTOR, NUMBER, WORD).version == once.version
    for spec in (VECTOR, NUMBER, WORD):
        assert engine.indexed_rows(once, spec) == ROWS


def test_a_small_table_is_searched_exactly_and_counts_as_indexed(engine: MaintainableEngine) -> None:
    table = filled(engine, vectors(100, 128))
    assert index(engine, table, VECTOR, NUMBER).version == table.version
    assert engine.indexed_rows(table, VECTOR) == 100
    empty = new_table(engine)
    assert index(engine, empty, VECTOR, NUMBER).version == empty.version
    assert engine.indexed_rows(empty, VECTOR) == 0


def test_flat_is_no_index(engine: MaintainableEngine, rows: npt.NDArray[np.float32]) -> None:
    table = filled(engine, rows)
    flat = replace(VECTOR, type="FLAT")
    partitions_only = index(engine, table, flat)
    assert index(engine, partitions_only, flat).version == partitions_only.version
    assert engine.indexed_rows(partitions_only, flat) == ROWS


def test_new_rows_join_the_index_when_they_are_many(
    engine: MaintainableEngine, rows: npt.NDArray[np.float32]
) -> None:
    table = index(engine, filled(engine, rows[:6_600]), VECTOR, NUMBER)
    few = plain_batch(rows[:100], 10_000, schema=table.schema)
    table, _ = import_rows(engine, table, few)
    lagging = index(engine, table, VECTOR, NUMBER)
    assert lagging.version == table.version
    assert engine.indexed_rows(lagging, VECTOR) == 6_600
    table, _ = import_rows(engine, lagging, plain_batch(rows[:1_200], 20_000, schema=table.schema))
    table = index(engine, table, VECTOR, NUMBER)
    assert engine.indexed_rows(table, VECTOR) == 7_900
    assert engine.indexed_rows(table, NUMBER) == 7_900


def test_a_spec_that_changes_or_goes_changes_the_index(
    engine: MaintainableEngine, rows: npt.NDArray[np.float32]
) -> None:
    table = index(engine, filled(engine, rows), VECTOR, NUMBER)
    cosine = replace(VECTOR, metric=Metric.COSINE)
    assert engine.indexed_rows(table, cosine) == 0
    table = index(engine, table, cosine)
    assert engine.indexed_rows(table, cosine) == ROWS
    assert engine.indexed_rows(table, NUMBER) == 0
    assert engine.count(table) == ROWS


def test_rows_without_a_vector_count_as_indexed(engine: MaintainableEngine, rows: npt.NDArray[np.float32]) -> None:
    table = new_table(engine, plain(128, nullable=True))
    column = fixed_lists(rows, [i % 2 == 0 for i in range(ROWS)])
    table, _ = import_rows(engine, table, plain_batch(column, schema=table.schema))
    once = index(engine, table, VECTOR)
    assert engine.indexed_rows(once, VECTOR) == ROWS
    assert index(engine, once, VECTOR).version == once.version


@pytest.mark.parametrize(
    "text",
    [
        "number == 3",
        "number != 3",
        "number in [1, 2]",
        "not (number in [1, 2])",
        "number is null",
        "number is not null",
        'word == "word 5"',
        'word != "word 5"',
        'word like "word 5%"',
        "word is null or number == 1",
        "number > 3 and number <= 5",
    ],
)
def test_scalar_indexes_answer_as_scans_do(engine: MaintainableEngine, text: str) -> None:
    values = vectors(1_500)
    table = new_table(engine)
    table, _ = import_rows(engine, table, plain_batch(values, partitions=[i % 3 for i in range(1_500)]))
    condition = parse(text, table.schema)
    before = engine.query(table, filter=condition, partitions=[1, 2])
    assert len(before) > 0
    table = index(engine, table, NUMBER, WORD)
    assert engine.indexed_rows(table, WORD) == 1_500
    assert engine.query(table, filter=condition, partitions=[1, 2]).equals(before)
    late, _ = import_rows(engine, table, plain_batch(values[:100], 2_000, partitions=1))
    assert len(engine.query(late, filter=condition, partitions=[1, 2])) >= len(before)
