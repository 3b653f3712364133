"""How rows lie in a dataset: readable by any Lance program, with a column that tells each row's job."""

from __future__ import annotations

from pathlib import Path

import lance
import pyarrow as pa
import pytest

from penstock.engines.lance import LanceEngine
from penstock.engines.lance.layout.encoding import STORAGE_VERSION, in_small_batches, stored_schema
from tests.support.tables import every_type, import_rows, new_table, plain, plain_batch, vectors


def test_a_table_is_a_lance_dataset(tmp_path: Path) -> None:
    engine = LanceEngine(str(tmp_path))
    table = new_table(engine)
    table, _ = import_rows(engine, table, plain_batch(vectors(3), partitions=7), job=42)
    table, _ = import_rows(engine, table, plain_batch(vectors(2), first_id=3), job=43)
    dataset = lance.dataset(tmp_path / f"{table.id}.lance")
    assert dataset.data_storage_version == STORAGE_VERSION
    assert dataset.schema.equals(stored_schema(table.schema))
    rows = dataset.to_table(columns=["id", "__part", "__job"]).to_pydict()
    assert rows == {"id": [0, 1, 2, 3, 4], "__part": [7, 7, 7, 0, 0], "__job": [42, 42, 42, 43, 43]}
    for version, job, count in ((2, "42", "3"), (3, "43", "2")):
        transaction = dataset.read_transaction(version)
        assert transaction is not None
        expected = {"job": job, "epoch": "1", "rows": count, "replaced": "0"}
        assert transaction.transaction_properties == expected


def test_types_that_lance_can_not_search_are_widened() -> None:
    schema = stored_schema(every_type())
    assert schema.field("Int8Vector").type == pa.list_(pa.float16(), 16)
    assert schema.field("BFloat16Vector").type == pa.list_(pa.float32(), 16)
    assert schema.field("json").type == pa.json_()
    assert schema.field("$meta").type == pa.json_()
    assert schema.names[-2:] == ["__part", "__job"]
    assert "$_rowid" in schema.names


@pytest.mark.parametrize("rows", [0, 1, 10, 5000])
def test_batches_are_written_in_small_slices(rows: int) -> None:
    batch = plain_batch(vectors(rows, 2048), schema=plain(2048))
    slices = list(in_small_batches(batch))
    assert sum(len(slice_) for slice_ in slices) == rows
    assert all(slice_.nbytes <= 5 << 20 for slice_ in slices)
    if rows:
        assert pa.Table.from_batches(slices).equals(pa.table(batch))
