"""Arguments of a wrong type, which the constructors refuse, and masked arrays, which keep their mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from penstock.bulk_writer import BulkFileType, LocalBulkWriter, RemoteBulkWriter
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError, InvalidParameter

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2, nullable=True),
        Field(name="size", type=DataType.INT32, nullable=True),
        Field(name="json", type=DataType.JSON, nullable=True),
    ),
    dynamic=True,
)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("chunk_size", "128MB", "chunk_size is a whole number"),
        ("chunk_size", 1.5, "chunk_size is a whole number"),
        ("chunk_size", True, "chunk_size is a whole number"),
        ("chunk_size", None, "chunk_size is a whole number"),
        ("chunk_size", 0, "chunk_size is 1 or more, not 0"),
        ("segment_size", "1", "segment_size is a whole number"),
        ("segment_size", -1, "segment_size is 0 or more, not -1"),
        ("file_type", "parquet", r"file_type is one of BulkFileType.NUMPY, BulkFileType.JSON"),
        ("config", [("sep", ",")], "config is a dict of texts"),
        ("config", {"sep": 1}, "config is a dict of texts; 'sep' is 1"),
        ("progress", "yes", "progress is a function"),
        ("progress_bar", "no", "progress_bar is True or False"),
        ("local_path", 7, "local_path is a path"),
    ],
)
def test_a_wrong_argument_is_refused_by_the_constructor(
    tmp_path: Path, argument: str, value: Any, message: str
) -> None:
    arguments: dict[str, Any] = {"local_path": tmp_path, argument: value}
    with pytest.raises(InvalidParameter, match=message):
        LocalBulkWriter(SCHEMA, **arguments)
    param = RemoteBulkWriter.S3ConnectParam("bucket", access_key="a", secret_key="b")
    with pytest.raises(InvalidParameter, match=message):
        RemoteBulkWriter(SCHEMA, "data", param, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_whole_numbers_of_numpy_are_taken(tmp_path: Path) -> None:
    size: Any = np.int64(1 << 20)
    with LocalBulkWriter(SCHEMA, tmp_path, chunk_size=size, file_type=BulkFileType.JSON) as writer:
        assert writer.chunk_size == 1 << 20


def masked(values: Any, mask: Any) -> Any:
    return np.ma.array(values, mask=mask)


def written(writer: LocalBulkWriter) -> list[dict[str, Any]]:
    return [row for [file] in writer.batch_files for row in pq.read_table(file).to_pylist()]


def test_masked_values_are_null_in_batches_and_rows(tmp_path: Path) -> None:
    vectors = masked([[1, 2], [3, 4]], [[False, False], [True, True]])
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        writer.append_batch(
            {
                "id": np.arange(2),
                "vector": vectors.astype(np.float32),
                "size": masked([7, 8], [False, True]),
                "note": masked(["a", "b"], [True, False]),
                "json": masked(np.array([{"a": 1}, {"a": 2}], object), [False, True]),
            }
        )
        writer.append_row({"id": 2, "vector": vectors[1], "size": np.ma.masked, "json": {"a": 1}, "note": "c"})
    rows = written(writer)
    assert [row["vector"] for row in rows] == [[1, 2], None, None]
    assert [row["size"] for row in rows] == [7, None, None]
    assert [row["json"] for row in rows] == ['{"a":1}', None, '{"a":1}']
    assert [row["$meta"] for row in rows] == ["{}", '{"note":"b"}', '{"note":"c"}']


@pytest.mark.parametrize(
    "columns",
    [
        {"vector": masked([[1.0, 2.0], [3.0, 4.0]], [[False, False], [True, False]])},
        {"vector": [[1.0, 2.0], masked([3.0, 4.0], [True, False])]},
        {"other": masked([[1, 2], [3, 4]], [[False, False], [True, False]])},
        {"json": [{}, {"a": masked([1, 2], [True, False])}]},
    ],
)
def test_values_with_masked_elements_are_refused(tmp_path: Path, columns: dict[str, Any]) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        with pytest.raises(DataError, match="masked") as caught:
            writer.append_batch({"id": np.arange(2), **columns})
        assert (caught.value.row, caught.value.field) == (1, next(iter(columns)))
        row = {name: values[1] for name, values in columns.items()}
        with pytest.raises(DataError, match="masked"):
            writer.append_row({"id": 1, **row})
        assert writer.total_row_count == 0
