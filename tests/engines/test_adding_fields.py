"""Conformance: a field that is added to a table with rows; rows without it read as its default or null."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.index import Metric
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.base import Engine
from penstock.engines.lance import LanceEngine
from penstock.engines.values import Published, SearchRequest, Staged, Table
from penstock.filters import parse
from tests.support.racers import Racers
from tests.support.tables import every_type, import_rows, new_table, plain, plain_batch, vectors

SIZE = Field(name="size", type=DataType.INT32, default=7)
NOTE = Field(name="_note", type=DataType.VARCHAR, max_length=20, nullable=True)
DEFAULTS = [
    Field(name="b", type=DataType.BOOL, default=True),
    Field(name="i8", type=DataType.INT8, default=-128),
    Field(name="i64", type=DataType.INT64, default=2**63 - 1),
    Field(name="f", type=DataType.FLOAT, default=1, nullable=True),
    Field(name="d", type=DataType.DOUBLE, default=-0.5),
    Field(name="t", type=DataType.VARCHAR, max_length=20, default='naïve "☕"'),
]


def added(engine: Engine, table: Table, *fields: Field) -> Table:
    """The table as the catalog would know it once the fields are added."""
    for field in fields:
        version = engine.add_field(table, field)
        schema = replace(table.schema, fields=(*table.schema.fields, field))
        table = replace(table, schema=schema, version=version)
    return table


def with_values(batch: pa.RecordBatch, field: Field, values: Sequence[Any]) -> pa.RecordBatch:
    column: Any = pa.array(values, canonical_type(field))
    return batch.append_column(pa.field(field.name, column.type, field.nullable), column)


def values(engine: Engine, table: Table, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in engine.query(table, columns=["id", *names]).to_pylist()]


def matches(engine: Engine, table: Table, expression: str) -> list[int]:
    filter = parse(expression, table.schema)
    found: list[Any] = engine.query(table, filter=filter)["id"].to_pylist()
    assert engine.count(table, filter) == len(found)
    return found


def test_rows_that_are_there_have_the_default_or_null(stored_engine: Engine) -> None:
    table, _ = import_rows(stored_engine, new_table(stored_engine), plain_batch(vectors(3)))
    table = added(stored_engine, table, SIZE, NOTE)
    assert values(stored_engine, table, "size", "_note") == [(i, 7, None) for i in range(3)]
    batch = with_values(with_values(plain_batch(vectors(2), first_id=3), SIZE, [1, 7]), NOTE, ["x", None])
    table, _ = import_rows(stored_engine, table, batch)
    assert values(stored_engine, table, "size", "_note") == [
        *((i, 7, None) for i in range(3)),
        (3, 1, "x"),
        (4, 7, None),
    ]
    assert matches(stored_engine, table, "size == 7") == [0, 1, 2, 4]
    assert matches(stored_engine, table, "_note is null and size in [7, 8]") == [0, 1, 2, 4]
    assert matches(stored_engine, table, "_note != 'y'") == [3]


def test_every_type_of_a_default(stored_engine: Engine) -> None:
    table, _ = import_rows(stored_engine, new_table(stored_engine), plain_batch(vectors(2)))
    staged = stored_engine.stage(table, 1, iter([plain_batch(vectors(1), first_id=2)]))
    table = added(stored_engine, table, *DEFAULTS)
    published = stored_engine.publish(table, 1, 1, [staged])
    table = replace(table, version=published.version)
    expected = {field.name: field.default for field in DEFAULTS}
    assert stored_engine.query(table, columns=list(expected)).to_pylist() == [{"id": i, **expected} for i in range(3)]
    assert matches(stored_engine, table, "b == true and i8 == -128 and f == 1.0 and t like 'na%'") == [0, 1, 2]


def test_every_type_without_a_default(engine: Engine) -> None:
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(3)))
    fields = [field for field in every_type() if field.nullable]
    table = added(engine, table, *fields)
    names = [field.name for field in fields]
    rows = engine.query(table, columns=names)
    assert rows.drop_columns(["id"]).to_pylist() == [dict.fromkeys(names)] * 3
    for field in fields:
        if not field.type.is_vector and field.type is not DataType.ARRAY_OF_STRUCT:
            assert matches(engine, table, f"{field.name} is null") == [0, 1, 2]


def test_jobs_that_staged_or_stage_without_the_field(stored_engine: Engine) -> None:
    table, _ = import_rows(stored_engine, new_table(stored_engine), plain_batch(vectors(1)))
    before = stored_engine.stage(table, 1, iter([plain_batch(vectors(1), first_id=1)]))
    later = added(stored_engine, table, SIZE, NOTE)
    after = stored_engine.stage(table, 1, iter([plain_batch(vectors(1), first_id=2)]))
    published = stored_engine.publish(later, 1, 1, [before, after])
    assert stored_engine.publish(later, 1, 2, [before, after]).rows == published.rows == 2
    later = replace(later, version=published.version)
    assert values(stored_engine, later, "size", "_note") == [(i, 7, None) for i in range(3)]
    assert matches(stored_engine, later, "size == 7") == [0, 1, 2]


def test_an_empty_table(engine: Engine) -> None:
    table = new_table(engine)
    staged = engine.stage(table, 1, iter([plain_batch(vectors(2))]))
    table = added(engine, table, SIZE)
    assert engine.count(table) == 0
    published = engine.publish(table, 1, 1, [staged])
    assert values(engine, replace(table, version=published.version), "size") == [(0, 7), (1, 7)]


def test_deleted_rows_stay_deleted(engine: Engine) -> None:
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(4), partitions=[0, 1, 0, 1]))
    table = replace(table, version=engine.remove_partition(table, 1))
    table = added(engine, table, SIZE)
    assert values(engine, table, "size") == [(0, 7), (2, 7)]


def test_adding_again_changes_nothing(stored_engine: Engine) -> None:
    table, _ = import_rows(stored_engine, new_table(stored_engine), plain_batch(vectors(2)))
    table = added(stored_engine, table, SIZE, NOTE)
    assert stored_engine.add_field(table, SIZE) == table.version
    assert stored_engine.add_field(table, NOTE) == table.version


def test_a_column_of_no_field_is_replaced(lance_on_a_disk: LanceEngine) -> None:
    engine = lance_on_a_disk
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(2)))
    engine.add_field(table, replace(SIZE, default=8))
    staged = engine.stage(table, 1, iter([plain_batch(vectors(1), first_id=2)]))
    engine.add_field(table, Field(name="size", type=DataType.VARCHAR, max_length=5, nullable=True))
    table = added(engine, table, SIZE)
    published = engine.publish(replace(table, version=1), 1, 1, [staged])
    assert values(engine, replace(table, version=published.version), "size") == [(0, 7), (1, 7), (2, 7)]


def test_a_vector_field_finds_the_rows_that_have_it(engine: Engine) -> None:
    other = Field(name="other", type=DataType.FLOAT_VECTOR, dim=2, nullable=True)
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(3)))
    table = added(engine, table, other)
    request = SearchRequest(
        field_name="other", queries=np.array([[1.0, 0.0]], np.float32), metric=Metric.L2, limit=5, columns=["other"]
    )
    [hits] = engine.search(table, request)
    assert len(hits.scores) == 0
    batch = with_values(plain_batch(vectors(2), first_id=3), other, [[1.0, 0.0], None])
    table, _ = import_rows(engine, table, batch)
    [hits] = engine.search(table, request)
    assert hits.rows.to_pylist() == [{"id": 3, "other": [1.0, 0.0]}]
    [hits] = engine.search(table, replace(request, field_name="vector", queries=vectors(1)))
    assert len(hits.scores) == 5
    assert hits.rows.to_pylist()[0] == {"id": 0, "other": None}


def test_readers_and_filters_of_the_old_schema_go_on(engine: Engine) -> None:
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(3)))
    added(engine, table, SIZE)
    assert matches(engine, table, "number < 2") == [0, 1]
    with pytest.raises(Exception, match="size"):
        engine.query(table, columns=["size"])


def add_or_publish(
    ready: Callable[[], object], engine: Engine, table: Table, field: Field | None, job: int, staged: list[Staged]
) -> int:
    engine.count(table)
    ready()
    if field is not None:
        return engine.add_field(table, field)
    published: Published = engine.publish(table, job, 1, staged)
    return published.version


def test_processes_that_add_and_publish_at_the_same_moment(stored_engine: Engine, racers: Racers) -> None:
    table, _ = import_rows(stored_engine, new_table(stored_engine), plain_batch(vectors(2), first_id=1000))
    ids = [1000, 1001]
    for round_ in range(2):
        field = Field(name=f"f{round_}", type=DataType.INT64, default=round_)
        old = Table(id=table.id, schema=plain(), version=table.version)
        work: list[tuple[Any, ...]] = [(stored_engine, old, field, 0, [])]
        for job in (2 * round_ + 1, 2 * round_ + 2):
            staged = [stored_engine.stage(old, job, iter([plain_batch(vectors(3), first_id=10 * job)]))]
            work.append((stored_engine, old, None, job, staged))
            ids += range(10 * job, 10 * job + 3)
        versions = racers.run(add_or_publish, work)
        schema: CollectionSchema = replace(table.schema, fields=(*table.schema.fields, field))
        table = replace(table, schema=schema, version=max(versions))
        assert values(stored_engine, table, field.name) == [(i, round_) for i in sorted(ids)]
