"""Long values are read part by part, and no further than a result may have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lance.dataset import LanceDataset

from penstock.domain.index import Metric
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.layout.tables import TableCache, TableRoot
from penstock.engines.lance.read import query, search
from penstock.engines.lance.read.rows import rows_in_parts, rows_within, take_rows
from penstock.engines.values import SearchRequest, Table
from penstock.errors import InvalidParameter
from penstock.filters import Filter, parse
from tests.support.tables import every_type, fixed_lists, import_rows, new_table, typed_batch, vectors

ROWS, LENGTH = 400, 60_000
MIB = 1 << 20
SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=4),
        Field(name="text", type=DataType.VARCHAR, max_length=LENGTH),
    )
)


class LongTexts:
    """A table of 24 MB of texts, and how many bytes a read takes from the disk."""

    def __init__(self, folder: Path) -> None:
        engine = LanceEngine(str(folder))
        columns: list[pa.Array[Any]] = [
            pa.array(range(ROWS)),
            fixed_lists(vectors(ROWS, 4)),
            pa.array([f"{row:06}" * (LENGTH // 6) for row in range(ROWS)]),
            pa.array([0] * ROWS),
        ]
        batch = pa.record_batch(columns, names=[*SCHEMA.names, "__part"])
        self.table, _ = import_rows(engine, new_table(engine, SCHEMA), batch)
        self.store = TableRoot(str(folder), {}, TableCache(is_remote=False))

    @property
    def dataset(self) -> LanceDataset:
        return self.store.at_least(self.table, "counting bytes")

    def bytes_read(self) -> int:
        return int(self.dataset.io_stats_incremental().read_bytes)

    def query(self, filter: Filter | None, limit: int | None, max_bytes: int) -> pa.Table:
        return query.query(
            self.store,
            self.table,
            filter=filter,
            partitions=None,
            columns=["text"],
            limit=limit,
            offset=0,
            max_bytes=max_bytes,
        )


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> LongTexts:
    return LongTexts(tmp_path_factory.mktemp("texts"))


@pytest.mark.parametrize("limit", [ROWS, None])
@pytest.mark.parametrize("text", ["", f"id not in {[*range(-1, -1200, -1)]}"])
def test_a_query_reads_no_more_than_its_result_may_have(texts: LongTexts, limit: int | None, text: str) -> None:
    found = parse(text, SCHEMA)
    texts.query(found, 1, MIB)
    texts.bytes_read()
    with pytest.raises(InvalidParameter, match="rows would take about 1 MiB, more than the 1 MiB of one result"):
        texts.query(found, limit, MIB)
    assert texts.bytes_read() < 8 * MIB
    rows = texts.query(found, 100, 8 * MIB)
    found_texts: list[Any] = rows["text"].to_pylist()
    assert [value[:6] for value in found_texts] == [f"{row:06}" for row in range(100)]


def test_a_search_reads_no_more_than_its_result_may_have(texts: LongTexts) -> None:
    request = SearchRequest(
        field_name="vector", queries=vectors(1, 4), metric=Metric.L2, limit=ROWS, columns=["text"], max_bytes=MIB
    )
    texts.bytes_read()
    with pytest.raises(InvalidParameter, match="rows would take about 1 MiB, more than the 1 MiB of one result"):
        search.search(texts.store, texts.table, request)
    assert texts.bytes_read() < 8 * MIB


def test_rows_in_parts_are_those_that_are_read_at_once(tmp_path: Path) -> None:
    engine, schema = LanceEngine(str(tmp_path)), every_type()
    table, _ = import_rows(engine, new_table(engine, schema), typed_batch(50))
    dataset = TableRoot(str(tmp_path), {}, TableCache(is_remote=False)).at_least(table, "reading")
    columns = [*schema.names, META_FIELD]
    addresses = (
        dataset.scanner(columns=[], with_row_address=True)
        .to_table()["_rowaddr"]
        .combine_chunks()
        .take(pa.array([*range(49, 9, -1), 3, 3]))
    )
    whole = take_rows(dataset, addresses, schema, columns)
    parts = list(rows_in_parts(dataset, addresses, schema, columns, 9))
    assert [len(part) for part in parts] == [9, 9, 9, 9, 6]
    assert pa.concat_tables(parts).equals(whole)
    assert take_rows(dataset, addresses.slice(0, 0), schema, columns, MIB).schema == whole.schema


def test_how_many_rows_are_read_at_a_time() -> None:
    def rows(field: Field) -> int:
        return rows_within(CollectionSchema(fields=(field,)), ["x"], 256 * MIB)

    assert rows(Field(name="x", type=DataType.INT64)) == 32 * MIB
    assert rows(Field(name="x", type=DataType.VARCHAR, max_length=1 << 15)) == 8192
    assert rows(Field(name="x", type=DataType.TEXT)) == 128
    assert rows(Field(name="x", type=DataType.FLOAT_VECTOR, dim=1024)) == 65_536
    assert rows(Field(name="x", type=DataType.BINARY_VECTOR, dim=1024)) == 2 * MIB
    assert rows(Field(name="x", type=DataType.JSON)) == 4096
    words = Field(
        name="x", type=DataType.ARRAY, element_type=DataType.VARCHAR, max_length=1 << 10, max_capacity=1 << 10
    )
    assert rows(words) == 256
    parts = (Field(name="y", type=DataType.FLOAT_VECTOR, dim=256),)
    assert rows(Field(name="x", type=DataType.ARRAY_OF_STRUCT, max_capacity=1 << 8, fields=parts)) == 1024
    assert rows(Field(name="x", type=DataType.ARRAY_OF_STRUCT, max_capacity=1 << 12, fields=parts * 8)) == 16


def test_a_search_carries_no_long_values_of_many_rows(texts: LongTexts) -> None:
    """What is read with the keys is bounded as well: here all rows are candidates of each query."""
    table: Table = texts.table
    request = SearchRequest(
        field_name="vector", queries=vectors(5, 4), metric=Metric.L2, limit=100, columns=["text"], max_bytes=2 * MIB
    )
    texts.bytes_read()
    with pytest.raises(InvalidParameter, match="rows would take about"):
        search.search(texts.store, table, request)
    assert texts.bytes_read() < 8 * MIB
