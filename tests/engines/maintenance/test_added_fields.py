"""Conformance: indexes and compaction of a table whose older rows lack a field that was added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.domain.arrow_schema import canonical_schema
from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import DataType, Field
from penstock.engines.base import MaintainableEngine
from penstock.engines.values import SearchRequest, Table
from penstock.filters import parse
from tests.support.tables import fixed_lists, import_rows, new_table, plain_batch, vectors

ROWS = 12_000
SIZE = Field(name="size", type=DataType.INT32, default=7)
CODE = Field(name="code", type=DataType.VARCHAR, max_length=20, nullable=True)
TAGS = Field(name="tags", type=DataType.ARRAY, element_type=DataType.INT64, max_capacity=4, nullable=True)
FLAG = Field(name="flag", type=DataType.BOOL, nullable=True)
FAR = Field(name="far", type=DataType.FLOAT_VECTOR, dim=1024, nullable=True)


def added(engine: MaintainableEngine, table: Table, *fields: Field) -> Table:
    for field in fields:
        version = engine.add_field(table, field)
        table = replace(table, schema=replace(table.schema, fields=(*table.schema.fields, field)), version=version)
    return table


def batch_of(table: Table, rows: int, first_id: int, columns: Sequence[Any]) -> pa.RecordBatch:
    old = plain_batch(vectors(rows), first_id)
    schema = canonical_schema(table.schema)
    by_name = dict(zip(old.schema.names, old.columns, strict=True))
    by_name |= dict(zip([field.name for field in table.schema][4:], columns, strict=True))
    return pa.RecordBatch.from_arrays([by_name[name] for name in schema.names], schema=schema)


def count(engine: MaintainableEngine, table: Table, expression: str) -> int:
    return engine.count(table, parse(expression, table.schema))


@pytest.mark.parametrize("kind", ["STL_SORT", "BITMAP", "INVERTED"])
def test_scalar_indexes_cover_rows_without_the_field(engine: MaintainableEngine, kind: str) -> None:
    specs = [
        IndexSpec(name=f"{field.name}_index", field_name=field.name, type=kind) for field in (SIZE, CODE, TAGS, FLAG)
    ]
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(ROWS)))
    staged = engine.stage(table, 1, iter([plain_batch(vectors(10), ROWS)]))
    table = added(engine, table, SIZE, CODE, TAGS, FLAG)
    table = replace(table, version=engine.index(table, specs))
    for spec in specs:
        assert engine.indexed_rows(table, spec) == ROWS
    table = replace(table, version=engine.publish(table, 1, 1, [staged]).version)
    columns = [pa.array([1] * 10, pa.int32()), pa.array(["x"] * 10), pa.array([[5]] * 10), pa.array([True] * 10)]
    new = batch_of(table, 10, ROWS + 10, columns)
    table, _ = import_rows(engine, table, new)

    def check() -> None:
        assert count(engine, table, "size == 7") == ROWS + 10
        assert count(engine, table, "size < 7") == 10
        assert count(engine, table, "code is null") == ROWS + 10
        assert count(engine, table, "code == 'x'") == 10
        assert count(engine, table, "not (code == 'x')") == 0
        assert count(engine, table, "array_contains(tags, 5)") == 10
        assert count(engine, table, "tags is null and flag is null") == ROWS + 10
        assert count(engine, table, "flag == true") == 10

    check()
    table = replace(table, version=engine.compact(table))
    check()
    table = replace(table, version=engine.index(table, specs))
    assert not engine.due(table, specs).index
    check()


def test_a_vector_index_of_rows_without_the_field(engine: MaintainableEngine) -> None:
    spec = IndexSpec(name="far", field_name="far", metric=Metric.L2)
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(ROWS)))
    table = added(engine, table, FAR)
    request = SearchRequest(field_name="far", queries=np.ones((1, 1024), np.float32), metric=Metric.L2, limit=5)
    table = replace(table, version=engine.index(table, [spec]))
    assert not engine.due(table, [spec]).index
    [hits] = engine.search(table, request)
    assert len(hits.scores) == 0
    values = vectors(ROWS, 1024)
    nulls = [i % 2 == 0 for i in range(ROWS)]
    values[1] = 1
    table, _ = import_rows(engine, table, batch_of(table, ROWS, ROWS, [fixed_lists(values, nulls)]))
    table = replace(table, version=engine.index(table, [spec]))
    assert not engine.due(table, [spec]).index
    [hits] = engine.search(table, request)
    assert hits.rows["id"].to_pylist()[0] == ROWS + 1
    assert len(hits.scores) == 5


def test_compaction_keeps_defaults_and_nulls(stored_engine: MaintainableEngine) -> None:
    table = new_table(stored_engine)
    staged = stored_engine.stage(table, 77, iter([plain_batch(vectors(2), 1000)]))
    for job in range(12):
        table, _ = import_rows(stored_engine, table, plain_batch(vectors(2), 2 * job))
    table = added(stored_engine, table, SIZE, CODE)
    table = replace(table, version=stored_engine.compact(table))
    rows = stored_engine.query(table, columns=["size", "code"]).to_pylist()
    assert rows == [{"id": i, "size": 7, "code": None} for i in range(24)]
    published = stored_engine.publish(table, 77, 1, [staged])
    table = replace(table, version=published.version)
    assert count(stored_engine, table, "size == 7 and code is null") == 26
