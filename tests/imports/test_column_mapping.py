"""Mapped, cast, gathered and dropped columns, in every format."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.imports.mapping_options import CASTS
from penstock.imports.tasks import RangeFailed
from tests.support.staging import Rows, stage_files

ID = Field(name="id", type=DataType.INT64, primary=True)
VECTOR = Field(name="vector", type=DataType.FLOAT_VECTOR, dim=3)
TITLE = Field(name="title", type=DataType.VARCHAR, max_length=50)
PRICE = Field(name="price", type=DataType.DOUBLE)
NOTE = Field(name="note", type=DataType.VARCHAR, max_length=50, nullable=True)
SCHEMA = CollectionSchema(fields=(ID, VECTOR, TITLE, PRICE, NOTE), dynamic=True)
SMALL = CollectionSchema(fields=(ID, VECTOR), dynamic=True)
COLUMNS: Mapping[str, list[Any]] = {
    "id": [1, 2, 3],
    "vector": [[0.5, 1.0, 1.5], [2.0, 2.5, 3.0], [3.5, 4.0, 4.5]],
    "title": ["a", "b", "c"],
    "price": [1.5, 2.5, 3.5],
    "note": ["x", "y", "z"],
    "first": ["1st", "2nd", "3rd"],
    "second": ["i", "ii", "iii"],
}
FORMATS = ["parquet", "json", "jsonl", "csv", "npy", "feather", "orc", "npz", "h5"]


def write(folder: Path, format: str, columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """Write a file and return its group."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    path = folder / f"a.{format}"
    if format == "parquet":
        pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
    elif format == "feather":
        pyarrow.feather.write_feather(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
    elif format == "orc":
        pyarrow.orc.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
    elif format == "npz":
        arrays = {name: np.array(values) for name, values in columns.items()}
        np.savez(path, allow_pickle=False, **arrays)
    elif format == "h5":
        with h5py.File(path, "w") as datasets:
            for name, values in columns.items():
                datasets[name] = list(values)
    elif format == "json":
        path.write_text(json.dumps(rows))
    elif format == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif format == "csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for row in rows:
                writer.writerow(
                    [json.dumps(value) if isinstance(value, list | dict) else value for value in row.values()]
                )
    else:
        for name, values in columns.items():
            np.save(folder / f"{name}.npy", np.array(values))
        return [f"{name}.npy" for name in columns]
    return [path.name]


def imported(
    folder: Path,
    format: str,
    columns: Mapping[str, Sequence[Any]],
    schema: CollectionSchema = SCHEMA,
    mapping: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    **options: str,
) -> Rows:
    files = folder / "files"
    options |= {"mapping": json.dumps(mapping)} if mapping else {}
    options |= {"drop_columns": json.dumps(drop)} if drop else {}
    return stage_files(files, write(files, format, columns), schema, **options)


def failure(*arguments: Any, **named: Any) -> DataError:
    with pytest.raises((RangeFailed, DataError)) as caught:
        imported(*arguments, **named)
    error = caught.value.error if isinstance(caught.value, RangeFailed) else caught.value
    assert isinstance(error, DataError)
    return error


CONSTANTS = {"price": 7.5, "note": "all"}


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, dict[str, Any], list[str], dict[str, list[Any]], dict[str, list[Any]]]:
    """A format, a mapping, columns to drop, the file for these, and the file that means the same without them."""
    constants = draw(st.sets(st.sampled_from(sorted(CONSTANTS))))
    dropped = draw(st.sets(st.sampled_from(["first", "second"])))
    fields = [name for name in SCHEMA.names if name not in constants]
    names = [*SCHEMA.names, *(f"column {number}" for number in range(3)), "Vector", "$x"]
    places = draw(st.permutations(names))[: len(fields)]
    moved = dict(zip(fields, places, strict=True)) if draw(st.booleans()) else {name: name for name in fields}
    file = {column: COLUMNS[name] for name, column in moved.items()} | {
        name: COLUMNS[name] for name in ("first", "second")
    }
    free = [name for name in SCHEMA.names if name not in file]
    file |= {name: ["?", "??", "???"] for name in free if draw(st.booleans())}
    mapping: dict[str, Any] = {name: column for name, column in moved.items() if name != column}
    mapping |= {name: {"value": CONSTANTS[name]} for name in constants}
    same = {name: [CONSTANTS[name]] * 3 if name in constants else COLUMNS[name] for name in SCHEMA.names}
    same |= {name: COLUMNS[name] for name in ("first", "second") if name not in dropped}
    order = draw(st.permutations(list(file)))
    return draw(st.sampled_from(FORMATS)), mapping, sorted(dropped), {name: file[name] for name in order}, same


