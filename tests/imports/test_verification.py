"""The option verify: rows, keys and vectors are compared with the files after the commit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from penstock.domain.index import IndexSpec, Metric
from penstock.domain.jobs import ImportJob, JobState
from penstock.domain.schema import DataType, Field
from penstock.engines.values import Table
from penstock.imports.context import staged_of
from penstock.imports.tasks import StageTask
from penstock.imports.verification import VerifyTask, verify_job
from penstock.runners.local import LocalRunner
from tests.support.catalogs import SCHEMA
from tests.support.doubles import NullContext
from tests.support.worlds import World, a_world, job_settings

ROWS = 300


def write(folder: Path, name: str, first: int) -> None:
    lines = (json.dumps({"id": first + row, "vector": [row, row % 7, 1, -row]}) + "\n" for row in range(ROWS))
    (folder / name).write_text("".join(lines))


def write_parquet(folder: Path, name: str, ids: Sequence[int | None]) -> None:
    vector = pa.array([[1.0, 2.0, 3.0, float(row)] for row in range(len(ids))])
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64()), "vector": vector}), folder / name)


def counts(verification: Mapping[str, Any] | None) -> dict[str, tuple[int, int, int | None, int | None]]:
    """By file: rows, those that were rejected, those that the file records, those in the collection."""
    assert verification is not None
    names = ("rows", "rejectedRows", "recordedRows", "countedRows")
    return {file["fileName"]: tuple(file[name] for name in names) for file in verification["files"]}


def task_of(world: World, job: ImportJob) -> VerifyTask:
    """As the executor makes it, of the collection as it is now."""
    collection = world.catalog.collections.by_id(job.collection_id)
    assert collection is not None
    splits = world.catalog.jobs.splits(job.id)
    locations = {
        ordinal: [world.roots_of_files.restore(location) for location in saved]
        for ordinal, saved in world.catalog.jobs.locations(job.id).items()
    }
    stage = StageTask(
        engine=world.engine,
        table=Table.of(collection),
        job_id=job.id,
        split=splits[0],
        locations=locations,
        partitions=[1],
        batch_bytes=1 << 20,
        options={},
    )
    return VerifyTask(
        stage=stage,
        splits=splits,
        staged=[staged_of(split.staged) for split in splits],
        files=world.catalog.jobs.files(job.id),
        specs=[],
        rows=sum(split.rows for split in splits),
    )


def test_a_sound_job_is_verified(world: World) -> None:
    world.collection()
    write(world.files, "a.jsonl", 0)
    write(world.files, "b.jsonl", ROWS)
    job = world.imported(["a.jsonl"], ["b.jsonl"], verify="true")
    assert (job.state, job.warnings) == (JobState.COMPLETED, ())
    found = job.verification
    assert found is not None
    assert (found["ok"], found["readRows"], found["countedRows"]) == (True, 2 * ROWS, 2 * ROWS)
    assert [(file["sampledRows"], file["keysFound"], file["vectorsEqual"]) for file in found["files"]] == [
        (100, 100, 100),
        (100, 100, 100),
    ]
    [search] = found["searches"]
    assert search["hits"] == search["searched"] == 20
    assert world.imported(["a.jsonl"]).verification is None


def test_a_job_of_several_splits_is_verified(tmp_path: Path, runner: LocalRunner) -> None:
    """Its files are in different splits: a sample is taken of each."""
    names = [f"{number}.parquet" for number in range(4)]
    with a_world(tmp_path, runner, job_settings(split_bytes=1)) as world:
        world.collection()
        for number, name in enumerate(names):
            write_parquet(world.files, name, range(1000 * number, 1000 * number + ROWS))
        job = world.imported(*([name] for name in names), verify="true")
        assert len(world.catalog.jobs.splits(job.id)) == len(names)
    assert job.verification is not None
    assert (job.state, job.verification["problems"]) == (JobState.COMPLETED, [])
    assert counts(job.verification) == dict.fromkeys(names, (ROWS, 0, ROWS, ROWS))


def test_missing_rows_and_other_vectors_are_problems(world: World) -> None:
    collection = world.collection()
    write(world.files, "a.jsonl", 0)
    job = world.imported(["a.jsonl"])
    numbers = [partition.number for partition in world.catalog.collections.partitions(collection.id)]
    world.engine.remove_partition(Table.of(world.fresh(collection)), numbers[0])
    gone = verify_job(task_of(world, job), NullContext())
    assert gone["problems"] == [
        "the job has 300 rows, 0 are in the collection",
        "file 'a.jsonl': 0 of its 300 rows are in the collection",
        "file 'a.jsonl': 100 of 100 sampled keys are missing",
        "field 'vector': 0 of 20 searches by a sampled vector find its row, or 10 as near",
    ]
    (world.files / "other.jsonl").write_text(
        "".join(json.dumps({"id": row, "vector": [1, 2, 3, row]}) + "\n" for row in range(ROWS))
    )
    world.imported(["other.jsonl"])
    different = verify_job(task_of(world, job), NullContext())
    assert "file 'a.jsonl': the vectors of 100 of 100 sampled rows differ" in different["problems"]


def test_the_rows_of_each_file_are_counted(world: World) -> None:
    """Read, rejected, recorded in a footer, and found in the collection: also of small files that share a split."""
    world.collection()
    write_parquet(world.files, "a.parquet", [*range(50), None, 50])
    write_parquet(world.files, "b.parquet", range(100, 170))
    write(world.files, "c.jsonl", 1000)
    job = world.imported(["a.parquet"], ["b.parquet"], ["c.jsonl"], verify="true", on_error="skip_row")
    assert job.verification is not None
    assert job.verification["problems"] == []
    assert counts(job.verification) == {
        "a.parquet": (51, 1, 52, 51),
        "b.parquet": (70, 0, 70, 70),
        "c.jsonl": (ROWS, 0, None, ROWS),
    }


def test_a_file_whose_rows_are_missing_is_named(world: World) -> None:
    world.collection()
    for number, name in enumerate(["a.parquet", "b.parquet", "c.parquet"]):
        write_parquet(world.files, name, range(100 * number, 100 * number + 60))
    job = world.imported(["a.parquet"], ["b.parquet"], ["c.parquet"])
    write_parquet(world.files, "other.parquet", range(110, 150))
    world.imported(["other.parquet"], write_mode="upsert")
    found = verify_job(task_of(world, job), NullContext())
    assert found["problems"][:2] == [
        "the job has 180 rows, 140 are in the collection",
        "file 'b.parquet': 20 of its 60 rows are in the collection",
    ]
    assert [rows[3] for rows in counts(found).values()] == [60, 20, 60]


def test_a_file_of_which_rows_were_not_read_is_named(world: World) -> None:
    """As if a reader had ended too early: its file's own footer has more rows."""
    world.collection()
    write_parquet(world.files, "a.parquet", range(60))
    task = task_of(world, world.imported(["a.parquet"]))
    (split,) = task.splits
    short = replace(split, ranges=tuple(replace(file_range, rows=50) for file_range in split.ranges))
    found = verify_job(replace(task, splits=[short]), NullContext())
    assert "file 'a.parquet' has 60 rows, 50 were read" in found["problems"]


