"""Folders as Spark, Dask, Hive and Delta leave them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.domain.collections import Collection
from penstock.domain.jobs import ImportJob, JobState
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.runners.local import LocalRunner
from tests.support.catalogs import SCHEMA
from tests.support.s3 import S3Server
from tests.support.worlds import World, a_world

FIELDS: CollectionSchema = replace(
    SCHEMA,
    fields=(
        *SCHEMA.fields,
        Field(name="country", type=DataType.VARCHAR, max_length=50),
        Field(name="year", type=DataType.INT16, nullable=True),
    ),
)
VECTOR = [1.0, 2.0, 3.0, 4.0]


def write_parquet(path: Path, start: int, **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table({"id": [start, start + 1], "vector": pa.array([VECTOR] * 2, pa.list_(pa.float32())), **more}), path
    )


def write_jsonl(path: Path, start: int, **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        json.dumps({"id": start + row, "vector": VECTOR, **{name: values[row] for name, values in more.items()}})
        for row in range(2)
    )
    path.write_text("\n".join(lines))


def write_csv(path: Path, start: int, **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = ["id", "vector", *more]
    lines = [
        ";".join(map(str, [start + row, VECTOR, *(values[row] for values in more.values())])) for row in range(2)
    ]
    path.write_text("\n".join([";".join(header), *lines]))


WRITERS: Mapping[str, Callable[..., None]] = {"parquet": write_parquet, "jsonl": write_jsonl, "csv": write_csv}


def rows(world: World, collection: Collection) -> list[dict[str, Any]]:
    found = world.rows(collection).drop_columns(["vector"]).to_pylist()
    return [{**row, "$meta": json.loads(row["$meta"])} for row in sorted(found, key=lambda row: row["id"])]


def warnings(job: ImportJob, code: str) -> list[str]:
    return [warning.message for warning in job.warnings if warning.code == code]


@pytest.mark.parametrize("ending", WRITERS)
def test_the_folders_of_a_hive_table_fill_its_fields(world: World, ending: str) -> None:
    docs = world.collection(schema=FIELDS)
    write = WRITERS[ending]
    write(world.files / "t" / "country=DE" / "year=2024" / f"a.{ending}", 0)
    write(world.files / "t" / "country=C%C3%B4te%20d%27Ivoire" / "year=__HIVE_DEFAULT_PARTITION__" / f"a.{ending}", 2)
    write(world.files / "t" / "country=" / "year=" / f"a.{ending}", 4)
    job = world.imported(["t/"], sep=";")
    assert (job.state, job.reason, job.warnings) == (JobState.COMPLETED, None, ())
    assert [(row["country"], row["year"], row["$meta"]) for row in rows(world, docs)][::2] == [
        ("DE", 2024, {}),
        ("Côte d'Ivoire", None, {}),
        ("", None, {}),
    ]


@pytest.mark.parametrize("ending", WRITERS)
def test_what_a_row_says_itself_counts_more_than_its_folder(world: World, ending: str) -> None:
    docs = world.collection(schema=FIELDS)
    WRITERS[ending](world.files / "t" / "country=DE" / f"a.{ending}", 0, country=["FR", "IT"])
    job = world.imported(["t/country=DE/a." + ending], sep=";")
    assert (job.state, job.reason) == (JobState.COMPLETED, None)
    assert [row["country"] for row in rows(world, docs)] == ["FR", "IT"]


def test_folders_without_a_field_give_dynamic_values(world: World) -> None:
    docs = world.collection()
    write_parquet(world.files / "t" / "lang=de" / "n=1" / "a.parquet", 0)
    write_parquet(
        world.files / "t" / 'lang=a"\\1' / "n=20" / "b.parquet",
        2,
        **{"$meta": ['{"lang": "mine", "x": 1}', " { } "]},
    )
    write_parquet(world.files / "t" / "lang=01" / "n=__HIVE_DEFAULT_PARTITION__" / "c.parquet", 4)
    job = world.imported(["t/"])
    assert (job.state, job.reason) == (JobState.COMPLETED, None)
    assert [row["$meta"] for row in rows(world, docs)] == [
        {"lang": "de", "n": 1},
        {"lang": "de", "n": 1},
        {"lang": "mine", "n": 20, "x": 1},
        {"lang": 'a"\\1', "n": 20},
        {"lang": "01"},
        {"lang": "01"},
    ]
    assert len(warnings(job, "partition_column")) == 2


def test_a_collection_without_dynamic_values_leaves_such_folders_out(world: World) -> None:
    world.collection(schema=replace(SCHEMA, dynamic=False))
    write_parquet(world.files / "t" / "lang=de" / "id=7" / "a.parquet", 0)
    job = world.imported(["t/"])
    assert (job.state, job.rows) == (JobState.COMPLETED, 2)
    assert warnings(job, "column_dropped") == [
        "partition column 'lang', of folders such as 'lang=de', is not a field and was dropped",
        "the folder 'id=7' sets no values of the field 'id', which is a primary key",
    ]


def test_the_option_unknown_columns_counts_for_folders_too(world: World) -> None:
    docs = world.collection()
    write_parquet(world.files / "t" / "lang=de" / "a.parquet", 0)
    refused = world.imported(["t/"], unknown_columns="error")
    assert refused.state is JobState.FAILED
    assert "the partition column 'lang' is not a field of the collection" in str(refused.reason)
    dropped = world.imported(["t/"], unknown_columns="drop")
    assert dropped.state is JobState.COMPLETED
    assert [row["$meta"] for row in rows(world, docs)] == [{}, {}]
    assert len(warnings(dropped, "column_dropped")) == 1


def test_a_folder_whose_value_is_not_of_the_fields_type(world: World) -> None:
    world.collection(schema=FIELDS)
    write_parquet(world.files / "t" / "country=DE" / "year=soon" / "a.parquet", 0)
    job = world.imported(["t/"])
    assert job.state is JobState.FAILED
    assert str(job.reason).startswith(
        "file 't/country=DE/year=soon/a.parquet', field 'year': the folder 'year=soon' has no valid value for the "
        "field: the value is text, the field is Int16"
    )


def test_paths_and_warnings_are_bounded(world: World) -> None:
    docs = world.collection()
    for number in range(40):
        write_parquet(world.files / "t" / f"c{number}=1" / "a.parquet", 2 * number)
    job = world.imported(["t/"])
    assert (job.state, world.count(docs)) == (JobState.COMPLETED, 80)
    assert len(warnings(job, "partition_column")) == 20
    write_parquet(world.files.joinpath("u", *(f"c{number}=1" for number in range(65)), "a.parquet"), 0)
    assert "the path has 65 partition columns (folders name=value); at most 64 are allowed" in str(
        world.imported(["u/"]).reason
    )


def test_a_partition_key_from_the_path_places_the_rows(world: World) -> None:
    key = replace(FIELDS.fields[2], partition_key=True)
    docs = world.collection(schema=replace(SCHEMA, fields=(*SCHEMA.fields, key)))
    for number, country in enumerate("ABC"):
        write_parquet(world.files / "t" / f"country={country}" / "a.parquet", 2 * number)
    assert world.imported(["t/"]).state is JobState.COMPLETED
    assert [row["country"] for row in rows(world, docs)] == ["A", "A", "B", "B", "C", "C"]


SIDE_FILES = {
    "_SUCCESS": b"",
    "._SUCCESS.crc": b"crc",
    "_metadata": b"PAR1",
    "_common_metadata": b"PAR1",
    "_committed_123": b"{}",
    ".part-0.parquet.crc": b"crc",
    "part-0.parquet.crc": b"crc",
    "part-1.parquet._COPYING_": b"PAR1",
    "_temporary/0/part-9.parquet": b"PAR1",
    ".hidden/x.parquet": b"PAR1",
    "a=1/_SUCCESS": b"done",
}


def test_side_files_are_passed_over_and_named(world: World) -> None:
    world.collection()
    write_parquet(world.files / "t" / "a=1" / "part-0.parquet", 0)
    write_parquet(world.files / "t" / "_a=2" / "part-0.parquet", 2)
    for name, content in SIDE_FILES.items():
        (world.files / "t" / name).parent.mkdir(exist_ok=True, parents=True)
        (world.files / "t" / name).write_bytes(content)
    job = world.imported(["t/"])
    assert (job.state, job.rows, job.reason) == (JobState.COMPLETED, 4, None)
    [text] = warnings(job, "side_files")
    assert text.startswith("skipped side files of other programs in the folder 't/': ")
    assert " and 6 more. The folder _temporary/ suggests that it is still being written" in text
    assert world.imported(["t/a=1/part-0.parquet"]).state is JobState.COMPLETED


def test_side_files_of_an_object_store(tmp_path: Path, runner: LocalRunner, s3: S3Server) -> None:
    bucket = s3.make_bucket()
    with a_world(tmp_path, runner, roots=[f"s3://{bucket}"], store=s3.settings) as world:
        docs = world.collection()
        write_parquet(tmp_path / "a.parquet", 0)
        for key in ("t/lang=de/a.parquet", "t/lang=f%20r/a.parquet"):
            s3.put(bucket, key, (tmp_path / "a.parquet").read_bytes())
        for name, content in SIDE_FILES.items():
            s3.put(bucket, f"t/{name}", content)
        job = world.imported([f"s3://{bucket}/t/"])
        assert (job.state, job.rows, job.reason) == (JobState.COMPLETED, 4, None)
        assert " and 6 more" in warnings(job, "side_files")[0]
        assert {row["$meta"]["lang"] for row in rows(world, docs)} == {"de", "f r"}


def test_a_field_with_an_underscore_keeps_its_numpy_file(world: World) -> None:
    names = {"id": "_id", "vector": "_vector"}
    fields = tuple(replace(field, name=names[field.name]) for field in SCHEMA.fields)
    world.collection(schema=replace(SCHEMA, fields=fields))
    (world.files / "set").mkdir()
    np.save(world.files / "set" / "_id.npy", np.arange(3))
    np.save(world.files / "set" / "_vector.npy", np.zeros((3, 4), np.float32))
    job = world.imported(["set/"])
    assert (job.state, job.rows, job.warnings) == (JobState.COMPLETED, 3, ())


def commit(table: Path, number: int, *actions: Mapping[str, Any]) -> None:
    log = table / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    (log / f"{number:020}.json").write_text("".join(json.dumps(action) + "\n" for action in actions))


def test_files_that_a_delta_table_has_removed_stay_out(world: World) -> None:
    docs = world.collection()
    table = world.files / "t"
    for number, name in enumerate(("a", "b b", "c", "never added")):
        write_parquet(table / f"{name}.parquet", 2 * number)
    commit(table, 0, {"metaData": {}}, {"add": {"path": "a.parquet"}}, {"add": {"path": "b%20b.parquet"}})
    commit(table, 1, {"remove": {"path": "b%20b.parquet"}}, {"add": {"path": "c.parquet"}})
    job = world.imported(["t/"])
    assert (job.state, job.reason) == (JobState.COMPLETED, None)
    assert [row["id"] for row in rows(world, docs)] == [0, 1, 4, 5]
    assert warnings(job, "delta_removed") == [
        "skipped files that are no longer in the Delta table 't/': b b.parquet, never added.parquet"
    ]
    assert "_delta_log/" in warnings(job, "side_files")[0]
    assert warnings(job, "delta_log") == []


def test_a_delta_table_whose_rows_were_all_deleted_has_nothing_to_import(world: World) -> None:
    world.collection()
    table = world.files / "t"
    write_parquet(table / "a.parquet", 0)
    commit(table, 0, {"add": {"path": "a.parquet"}})
    commit(table, 1, {"remove": {"path": "a.parquet"}})
    job = world.imported(["t/"])
    assert job.state is JobState.FAILED
    assert "path 't/': its files are no longer in the Delta table" in str(job.reason)


def test_a_delta_log_that_does_not_tell_everything(world: World) -> None:
    docs = world.collection()
    table = world.files / "in" / "t"
    for number, name in enumerate("abc"):
        write_parquet(table / f"{name}.parquet", 2 * number)
    commit(table, 7, {"remove": {"path": "b.parquet"}}, {"add": {"path": "c.parquet", "deletionVector": {"x": 1}}})
    job = world.imported(["in/"])
    assert [row["id"] for row in rows(world, docs)] == [0, 1, 4, 5]
    assert "the first versions of its log are missing" in warnings(job, "delta_log")[0]
    assert "deletion vectors, which are not read" in warnings(job, "delta_deletion_vectors")[0]
    (table / "_delta_log" / f"{8:020}.json").write_text("no JSON")
    assert world.imported(["in/"]).state is JobState.COMPLETED


@pytest.mark.parametrize("odd", ["0.csv", "9.csv", "notes.txt"])
def test_the_odd_file_of_a_folder_is_named(world: World, odd: str) -> None:
    world.collection()
    for number in range(1, 4):
        write_parquet(world.files / "t" / f"{number}.parquet", number)
    (world.files / "t" / odd).write_text("id\n")
    job = world.imported(["t/"])
    assert job.state is JobState.FAILED
    if odd.endswith("csv"):
        assert f"3 are Parquet, 't/{odd}' is CSV. Move it" in str(job.reason)
    else:
        assert f"unexpected file type, files=[t/{odd}]" in str(job.reason)