@given(cases())
@settings(max_examples=60, deadline=None)
def test_a_mapped_file_gives_the_rows_of_a_file_with_these_names(case: Any) -> None:
    format, mapping, dropped, file, same = case
    with tempfile.TemporaryDirectory() as name:
        found = imported(Path(name, "a"), format, file, mapping=mapping, drop=dropped)
        expected = imported(Path(name, "b"), format, same)
    assert found.table.drop_columns(["$meta"]) == expected.table.drop_columns(["$meta"])
    assert list(map(json.loads, found["$meta"])) == list(map(json.loads, expected["$meta"]))
    assert found.warnings == expected.warnings


@pytest.mark.parametrize("format", FORMATS)
def test_excluded_columns_are_no_unknown_columns(tmp_path: Path, format: str) -> None:
    columns: dict[str, Any] = {"id": [1], "vector": [[9.0, 9.0]], "emb": [[1.0, 2.0, 3.0]], "extra": ["x"]}
    mapping = {"vector": "emb"}
    found = imported(tmp_path, format, columns, SMALL, mapping, ["extra"], unknown_columns="error")
    assert (found["vector"], found["$meta"]) == ([[1.0, 2.0, 3.0]], ["{}"])
    assert "column_dropped" not in {warning.code for warning in found.warnings}


@pytest.mark.parametrize("format", FORMATS)
def test_columns_are_cast(tmp_path: Path, format: str) -> None:
    schema = CollectionSchema(
        fields=(
            ID,
            VECTOR,
            Field(name="word", type=DataType.VARCHAR, max_length=10),
            Field(name="small", type=DataType.INT16),
            Field(name="flag", type=DataType.BOOL),
        )
    )
    columns: dict[str, Any] = {
        "id": ["7", "8"],
        "emb": ["[1, 2, 3]", "[4, 5, 6]"],
        "n": [5, 6],
        "whole": [2.0, 3.0],
        "bit": [0, 1],
    }
    mapping = {
        "id": {"column": "id", "cast": "varchar"},
        "vector": {"column": "emb", "cast": "VarChar"},
        "word": {"column": "n", "cast": "Int64"},
        "small": {"column": "whole", "cast": "Double"},
        "flag": {"column": "bit", "cast": "Int8"},
    }
    found = imported(tmp_path, format, columns, schema, mapping)
    assert [found[name] for name in ("id", "word", "small", "flag")] == [[7, 8], ["5", "6"], [2, 3], [False, True]]
    assert found["vector"] == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


@pytest.mark.parametrize("format", FORMATS)
def test_a_cast_that_loses_names_row_column_field_and_value(tmp_path: Path, format: str) -> None:
    columns: dict[str, Any] = {"id": [1, 2], "vector": [[1.0, 2.0, 3.0]] * 2, "cost": ["5", "five"]}
    schema = CollectionSchema(fields=(ID, VECTOR, Field(name="price", type=DataType.INT32)))
    error = failure(tmp_path, format, columns, schema, {"price": {"column": "cost", "cast": "VarChar"}})
    assert (error.row, error.field, error.value) == (1, "price", "five")
    assert "column 'cost' (field 'price')" in error.rule
    columns |= {"cost": [5.0, 5.5]}
    error = failure(tmp_path, format, columns, schema, {"price": {"column": "cost", "cast": "Double"}})
    assert (error.row, error.field, error.value) == (1, "price", "5.5")
    assert "column 'cost' (field 'price')" in error.rule
    flags = CollectionSchema(fields=(ID, VECTOR, Field(name="flag", type=DataType.BOOL)))
    columns |= {"cost": [1, 2]}
    error = failure(tmp_path, format, columns, flags, {"flag": {"column": "cost", "cast": "Int64"}})
    assert (error.row, error.field, error.value) == (1, "flag", "2")


def test_every_cast_that_is_accepted_works_or_names_its_row(tmp_path: Path) -> None:
    samples = {DataType.BOOL: True, DataType.VARCHAR: "1", DataType.JSON: "1"}
    for kind in CASTS:
        for target in CASTS:
            length = 10 if target is DataType.VARCHAR else None
            schema = CollectionSchema(fields=(ID, VECTOR, Field(name="x", type=target, max_length=length)))
            for format in ("parquet", "jsonl"):
                value = samples.get(kind, 1)
                columns: dict[str, Any] = {"id": [1], "vector": [[1.0, 2.0, 3.0]], "c": [value]}
                found = imported(
                    tmp_path / f"{kind}{target}{format}",
                    format,
                    columns,
                    schema,
                    {"x": {"column": "c", "cast": kind}},
                )
                assert str(found["x"][0]).lower() in ("1", "1.0", "true"), (kind, target, format)