def test_generated_keys_are_found_where_rows_before_them_were_left_out(world: World) -> None:
    schema = replace(SCHEMA, auto_id=True)
    world.collection(schema=schema)
    for name, bad in (("a.jsonl", 3), ("b.jsonl", None)):
        rows = [{"vector": "bad" if row == bad else [row, row % 7, 1, -row]} for row in range(40)]
        (world.files / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = world.imported(["a.jsonl"], ["b.jsonl"], verify="true", on_error="skip_row")
    assert job.verification is not None
    assert job.verification["problems"] == []


def test_inner_products_and_sparse_vectors_are_searched(world: World) -> None:
    """By inner product the longest vectors are nearest to all: a row needn't be among its own ten nearest."""
    fields = (*SCHEMA.fields, Field(name="terms", type=DataType.SPARSE_FLOAT_VECTOR))
    collection = world.collection(schema=replace(SCHEMA, fields=fields))
    rows = [
        {"id": row, "vector": [row, row, 1, row], "terms": {"7": 1 + row, str(100 + row): 0.5} if row else {}}
        for row in range(ROWS)
    ]
    (world.files / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = world.imported(["a.jsonl"])
    task = replace(task_of(world, job), specs=[IndexSpec(name="v", field_name="vector", metric=Metric.IP)])
    found = verify_job(task, NullContext())
    assert found["problems"] == []
    assert found["searches"] == [
        {"fieldName": "vector", "metricType": "IP", "searched": 20, "hits": 20},
        {"fieldName": "terms", "metricType": "IP", "searched": 19, "hits": 19},  # the empty one has nothing near it
    ]
    (partition,) = world.catalog.collections.partitions(collection.id)
    world.engine.remove_partition(task.stage.table, partition.number)
    (world.files / "small.jsonl").write_text(
        "".join(json.dumps({"id": row, "vector": [0.1, 0, 0, 0], "terms": {"7": 0.1}}) + "\n" for row in range(20))
    )
    world.imported(["small.jsonl"])
    lost = verify_job(replace(task_of(world, job), specs=task.specs), NullContext())
    assert [search["hits"] for search in lost["searches"]] == [1, 0]  # none is nearer to the first, (0, 0, 1, 0)


def test_a_file_that_changes_after_its_import_leaves_the_rows_unverified(world: World) -> None:
    world.collection()
    write(world.files, "a.jsonl", 0)
    job = world.create(["a.jsonl"], verify="true", auto_commit="false")
    world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
    write(world.files, "a.jsonl", 5000)
    world.commit(job)
    done = world.ended(job)
    assert done.state is JobState.COMPLETED
    [warning] = done.warnings
    assert warning.code == "not_verified"
    assert warning.message.startswith("the rows are committed, but they could not be verified: ")


def test_rows_with_the_same_key_and_equal_vectors_are_no_problem(world: World) -> None:
    world.collection()
    rows = [{"id": number % 290, "vector": [1, 2, 3, 4 if number < 200 else number]} for number in range(ROWS)]
    (world.files / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = world.imported(["a.jsonl"], verify="true", write_mode="upsert")
    assert (job.state, job.rows) == (JobState.COMPLETED, 290)
    found = job.verification
    assert found is not None
    assert (found["problems"], found["readRows"], found["countedRows"]) == ([], ROWS, 290)
