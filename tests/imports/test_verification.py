"""The option verify: rows, keys and vectors are compared with the files after the commit."""

from __future__ import annotations

import json
from pathlib import Path

from penstock.domain.jobs import ImportJob, JobState
from penstock.engines.values import Table
from penstock.imports.tasks import StageTask
from penstock.imports.verification import VerifyTask, verify_job
from tests.support.doubles import NullContext
from tests.support.worlds import World

ROWS = 300


def write(folder: Path, name: str, first: int) -> None:
    lines = (json.dumps({"id": first + row, "vector": [row, row % 7, 1, -row]}) + "\n" for row in range(ROWS))
    (folder / name).write_text("".join(lines))


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


def test_missing_rows_and_other_vectors_are_problems(world: World) -> None:
    collection = world.collection()
    write(world.files, "a.jsonl", 0)
    job = world.imported(["a.jsonl"])
    numbers = [partition.number for partition in world.catalog.collections.partitions(collection.id)]
    world.engine.remove_partition(Table.of(world.fresh(collection)), numbers[0])
    gone = verify_job(task_of(world, job), NullContext())
    assert gone["problems"] == [
        "the job has 300 rows, 0 are in the collection",
        "file 'a.jsonl': 100 of 100 sampled keys are missing",
        "field 'vector': 0 of 20 searches by a sampled vector have its row among the 10 nearest",
    ]
    (world.files / "other.jsonl").write_text(
        "".join(json.dumps({"id": row, "vector": [1, 2, 3, row]}) + "\n" for row in range(ROWS))
    )
    world.imported(["other.jsonl"])
    different = verify_job(task_of(world, job), NullContext())
    assert "file 'a.jsonl': the vectors of 100 of 100 sampled rows differ" in different["problems"]


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