@pytest.mark.parametrize("format", FORMATS)
def test_vectors_and_arrays_from_columns(tmp_path: Path, format: str) -> None:
    tags = Field(name="tags", type=DataType.ARRAY, element_type=DataType.VARCHAR, max_length=5, max_capacity=4)
    schema = CollectionSchema(fields=(ID, VECTOR, tags), dynamic=True)
    columns: dict[str, Any] = {
        "id": [1, 2],
        "x0": [0.5, 1.5],
        "x1": [2, 3],
        "x2": [4.25, 5.25],
        "t0": ["a", "b"],
        "t1": ["c", "d"],
    }
    mapping = {"vector": {"columns": ["x0", "x1", "x2"]}, "tags": {"columns": ["t1", "t0"]}}
    found = imported(tmp_path, format, columns, schema, mapping)
    assert found["vector"] == [[0.5, 2.0, 4.25], [1.5, 3.0, 5.25]]
    assert found["tags"] == [["c", "a"], ["d", "b"]]
    assert len(found.warnings) <= 1
    assert found["$meta"] == ["{}", "{}"]


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_nulls_in_columns_of_a_vector(tmp_path: Path, format: str) -> None:
    vector = Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2, nullable=True)
    schema = CollectionSchema(fields=(ID, vector))
    mapping = {"vector": {"columns": ["x", "y"]}}
    columns: dict[str, Any] = {"id": [1, 2], "x": [None, 1.0], "y": [None, 2.0]}
    assert imported(tmp_path, format, columns, schema, mapping)["vector"] == [None, [1.0, 2.0]]
    error = failure(tmp_path, format, {"id": [1, 2], "x": [1.0, None], "y": [1.0, 2.0]}, schema, mapping)
    assert (error.row, error.field) == (1, "vector")
    assert "column 'x' (field 'vector')" in error.rule


@pytest.mark.parametrize("format", ["parquet", "json", "jsonl", "csv"])
def test_fields_within_columns_of_objects(tmp_path: Path, format: str) -> None:
    docs = [
        {"v": {"values": [1.0, 2.0, 3.0]}, "names": ["a", "b"], "n": [{"x": 5}]},
        {"v": {"values": [4.0, 5.0, 6.0]}, "names": ["c"], "n": [{"x": 7}]},
    ]
    schema = CollectionSchema(fields=(ID, VECTOR, NOTE, PRICE), dynamic=True)
    mapping = {
        "vector": {"path": "doc.v.values"},
        "note": {"path": "doc.names[1]"},
        "price": {"path": "doc.n[0].x"},
    }
    columns: dict[str, Any] = {"id": [1, 2], "doc": docs}
    found = imported(tmp_path, format, columns, schema, mapping)
    assert found["vector"] == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert (found["note"], found["price"], found["$meta"]) == (["b", None], [5.0, 7.0], ["{}", "{}"])
    error = failure(tmp_path, format, columns, schema, {**mapping, "price": {"path": "doc.names[0]"}})
    assert (error.row, error.field) == (0, "price")
    assert "column 'doc' (field 'price')" in error.rule


def test_objects_in_texts_and_wrong_paths_in_parquet(tmp_path: Path) -> None:
    schema = CollectionSchema(fields=(ID, VECTOR))
    columns: dict[str, Any] = {"id": [1], "doc": ['{"v": [1, 2, 3]}']}
    assert imported(tmp_path, "parquet", columns, schema, {"vector": {"path": "doc.v"}})["vector"] == [
        [1.0, 2.0, 3.0]
    ]
    columns = {"id": [1], "doc": [{"values": [1.0]}]}
    error = failure(tmp_path, "parquet", columns, schema, {"vector": {"path": "doc.valeus"}})
    assert (error.rule, error.field) == (
        "column 'doc' (field 'vector'): the objects have no key 'valeus'",
        "vector",
    )
    assert "Did you mean 'values'?" in (error.remedy or "")


