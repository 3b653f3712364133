"""Columns that are no field of the collection, in every format and for each value of ``unknown_columns``."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.domain.collections import Collection
from penstock.domain.jobs import JobState
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import ImportRefused
from tests.support.catalogs import SCHEMA as DYNAMIC
from tests.support.worlds import World

SCHEMA = CollectionSchema(fields=DYNAMIC.fields)
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)
ROWS = [{"id": n, "vector": VECTORS[n].tolist(), "token": f"t{n}"} for n in range(3)]


def write_parquet(folder: Path) -> list[str]:
    vectors = pa.array(list(VECTORS), pa.list_(pa.float32()))
    pq.write_table(pa.table({"id": [0, 1, 2], "vector": vectors, "token": ["t0", "t1", "t2"]}), folder / "a.parquet")
    return ["a.parquet"]


def write_json(folder: Path) -> list[str]:
    (folder / "a.json").write_text(json.dumps(ROWS))
    return ["a.json"]


def write_json_lines(folder: Path) -> list[str]:
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return ["a.jsonl"]


def write_csv(folder: Path) -> list[str]:
    lines = [f'{row["id"]},"{row["vector"]}",{row["token"]}' for row in ROWS]
    (folder / "a.csv").write_text("\n".join(["id,vector,token", *lines]))
    return ["a.csv"]


def write_numpy(folder: Path) -> list[str]:
    np.save(folder / "id.npy", np.arange(3))
    np.save(folder / "vector.npy", VECTORS)
    np.save(folder / "token.npy", np.array(["t0", "t1", "t2"]))
    return ["id.npy", "vector.npy", "token.npy"]


def rows_of(world: World, collection: Collection) -> list[dict[str, Any]]:
    """The rows by id; dynamic values parsed."""
    rows = sorted(world.rows(collection).to_pylist(), key=lambda row: row["id"])
    return [{**row, "$meta": json.loads(row["$meta"])} for row in rows]


WRITERS = [write_parquet, write_json, write_json_lines, write_csv, write_numpy]


@pytest.mark.parametrize("write", WRITERS)
def test_unknown_columns_are_kept_dropped_or_refused_alike(world: World, write: Callable[[Path], list[str]]) -> None:
    group = write(world.files)
    then: dict[str, str]
    for option, then in (("", {"token": "t1"}), ("drop", {})):
        docs = world.collection(f"docs{option}", DYNAMIC)
        job = world.imported(group, collection=docs.name, unknown_columns=option)
        assert job.state is JobState.COMPLETED, job.reason
        assert rows_of(world, docs)[1]["$meta"] == then
        assert [(warning.code, warning.count) for warning in job.warnings] == (
            [("column_dropped", 3)] if not then else []
        )

    plain = world.collection("plain", SCHEMA)
    job = world.imported(group, collection=plain.name)
    assert job.state is JobState.COMPLETED, job.reason
    [warning] = job.warnings
    assert (warning.code, warning.count) == ("column_dropped", 3)
    for name in ("docs", "plain"):
        job = world.imported(group, collection=name, unknown_columns="error")
        assert job.state is JobState.FAILED
        assert "'token' is not a field of the collection" in (job.reason or "")
        assert "The fields: id, vector" in (job.reason or "")


def test_another_value_of_the_option_is_refused_at_create(world: World) -> None:
    world.collection("docs", DYNAMIC)
    with pytest.raises(ImportRefused, match="must be one of dynamic, drop, error, not keep"):
        world.create(write_json(world.files), unknown_columns="keep")


def test_columns_of_all_kinds_are_read_back_as_dynamic_values(world: World) -> None:
    docs = world.collection("docs", DYNAMIC)
    ids = [uuid.UUID(int=n) for n in range(3)]
    at = datetime.datetime(2024, 5, 18, 12, 30, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "id": pa.array([0, 1, 2]),
            "vector": pa.array(list(VECTORS), pa.list_(pa.float32())),
            "uuid": pa.array([id_.bytes for id_ in ids], pa.uuid()),
            "at": pa.array([at, None, at], pa.timestamp("ms", "UTC")),
            "price": pa.array([1, 2, 3], pa.int32()).cast(pa.decimal128(20, 2)),
            "tags": pa.array([["a"], [], None], pa.list_(pa.string())),
            "a\0b": pa.array(["x\0y", '"', None]),
            "__index_level_0__": pa.array([5, 6, 7]),
        }
    )
    pq.write_table(table, world.files / "a.parquet")
    job = world.imported(["a.parquet"])
    assert job.state is JobState.COMPLETED, job.reason
    rows = [row["$meta"] for row in rows_of(world, docs)]
    time = "2024-05-18T12:30:00.000Z"
    assert rows == [
        {"uuid": str(ids[0]), "at": time, "price": 1.0, "tags": ["a"], "a\0b": "x\0y"},
        {"uuid": str(ids[1]), "price": 2.0, "tags": [], "a\0b": '"'},
        {"uuid": str(ids[2]), "at": time, "price": 3.0},
    ]
    [warning] = job.warnings
    assert "is the index of a pandas frame, which has no name" in warning.message


def test_a_missing_column_tells_all_columns_and_the_nearest(world: World) -> None:
    world.collection("docs", SCHEMA)
    extra = {f"c{n}": [n] for n in range(30)}
    pq.write_table(pa.table({"id": [0], "Vector": [[1.0] * 4], **extra}), world.files / "a.parquet")
    reason = world.imported(["a.parquet"]).reason or ""
    assert "The file's columns: id, Vector, c0," in reason
    assert "c17 and 12 more. Did you mean 'Vector'?" in reason
    (world.files / "a.jsonl").write_text('{"id": 1, "vectro": [1, 2, 3, 4]}\n')
    reason = world.imported(["a.jsonl"]).reason or ""
    assert "The keys of the row: id, vectro. Did you mean 'vectro'?" in reason
    (world.files / "a.csv").write_text('ID,vector\n1,"[1, 2, 3, 4]"\n')
    reason = world.imported(["a.csv"]).reason or ""
    assert "The header's columns: ID, vector. Did you mean 'ID'?" in reason
    assert "separator" not in reason


def test_a_pandas_index_that_is_no_column_is_explained(world: World) -> None:
    pandas = pytest.importorskip("pandas")
    world.collection("docs", SCHEMA)
    frame = pandas.DataFrame({"vector": VECTORS.tolist()})
    frame.index.name = "id"
    frame.to_parquet(world.files / "named.parquet")
    assert "named 'id', but pandas did not write it" in (world.imported(["named.parquet"]).reason or "")
    frame = pandas.DataFrame({"vector": VECTORS.tolist()}, index=[3, 1, 2])
    frame.to_parquet(world.files / "unnamed.parquet")
    reason = world.imported(["unnamed.parquet"]).reason or ""
    assert "'__index_level_0__' is the index of a pandas frame" in reason
    assert "frame.rename_axis('id').reset_index()" in reason


TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=3, max_size=3)
WITH_TEXT = CollectionSchema(
    fields=(*SCHEMA.fields, Field(name="text", type=DataType.VARCHAR, max_length=100)), dynamic=True
)
NUMBER = iter(range(1_000_000))


@given(TEXTS, TEXTS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back_from_parquet_as_it_was(world: World, texts: list[str], others: list[str]) -> None:
    docs = world.collection(f"texts{next(NUMBER)}", WITH_TEXT)
    columns: dict[str, Any] = {"id": [0, 1, 2], "vector": VECTORS.tolist(), "text": texts, "other": others}
    pq.write_table(pa.table(columns), world.files / "a.parquet")
    job = world.imported(["a.parquet"], collection=docs.name)
    assert job.state is JobState.COMPLETED, job.reason
    rows = rows_of(world, docs)
    assert [row["text"] for row in rows] == texts
    assert [row["$meta"] for row in rows] == [{"other": other} for other in others]


@given(TEXTS, TEXTS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back_from_numpy_as_numpy_has_it(world: World, texts: list[str], others: list[str]) -> None:
    """NumPy takes NULs at the end of a text for padding; all others are kept."""
    docs = world.collection(f"texts{next(NUMBER)}", WITH_TEXT)
    arrays: dict[str, Any] = {
        "id": np.arange(3),
        "vector": VECTORS,
        "text": np.array(texts),
        "other": np.array(others),
    }
    for name, array in arrays.items():
        np.save(world.files / f"{name}.npy", array.astype("U8") if array.dtype.kind == "U" else array)
    job = world.imported([f"{name}.npy" for name in arrays], collection=docs.name)
    assert job.state is JobState.COMPLETED, job.reason
    rows = rows_of(world, docs)
    assert [row["text"] for row in rows] == [text.rstrip("\0") for text in texts]
    assert [row["$meta"] for row in rows] == [{"other": other.rstrip("\0")} for other in others]
