"""What is exported imports back equal: every type, every format, nulls and dynamic values included."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.bulk_writer import LocalBulkWriter
from penstock.domain.exports import ExportFormat, ExportPart
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.engines.lance import LanceEngine
from penstock.engines.values import Table
from penstock.exports.columns import exported_schema
from penstock.exports.tasks import ExportTask, write_part
from penstock.sources.targets import Target
from tests.support.bulk_files import read_batches
from tests.support.doubles import NullContext
from tests.support.examples import examples
from tests.support.random_rows import arrow, rows, schema, some_fields
from tests.support.tables import import_rows, new_table

FORMATS = list(ExportFormat)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> LanceEngine:
    engine = LanceEngine(str(tmp_path_factory.mktemp("store")))
    engine.check()
    return engine


def exported(engine: LanceEngine, table: Table, folder: Path, form: ExportFormat, *, ids: bool = False) -> list[Path]:
    """Export all rows of a table as one part; the files, in order."""
    snapshot = engine.snapshot(table, by_partition=False)
    task = ExportTask(
        engine=engine,
        table=replace(table, version=snapshot.version),
        schema=exported_schema(table.schema, with_auto_ids=ids),
        filter=None,
        part=ExportPart(
            ordinal=0,
            fragments=tuple(fragment.id for fragment in snapshot.fragments),
            rows=sum(fragment.rows for fragment in snapshot.fragments),
            size=0,
        ),
        format=form,
        target=Target(uri=folder.as_uri(), name="out", roots=[[str(folder.resolve())]]),
    )
    files = write_part(task, NullContext())
    assert sum(file.rows for file in files) == engine.count(table)
    return [folder / file.name for file in files]


def imported(engine: LanceEngine, schema: CollectionSchema, batches: list[pa.RecordBatch]) -> Table:
    table, _ = import_rows(engine, new_table(engine, schema), *batches)
    return table


def content(engine: LanceEngine, table: Table) -> list[dict[str, Any]]:
    """All rows in the order of their keys, JSON parsed."""
    as_json = {field.name for field in table.schema if field.type is DataType.JSON} | {META_FIELD}
    names = [*table.schema.names, *([META_FIELD] if table.schema.dynamic else [])]
    return [
        {name: json.loads(value) if name in as_json and value is not None else value for name, value in row.items()}
        for row in engine.query(table, columns=names).to_pylist()
    ]


@pytest.mark.parametrize("form", FORMATS)
@settings(
    max_examples=examples(each_run=12, at_length=300),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_every_type_imports_back_equal(engine: LanceEngine, form: ExportFormat, data: st.DataObject) -> None:
    nullable = data.draw(st.booleans())
    collection = some_fields(data, schema(nullable=nullable, for_numpy=False, dynamic=nullable))
    table_rows = [{**row, "id": number} for number, row in enumerate(data.draw(rows(collection)))]
    with tempfile.TemporaryDirectory() as folder:
        with LocalBulkWriter(collection, folder) as writer:
            writer.append_batch(arrow(table_rows, collection))
        table = imported(engine, collection, read_batches(writer.batch_files, collection))
        out = Path(folder) / "out"
        files = exported(engine, table, out, form)
        back = imported(engine, collection, read_batches([[str(file)] for file in files], collection))
    assert content(engine, back) == content(engine, table)


def texts(**options: Any) -> CollectionSchema:
    return CollectionSchema(
        fields=(
            Field(name="id", type=DataType.INT64, primary=True),
            Field(name="v", type=DataType.FLOAT_VECTOR, dim=2),
            Field(name="word", type=DataType.VARCHAR, max_length=64, nullable=True),
            Field(name="doc", type=DataType.JSON, nullable=True),
        ),
        **options,
    )


def batches(schema: CollectionSchema, folder: Path) -> Iterator[pa.RecordBatch]:
    values = [("", '"5"'), (None, None), ('"', "5"), ("null", '"a"'), ("a,b\nc", "[1, null]"), ("\\N", "true")]
    with LocalBulkWriter(schema, str(folder)) as writer:
        for number, (word, doc) in enumerate(values):
            key = {} if schema.auto_id else {"id": number}
            writer.append_row({**key, "v": [number, 1], "word": word, "doc": doc})
    yield from read_batches(writer.batch_files, schema)


@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_text_is_no_null_and_a_json_text_no_number(
    engine: LanceEngine, tmp_path: Path, form: ExportFormat
) -> None:
    collection = texts()
    table = imported(engine, collection, list(batches(collection, tmp_path)))
    files = exported(engine, table, tmp_path / "out", form)
    back = imported(engine, collection, read_batches([[str(file)] for file in files], collection))
    assert content(engine, back) == content(engine, table)


def test_generated_ids_are_left_out_or_kept(engine: LanceEngine, tmp_path: Path) -> None:
    collection = texts(auto_id=True)
    table = imported(engine, collection, list(batches(collection, tmp_path)))
    [without] = exported(engine, table, tmp_path / "without", ExportFormat.JSONL)
    assert "id" not in json.loads(without.read_text().splitlines()[0])
    kept = exported(engine, table, tmp_path / "kept", ExportFormat.PARQUET, ids=True)
    same = replace(collection, auto_id=False)
    back = imported(engine, same, read_batches([[str(file)] for file in kept], same))
    assert content(engine, back) == content(engine, table)