def test_constants_of_every_kind(tmp_path: Path) -> None:
    fields = (
        Field(name="word", type=DataType.VARCHAR, max_length=10),
        Field(name="number", type=DataType.INT8),
        Field(name="doc", type=DataType.JSON),
        Field(name="tags", type=DataType.ARRAY, element_type=DataType.INT64, max_capacity=4),
        Field(name="sparse", type=DataType.SPARSE_FLOAT_VECTOR),
        Field(name="none", type=DataType.FLOAT, nullable=True),
    )
    schema = CollectionSchema(fields=(ID, VECTOR, *fields))
    values = {"word": "w", "number": "5", "doc": {"a": [1]}, "tags": [1, 2], "sparse": {"3": 0.5}, "none": None}
    mapping: dict[str, Any] = {name: {"value": value} for name, value in values.items()}
    mapping["vector"] = {"value": [1, 2, 3]}
    for format in ("parquet", "jsonl"):
        found = imported(tmp_path / format, format, {"id": [1, 2]}, schema, mapping)
        assert [found[name][1] for name in ("word", "number", "tags", "none")] == ["w", 5, [1, 2], None]
        assert json.loads(found["doc"][0]) == {"a": [1]}
        assert found["vector"] == [[1.0, 2.0, 3.0]] * 2


@pytest.mark.parametrize("format", FORMATS)
def test_a_dropped_column_of_an_optional_or_generated_field(tmp_path: Path, format: str) -> None:
    schema = CollectionSchema(fields=(ID, VECTOR, NOTE), auto_id=True)
    columns: dict[str, Any] = {"id": [7], "vector": [[1.0, 2.0, 3.0]], "note": ["x"]}
    found = imported(tmp_path, format, columns, schema, None, ["id", "note"])
    assert (found["id"], found["note"]) == ([1], [None])
    found = imported(tmp_path, format, columns, schema, {"note": {"column": "id", "cast": "Int64"}})
    assert found["note"] == ["7"]


def test_folders_of_partition_columns_are_mapped_and_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "files" / "country=DE" / "day=5"
    write(folder, "parquet", {"id": [1], "vector": [[1.0, 2.0, 3.0]]})
    schema = CollectionSchema(fields=(ID, VECTOR, TITLE), dynamic=True)
    options = {"mapping": '{"title": "country"}', "drop_columns": '["day"]'}
    found = stage_files(tmp_path / "files", ["country=DE/day=5/a.parquet"], schema, **options)
    assert (found["title"], found["$meta"]) == (["DE"], ["{}"])


def test_keys_of_the_dynamic_field_are_compared_with_the_names_of_fields(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"id": [1], "emb": [[1.0, 2.0, 3.0]], "$meta": [{"emb": 1}]}
    found = imported(tmp_path, "jsonl", columns, SMALL, {"vector": "emb"})
    assert found["$meta"] == ['{"emb":1}']
    error = failure(tmp_path, "jsonl", {**columns, "$meta": [{"vector": 1}]}, SMALL, {"vector": "emb"})
    assert "duplicated key is not allowed, key=vector" in error.rule


@pytest.mark.parametrize("format", FORMATS)
def test_a_bad_value_names_column_and_field(tmp_path: Path, format: str) -> None:
    columns: dict[str, Any] = {"id": [1, 2], "emb": [[1.0, 2.0]] * 2}
    error = failure(tmp_path, format, columns, SMALL, {"vector": "emb"})
    assert error.field == "vector"
    assert "column 'emb' (field 'vector')" in error.rule


@pytest.mark.parametrize("format", ["parquet", "csv", "npy"])
@pytest.mark.parametrize("nullable", [False, True])
def test_a_column_that_the_file_lacks(tmp_path: Path, format: str, nullable: bool) -> None:
    title = Field(name="title", type=DataType.VARCHAR, max_length=9, nullable=nullable)
    schema = CollectionSchema(fields=(ID, VECTOR, title))
    columns: dict[str, Any] = {"id": [1], "vector": [[1.0, 2.0, 3.0]], "head": ["x"]}
    if format == "npy" and not nullable:
        with pytest.raises(DataError, match=r"column 'haed' \(field 'title'\)"):
            imported(tmp_path, format, columns, schema, {"title": "haed"})
        return
    error = failure(tmp_path, format, columns, schema, {"title": "haed"})
    assert (error.rule, error.field) == ("value of column 'haed' (field 'title') is missed", "title")
    assert "columns: id, vector, head. Did you mean 'head'? Names must match exactly." in (error.remedy or "")


def test_a_missing_column_proposes_the_mapping(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"id": [1], "embedding": [[1.0, 2.0, 3.0]], "words": ["x"], "other": [[1]]}
    error = failure(tmp_path, "parquet", columns, SMALL)
    assert "Import with --column vector=embedding or --column vector=other (option mapping)." in (error.remedy or "")
    columns = {"id": [1], "Vectr": [[1.0, 2.0, 3.0]]}
    for format in ("parquet", "jsonl", "csv"):
        error = failure(tmp_path, format, columns, SMALL)
        assert "Did you mean 'Vectr'? Names must match exactly, or import with --column vector=Vectr" in (
            error.remedy or ""
        )
