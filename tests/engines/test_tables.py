"""Conformance: tables come, hold every type, and go."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pyarrow as pa
import pytest

from penstock.domain.arrow_schema import canonical_schema
from penstock.domain.schema import META_FIELD, DataType
from penstock.engines.base import Engine
from penstock.engines.values import Table
from penstock.errors import FieldNotFound, StorageError
from tests.support.tables import every_type, import_rows, new_table, plain_batch, typed_batch, vectors


def parsed(column: pa.ChunkedArray) -> list[object]:  # type: ignore[type-arg]
    return [None if text is None else json.loads(text) for text in column.to_pylist()]


def test_create_again_changes_nothing(stored_engine: Engine) -> None:
    table = new_table(stored_engine)
    assert stored_engine.create(table) == table.version
    assert stored_engine.count(table) == 0
    table, _ = import_rows(stored_engine, table, plain_batch(vectors(5)))
    assert stored_engine.create(table) == table.version
    assert stored_engine.count(table) == 5


def test_every_type_reads_back_equal(stored_engine: Engine) -> None:
    schema = every_type()
    table = new_table(stored_engine, schema)
    batch = typed_batch(50)
    table, _ = import_rows(stored_engine, table, batch.slice(0, 20), batch.slice(20, 1), batch.slice(21))
    names = [*schema.names, META_FIELD]
    for limit in (None, 50):
        rows = stored_engine.query(table, columns=names, limit=limit)
        assert rows.schema.names == names
        for name in names:
            expected, found = batch[name], rows[name].combine_chunks()
            assert found.type == canonical_schema(schema).field(name).type
            field = schema.get(name)
            if field is None or field.type is DataType.JSON:
                # JSON may be written anew, with other spaces; its values stay.
                assert parsed(rows[name]) == [
                    None if text is None else json.loads(text) for text in expected.to_pylist()
                ]
            else:
                assert found.equals(expected), name


def test_a_pickled_engine_is_the_same_store(stored_engine: Engine) -> None:
    table, _ = import_rows(stored_engine, new_table(stored_engine), plain_batch(vectors(3)))
    other: Engine = pickle.loads(pickle.dumps(stored_engine))
    assert other.count(table) == 3


def test_secrets_are_not_shown(stored_engine: Engine) -> None:
    assert "server-secret" not in repr(stored_engine)
    lost = Table(id="no-such-table", schema=every_type())
    with pytest.raises(StorageError) as caught:
        stored_engine.count(lost)
    assert "server-secret" not in str(caught.value)
    assert "no-such-table" in str(caught.value)


def test_a_dropped_table_is_gone_and_its_name_is_free(stored_engine: Engine) -> None:
    table, _ = import_rows(stored_engine, new_table(stored_engine), plain_batch(vectors(3)))
    other = new_table(stored_engine)
    stored_engine.drop(table.id)
    stored_engine.drop(table.id)
    with pytest.raises(StorageError):
        stored_engine.count(table)
    assert stored_engine.count(other) == 0
    fresh = replace(table, version=stored_engine.create(table))
    assert stored_engine.count(fresh) == 0


def test_a_reader_sees_the_version_that_its_table_names(stored_engine: Engine) -> None:
    before = new_table(stored_engine)
    reader: Engine = pickle.loads(pickle.dumps(stored_engine))
    assert reader.count(before) == 0
    after, _ = import_rows(stored_engine, before, plain_batch(vectors(3)))
    assert reader.count(after) == 3
    with pytest.raises(StorageError, match="version"):
        reader.count(replace(after, version=after.version + 1))


def test_an_unknown_column_is_refused(engine: Engine) -> None:
    table = new_table(engine)
    with pytest.raises(FieldNotFound):
        engine.query(table, columns=["nope"])
    with pytest.raises(FieldNotFound):
        engine.query(table, columns=["__part"])
