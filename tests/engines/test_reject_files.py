"""Files of rejected rows, beside the tables of every engine and store."""

from __future__ import annotations

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.base import Engine
from tests.support.tables import new_table

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
    )
)


def test_files_of_rejected_rows_are_replaced_listed_read_and_deleted(stored_engine: Engine) -> None:
    stored_engine.check()
    table = new_table(stored_engine, SCHEMA)
    assert stored_engine.jobs_with_rejects(table.id) == []
    stored_engine.save_rejects(table.id, 7, "b.parquet", b"first")
    stored_engine.save_rejects(table.id, 7, "b.parquet", b"again")
    stored_engine.save_rejects(table.id, 7, "a.parquet", b"other")
    stored_engine.save_rejects(table.id, 9, "a.parquet", b"of 9")

    assert stored_engine.reject_names(table.id, 7) == ["a.parquet", "b.parquet"]
    assert stored_engine.rejects(table.id, 7, "b.parquet") == b"again"
    assert stored_engine.rejects(table.id, 7, "c.parquet") is None
    assert stored_engine.jobs_with_rejects(table.id) == [7, 9]
    assert stored_engine.count(table) == 0

    stored_engine.delete_rejects(table.id, 7, ["a.parquet", "none.parquet"])
    assert stored_engine.reject_names(table.id, 7) == ["b.parquet"]
    stored_engine.delete_rejects(table.id, 7)
    stored_engine.delete_rejects(table.id, 7)
    assert stored_engine.jobs_with_rejects(table.id) == [9]
    stored_engine.drop(table.id)
    assert table.id not in stored_engine.tables()
