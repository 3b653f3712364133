"""Conformance: count and query."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.engines.base import Engine
from penstock.engines.values import Table
from penstock.errors import InvalidParameter
from penstock.filters import parse
from tests.support.tables import DIM, fixed_lists, import_rows, new_table, plain_batch, vectors

ROWS = 500


@pytest.fixture(scope="module")
def engine(module_engine: Engine) -> Engine:
    return module_engine


@pytest.fixture(scope="module")
def table(engine: Engine) -> Table:
    """Rows 0 to 499 out of order, in two jobs; every fourth in partition 1."""
    rows = plain_batch(vectors(ROWS), partitions=[int(i % 4 == 0) for i in range(ROWS)])
    shuffled = rows.take(np.random.default_rng(0).permutation(ROWS))
    table, _ = import_rows(engine, new_table(engine), shuffled.slice(0, 200))
    table, _ = import_rows(engine, table, shuffled.slice(200))
    return table


def test_rows_come_in_order_of_their_keys(engine: Engine, table: Table) -> None:
    everything = pa.table(plain_batch(vectors(ROWS)))
    names = ["id", "vector", "number", "word"]
    assert engine.query(table, columns=names).equals(everything.select(names))
    assert engine.query(table, columns=names, limit=30).equals(everything.select(names).slice(0, 30))
    assert engine.query(table, columns=names, limit=30, offset=480).equals(everything.select(names).slice(480))
    assert len(engine.query(table, columns=names, limit=30, offset=500)) == 0
    assert engine.query(table, columns=names, offset=490).equals(everything.select(names).slice(490))


def test_without_columns_there_is_the_primary_key(engine: Engine, table: Table) -> None:
    assert engine.query(table, limit=2).to_pydict() == {"id": [0, 1]}
    assert engine.query(table).schema.names == ["id"]


def test_columns_come_as_asked_after_the_key(engine: Engine, table: Table) -> None:
    rows = engine.query(table, columns=["word", META_FIELD, "id", "word"], limit=1)
    assert rows.schema.names == ["id", "word", META_FIELD]
    assert rows.schema.field("word").type == pa.string()
    [row] = rows.to_pylist()
    assert row | {META_FIELD: json.loads(row[META_FIELD])} == {"id": 0, "word": "word 0", META_FIELD: {"tag": 0}}


def test_partitions(engine: Engine, table: Table) -> None:
    assert engine.count(table, partitions=[1]) == 125
    assert engine.count(table, partitions=[0, 1]) == ROWS
    assert engine.count(table, partitions=[2]) == 0
    assert engine.count(table, partitions=[]) == 0
    assert engine.query(table, partitions=[1], limit=3)["id"].to_pylist() == [0, 4, 8]
    assert len(engine.query(table, partitions=[])) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", range(ROWS)),
        ("id in [7, 3, 900]", [3, 7]),
        ("number == 3 and id < 40", [3, 13, 23, 33]),
        ('word == "word 5"', [5, 105, 205, 305, 405]),
        ("number is null and id < 40", [10, 21, 32]),
        ('word like "word 4%" and id < 50', [4, *range(40, 48), 49]),
        ("tag == 4 and id < 20", [4, 9, 14, 19]),
        ("id < 0", []),
    ],
)
def test_filters(engine: Engine, table: Table, text: str, expected: list[int]) -> None:
    found = parse(text, table.schema)
    wanted = [i for i in expected if "word" not in text or i % 7 != 6]
    assert engine.query(table, filter=found)["id"].to_pylist() == wanted
    assert engine.query(table, filter=found, limit=3, offset=1)["id"].to_pylist() == wanted[1:4]
    assert engine.count(table, found) == len(wanted)
    assert engine.count(table, found, [1]) == len([i for i in wanted if i % 4 == 0])


@pytest.mark.parametrize("text", ["", "number < 9", f"number not in {[*range(-1, -1200, -1)]}"])
def test_a_result_that_exceeds_its_limit_is_refused(engine: Engine, table: Table, text: str) -> None:
    """Of the last filter Lance gets nothing: it is evaluated on the batches of a scan."""
    found, size = parse(text, table.schema), 100 * DIM * 4
    for limit in (None, 300):
        with pytest.raises(InvalidParameter, match=r"rows would take about .* Use limit and offset, or fewer output"):
            engine.query(table, filter=found, columns=["vector"], limit=limit, max_bytes=size)
    assert len(engine.query(table, filter=found, columns=["vector"], limit=50, max_bytes=size)) == 50
    assert len(engine.query(table, filter=found, limit=300, max_bytes=size)) == 300


@pytest.mark.parametrize("limit", [None, 300])
def test_long_keys_count_like_other_values(engine: Engine, limit: int | None) -> None:
    key = Field(name="key", type=DataType.VARCHAR, max_length=1000, primary=True)
    schema = CollectionSchema(fields=(key, Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2)))
    keys = pa.array([f"{number:01000}" for number in range(300)])
    batch = pa.record_batch([keys, fixed_lists(vectors(300, 2)), pa.array([0] * 300)], ["key", "vector", "__part"])
    table, _ = import_rows(engine, new_table(engine, schema), batch)
    with pytest.raises(InvalidParameter, match="300 rows would take about"):
        engine.query(table, limit=limit, max_bytes=300_000)
    assert engine.query(table, limit=limit, max_bytes=310_000)["key"].to_pylist() == keys.to_pylist()


@pytest.mark.parametrize("text", ["", f"number not in {[*range(-1, -1200, -1)]}"])
def test_rows_with_the_same_key_are_on_one_page_each(engine: Engine, text: str) -> None:
    batch = plain_batch(vectors(ROWS))
    keys, numbers = pa.array([0] * 100 + [7, 3] * 150 + [9] * 100, pa.int64()), pa.array(range(ROWS), pa.int64())
    batch = batch.set_column(0, batch.schema.field(0), keys).set_column(2, batch.schema.field(2), numbers)
    table, _ = import_rows(engine, new_table(engine), batch.slice(0, 300))
    table, _ = import_rows(engine, table, batch.slice(300))
    for size in (130, 250):
        pages = [
            engine.query(table, filter=parse(text, table.schema), columns=["number"], limit=size, offset=offset)
            for offset in range(0, ROWS, size)
        ]
        rows = pa.concat_tables(pages)
        assert rows["id"].to_pylist() == np.sort(keys.to_numpy()).tolist()
        assert np.sort(rows["number"].to_numpy()).tolist() == list(range(ROWS))


def test_text_keys_and_names_that_differ_in_case_only(engine: Engine) -> None:
    schema = CollectionSchema(
        fields=(
            Field(name="Key", type=DataType.VARCHAR, max_length=20, primary=True),
            Field(name="key", type=DataType.INT64),
            Field(name="Vector", type=DataType.FLOAT_VECTOR, dim=2),
        )
    )
    keys = ["é", "b", "B", "a", "10", "9"]
    columns: list[pa.Array[Any]] = [pa.array(keys), pa.array(range(6)), fixed_lists(vectors(6, 2)), pa.array([0] * 6)]
    batch = pa.record_batch(columns, names=["Key", "key", "Vector", "__part"])
    table, _ = import_rows(engine, new_table(engine, schema), batch)
    for limit in (None, 6):
        rows = engine.query(table, columns=["key"], limit=limit)
        assert rows.to_pydict() == {"Key": ["10", "9", "B", "a", "b", "é"], "key": [4, 5, 2, 3, 1, 0]}
    assert engine.count(table, parse('Key == "B" and key == 2', schema)) == 1
