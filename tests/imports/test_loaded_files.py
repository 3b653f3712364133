"""Files that were loaded before: recognized until they change, or their rows are gone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from penstock.catalog.jobs.loaded_files import forget_loaded_files, record_loaded_files
from penstock.domain.access import ANONYMOUS
from penstock.domain.jobs import JobState
from penstock.errors import ImportRefused
from penstock.imports.requests import CreateImport
from tests.support.catalogs import CLUSTER
from tests.support.worlds import World


def write(folder: Path, name: str, first: int, rows: int = 3) -> None:
    lines = (json.dumps({"id": number, "vector": [number, 1, 2, 3]}) + "\n" for number in range(first, first + rows))
    (folder / name).write_text("".join(lines))


def test_loaded_files_are_loaded_again_skipped_or_refused(world: World) -> None:
    collection = world.collection()
    write(world.files, "a.jsonl", 0)
    write(world.files, "b.jsonl", 10)
    first = world.imported(["a.jsonl"])

    skipped = world.imported(["a.jsonl"], ["b.jsonl"], if_loaded="skip")
    assert (skipped.state, skipped.rows) == (JobState.COMPLETED, 3)
    [warning] = skipped.warnings
    assert warning.message == f"skipped file 'a.jsonl': job {first.id} has loaded it"

    refused = world.imported(["b.jsonl"], if_loaded="error")
    assert refused.state is JobState.FAILED
    assert refused.reason is not None
    assert refused.reason.startswith(f"file 'b.jsonl' was loaded into this collection by job {skipped.id} at ")

    nothing = world.imported(["a.jsonl"], ["b.jsonl"], if_loaded="skip")
    assert (nothing.state, nothing.rows, len(nothing.warnings)) == (JobState.COMPLETED, 0, 2)

    again = world.imported(["a.jsonl"])
    assert (again.rows, again.warnings) == (3, ())
    ids = world.rows(world.fresh(collection))["id"].to_pylist()
    assert Counter(ids) == Counter([0, 0, 1, 1, 2, 2, 10, 11, 12])


def test_a_changed_file_and_one_of_a_removed_job_are_loaded(world: World) -> None:
    collection = world.collection()
    write(world.files, "a.jsonl", 0)
    write(world.files, "b.jsonl", 10)
    job = world.imported(["a.jsonl"], ["b.jsonl"])
    call = CreateImport(caller=ANONYMOUS, cluster_id=CLUSTER, collection="docs", groups=[["a.jsonl"], ["b.jsonl"]])
    assert [(name, match.job_id) for name, match in world.imports.loaded(call).loaded] == [
        ("a.jsonl", job.id),
        ("b.jsonl", job.id),
    ]
    write(world.files, "a.jsonl", 20)
    assert [name for name, _ in world.imports.loaded(call).loaded] == ["b.jsonl"]
    assert world.imported(["a.jsonl"], if_loaded="error").rows == 3
    with world.catalog.database.write() as connection:
        forget_loaded_files(connection, collection.id, job_id=job.id)
    assert world.imported(["b.jsonl"], if_loaded="error").rows == 3


def test_a_failed_job_leaves_no_history(world: World) -> None:
    world.collection()
    (world.files / "bad.jsonl").write_text('{"id": 1, "vector": [1, 2, 3, 4]}\n{"id": "x"}\n')
    assert world.imported(["bad.jsonl"]).state is JobState.FAILED
    call = CreateImport(caller=ANONYMOUS, cluster_id=CLUSTER, collection="docs", groups=[["bad.jsonl"]])
    assert world.imports.loaded(call).loaded == []


@pytest.mark.parametrize("value", ["maybe", "SKIP"])
def test_another_value_is_refused(world: World, value: str) -> None:
    world.collection()
    write(world.files, "a.jsonl", 0)
    with pytest.raises(ImportRefused, match=r"options\.if_loaded must be one of load, skip, error"):
        world.create(["a.jsonl"], if_loaded=value)


def test_only_files_whose_rows_are_there_count_as_loaded(world: World) -> None:
    world.collection()
    write(world.files, "a.jsonl", 0)
    write(world.files, "b.jsonl", 10)
    (world.files / "bad.jsonl").write_text('{"id": 1}\n')
    world.imported(["a.jsonl"], dry_run="true")
    first = world.imported(["a.jsonl"], ["bad.jsonl"], if_loaded="error", on_error="skip_file")
    assert (first.state, first.rows) == (JobState.COMPLETED, 3)
    assert "was loaded" not in str(world.imported(["bad.jsonl"], if_loaded="error").reason)

    world.imported(["b.jsonl"], write_mode="overwrite")
    again = world.imported(["a.jsonl"], if_loaded="error")
    assert again.state is JobState.COMPLETED
    world.imports.revert(CLUSTER, again.id, ANONYMOUS)
    world.until(lambda: world.job(again.id).state is JobState.REVERTED)
    assert world.imported(["a.jsonl"], if_loaded="error").state is JobState.COMPLETED


def test_jobs_that_complete_in_one_transaction_keep_their_order(world: World) -> None:
    """An overwrite forgets what jobs before it have loaded, also where a group commit records all of them at once."""
    collection = world.collection()
    for name, first in (("a.jsonl", 0), ("b.jsonl", 10), ("c.jsonl", 20)):
        write(world.files, name, first)
    before, overwrite, after = (
        world.imported(["a.jsonl"]),
        world.imported(["b.jsonl"], write_mode="overwrite"),
        world.imported(["c.jsonl"]),
    )
    with world.catalog.database.write() as connection:
        for job in (before, overwrite, after):
            forget_loaded_files(connection, collection.id, job_id=job.id)
        for job in (before, overwrite, after):
            record_loaded_files(connection, job)
    call = CreateImport(
        caller=ANONYMOUS, cluster_id=CLUSTER, collection="docs", groups=[["a.jsonl"], ["b.jsonl"], ["c.jsonl"]]
    )
    loaded = [(name, match.job_id) for name, match in world.imports.loaded(call).loaded]
    assert loaded == [("b.jsonl", overwrite.id), ("c.jsonl", after.id)]
