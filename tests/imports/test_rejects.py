"""Jobs that leave out bad rows and files: what they keep, what they tell, and when they fail after all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.domain.jobs import FileState, ImportJob, JobState
from penstock.errors import ImportRefused
from penstock.runners.local import LocalRunner
from tests.imports.test_recovery import SMALL_SPLITS
from tests.support.worlds import World, a_world, job_settings


def write_rows(path: Path, rows: int, *bad: int, first: int = 0) -> None:
    """Rows of JSON with ids from ``first`` on; those of the ``bad`` numbers have a vector that is too short."""
    lines = [
        json.dumps({"id": first + number, "vector": [number, 1, 2, 3][: 3 if number in bad else 4]})
        for number in range(rows)
    ]
    path.write_text("\n".join(lines) + "\n")


def ids(world: World, job: ImportJob) -> list[int]:
    collection = world.catalog.collections.by_id(job.collection_id)
    assert collection is not None
    return sorted(world.rows(collection)["id"].to_pylist())


def warned(job: ImportJob) -> dict[str, int]:
    return {warning.code: warning.count for warning in job.warnings}


def test_skip_row_leaves_out_the_bad_rows_and_says_so(world: World) -> None:
    world.collection()
    write_rows(world.files / "a.jsonl", 100, 3, 99)

    job = world.imported(["a.jsonl"], on_error="skip_row")

    assert (job.state, job.rows, job.rejected_rows) == (JobState.COMPLETED, 98, 2), job.reason
    assert ids(world, job) == [number for number in range(100) if number not in (3, 99)]
    assert warned(job)["rows_rejected"] == 2
    (file,) = world.catalog.jobs.files(job.id)
    assert (file.state, file.rows, file.rejected_rows) == (FileState.COMPLETED, 98, 2)


def test_skip_file_leaves_out_whole_files_also_those_that_share_a_split(world: World) -> None:
    world.collection()
    for number in range(10):
        write_rows(world.files / f"{number}.jsonl", 50, *([49] if number == 4 else []), first=50 * number)
    (world.files / "broken.parquet").write_bytes(b"PAR1 no more")

    job = world.imported(
        *([f"{number}.jsonl"] for number in range(10)), ["broken.parquet"], on_error="skip_file", max_errors="20%"
    )

    assert (job.state, job.rows, job.skipped_files) == (JobState.COMPLETED, 450, 2), job.reason
    assert ids(world, job) == [number for number in range(500) if not 200 <= number < 250]
    assert warned(job)["files_skipped"] == 2
    bad = [file for file in world.catalog.jobs.files(job.id) if file.state is FileState.FAILED]
    assert [file.name for file in bad] == ["4.jsonl", "broken.parquet"]
    assert "row 49" in (bad[0].reason or "")
    assert bad[0].error is not None
    assert (bad[0].error["rule"], bad[0].error["field"]) == ("vector_dim", "vector")


def test_skip_file_stages_again_what_a_file_had_staged(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        world.collection()
        write_rows(world.files / "long.jsonl", 4000, 3999)
        write_rows(world.files / "good.jsonl", 10, first=10_000)

        job = world.imported(["long.jsonl"], ["good.jsonl"], on_error="skip_file")

        assert (job.state, job.rows, job.skipped_files) == (JobState.COMPLETED, 10, 1), job.reason
        assert ids(world, job) == list(range(10_000, 10_010))


def test_a_job_whose_files_are_all_bad_fails(world: World) -> None:
    world.collection()
    write_rows(world.files / "a.jsonl", 10, 1)
    (world.files / "b.parquet").write_bytes(b"PAR1 no more")

    job = world.imported(["a.jsonl"], ["b.parquet"], on_error="skip_file")

    assert job.state is JobState.FAILED
    assert "all 2 files were left out" in (job.reason or "")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_errors": "2"}, "more bad rows than options.max_errors=2 allows: 3"),
        ({"max_errors": "2%"}, "more bad rows than options.max_errors=2% allows: 3 of 100"),
        ({"max_errors_per_file": "2"}, "more bad rows than options.max_errors_per_file=2 allows: 3"),
        ({"max_errors_per_file": "2.5 %"}, "options.max_errors_per_file=2.5 % allows: 3 of 100"),
    ],
)
def test_a_job_with_more_bad_rows_than_its_budget_fails(world: World, options: dict[str, str], reason: str) -> None:
    collection = world.collection()
    write_rows(world.files / "a.jsonl", 100, 3, 4, 90)

    job = world.imported(["a.jsonl"], on_error="skip_row", **options)

    assert job.state is JobState.FAILED
    assert reason in (job.reason or "")
    assert "row 3, byte" in (job.reason or "")
    assert world.count(collection) == 0


@pytest.mark.parametrize("options", [{"max_errors": "3"}, {"max_errors": "3%", "max_errors_per_file": "3"}])
def test_a_budget_that_is_just_kept_lets_the_job_complete(world: World, options: dict[str, str]) -> None:
    world.collection()
    write_rows(world.files / "a.jsonl", 100, 3, 4, 90)
    assert world.imported(["a.jsonl"], on_error="skip_row", **options).state is JobState.COMPLETED


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "ignore"}, "must be one of abort, skip_row, skip_file"),
        ({"on_error": "skip_row", "max_errors": "few"}, "must be a number such as 100, or a percentage"),
        ({"on_error": "skip_row", "max_errors": "101%"}, "must be a number such as 100, or a percentage"),
        ({"max_errors": "3"}, "needs options.on_error skip_row or skip_file"),
        ({"on_error": "skip_file", "max_errors_per_file": "3"}, "needs options.on_error skip_row"),
    ],
)
def test_a_budget_that_is_none_is_refused_at_create(world: World, options: dict[str, str], message: str) -> None:
    world.collection()
    write_rows(world.files / "a.jsonl", 1)
    with pytest.raises(ImportRefused, match=message):
        world.create(["a.jsonl"], **options)


def test_a_broken_file_fails_a_job_that_skips_rows(world: World) -> None:
    world.collection()
    (world.files / "a.parquet").write_bytes(b"PAR1 no more")

    job = world.imported(["a.parquet"], on_error="skip_row")

    assert job.state is JobState.FAILED


def test_only_the_first_rejects_are_kept_and_the_job_says_so(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(max_kept_rejects=2)) as world:
        world.collection()
        write_rows(world.files / "a.jsonl", 100, 3, 4, 90)
        job = world.imported(["a.jsonl"], on_error="skip_row")
        assert job.rejected_rows == 3
        assert warned(job)["rejects_not_kept"] == 1
