"""Jobs that leave out bad rows and files: what they keep, what they tell, and when they fail after all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.catalog.db.connection import now_millis
from penstock.collections.alterations import AlterationService
from penstock.domain.access import ANONYMOUS
from penstock.domain.jobs import FileState, ImportJob, JobState
from penstock.domain.schema import DataType, Field
from penstock.errors import ImportRefused, InvalidParameter, JobStateConflict
from penstock.imports.cleanup import OrphanCleanup
from penstock.imports.context import ImportContext
from penstock.imports.rejections import ErrorFilter, Rejections
from penstock.imports.requests import CreateImport, JobQuery, ReplayImport, StoreCredentials
from penstock.runners.local import LocalRunner
from penstock.sources.roots import ImportRoots
from tests.imports.test_recovery import SMALL_SPLITS, staged_splits, wait_until
from tests.support.catalogs import CLUSTER, SCHEMA
from tests.support.workers import workers_of
from tests.support.worlds import World, a_world, job_settings


def write_rows(path: Path, rows: int, *bad: int, first: int = 0) -> None:
    """Rows of JSON with ids from ``first`` on; those of the ``bad`` numbers have a vector that is too short."""
    lines = [
        json.dumps({"id": first + number, "vector": [number, 1, 2, 3][: 3 if number in bad else 4]})
        for number in range(rows)
    ]
    path.write_text("\n".join(lines) + "\n")


def ids(world: World, job: ImportJob) -> list[Any]:
    collection = world.catalog.collections.by_id(job.collection_id)
    assert collection is not None
    keys: list[Any] = world.rows(collection)["id"].to_pylist()
    return sorted(keys)


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


def test_a_file_of_bad_rows_only_is_not_one_without_rows(world: World) -> None:
    world.collection()
    write_rows(world.files / "a.jsonl", 2, 0, 1)
    job = world.imported(["a.jsonl"], on_error="skip_row")
    assert (job.state, job.rows, job.rejected_rows) == (JobState.COMPLETED, 0, 2)
    assert warned(job) == {"rows_rejected": 2}


def test_generated_ids_come_once_where_bad_rows_are_shorter_than_any_row(tmp_path: Path, runner: LocalRunner) -> None:
    schema = replace(SCHEMA, auto_id=True)
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        world.collection(schema=schema)
        row = json.dumps({"vector": [1, 2, 3, 4]}) + "\n"
        (world.files / "a.jsonl").write_text("0\n" * 9_000 + row * 2_000)

        job = world.imported(["a.jsonl"], on_error="skip_row")

        assert (job.state, job.rows, job.rejected_rows) == (JobState.COMPLETED, 2_000, 9_000), job.reason
        assert len(set(ids(world, job))) == 2_000


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


def test_the_bad_files_of_a_split_are_left_out_together(world: World) -> None:
    """The split is staged twice: else it would be for each of them, up to the bad one."""
    world.collection()
    for number in range(12):
        write_rows(world.files / f"{number:02}.jsonl", 5, *([3] if number % 2 else []), first=10 * number)

    job = world.imported(*([f"{number:02}.jsonl"] for number in range(12)), on_error="skip_file")

    assert (job.state, job.rows, job.skipped_files) == (JobState.COMPLETED, 30, 6), job.reason
    [split] = world.catalog.jobs.splits(job.id)
    assert split.attempts == 2
    errors = rejections(world).page(CLUSTER, job.id, ANONYMOUS).errors
    assert [(error.file, error.row) for error in errors] == [(f"{number:02}.jsonl", 3) for number in range(1, 12, 2)]


def test_skip_file_stages_again_what_a_file_had_staged(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        world.collection()
        write_rows(world.files / "long.jsonl", 4000, 3999)
        write_rows(world.files / "good.jsonl", 10, first=10_000)

        job = world.imported(["long.jsonl"], ["good.jsonl"], on_error="skip_file")

        assert (job.state, job.rows, job.skipped_files) == (JobState.COMPLETED, 10, 1), job.reason
        assert ids(world, job) == list(range(10_000, 10_010))


def test_a_file_that_was_left_out_is_so_after_a_retry_too(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        world.collection()
        write_rows(world.files / "a.jsonl", 10)
        (world.files / "a.jsonl").write_text(2 * (world.files / "a.jsonl").read_text())
        write_rows(world.files / "b.jsonl", 10, 2, first=10)
        write_rows(world.files / "c.jsonl", 10, first=20)
        job = world.imported(["a.jsonl"], ["b.jsonl"], ["c.jsonl"], on_error="skip_file", duplicates="error")
        assert (job.state, len(staged_splits(world, job))) == (JobState.FAILED, 3), job.reason

        write_rows(world.files / "a.jsonl", 10)
        job = world.ended(world.retry(job))

        assert (job.state, job.rows, job.skipped_files) == (JobState.COMPLETED, 20, 1), job.reason
        [error] = rejections(world).page(CLUSTER, job.id, ANONYMOUS).errors
        assert (error.file, error.row) == ("b.jsonl", 2)


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


def rejections(world: World) -> Rejections:
    return Rejections(world.imports, world.catalog, world.engines)


def replayed(world: World, job: ImportJob, *groups: Sequence[str]) -> ImportJob:
    request = ReplayImport(
        cluster_id=CLUSTER, job_id=job.id, groups=groups, keys=StoreCredentials(), caller=ANONYMOUS
    )
    return world.ended(world.imports.replay(request))


def test_the_errors_of_a_job_are_paged_filtered_and_grouped(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        world.collection()
        bad = [3, 1500, 2999, 3998]
        write_rows(world.files / "a.jsonl", 4000, *bad)
        (world.files / "b.jsonl").write_text('{"id": 9000, "vector": "none"}\nnot JSON\n')
        job = world.imported(["a.jsonl"], ["b.jsonl"], on_error="skip_row")
        calls = rejections(world)

        pages = [calls.page(CLUSTER, job.id, ANONYMOUS, limit=4)]
        while pages[-1].cursor:
            pages.append(calls.page(CLUSTER, job.id, ANONYMOUS, limit=4, cursor=pages[-1].cursor))

        errors = [error for page in pages for error in page.errors]
        assert [len(page.errors) for page in pages] == [4, 2]
        assert [(error.file, error.row) for error in errors] == [
            *(("a.jsonl", row) for row in bad),
            ("b.jsonl", 0),
            ("b.jsonl", 1),
        ]
        assert [error.key for error in errors] == ["3", "1500", "2999", "3998", "9000", None]
        content = (world.files / "a.jsonl").read_bytes()
        assert all(content[error.offset or 0 :].startswith((error.source or "?").encode()) for error in errors[:4])
        assert errors[0].reasons[0].rule == "vector_dim"
        assert pages[0].kept_rows == job.rejected_rows == 6
        behind = calls.page(CLUSTER, job.id, ANONYMOUS, cursor=f"1-{10**17}").errors  # of the first file of rejects
        assert list(behind) == errors[len(errors) - len(behind) :] != errors
        for cursor in (f"1-{2**63}", f"{'9' * 28}-1", "1", "1-", "-1", "1-1\n", "²-1"):
            with pytest.raises(InvalidParameter, match="cursor must be that of an earlier page"):
                calls.page(CLUSTER, job.id, ANONYMOUS, cursor=cursor)

        groups = calls.groups(CLUSTER, job.id, ANONYMOUS)
        assert next((group.rule, group.file, group.rows, len(group.examples)) for group in groups) == (
            "vector_dim",
            "a.jsonl",
            4,
            3,
        )
        only = calls.page(CLUSTER, job.id, ANONYMOUS, where=ErrorFilter(file="b.jsonl", field="vector"))
        assert [error.row for error in only.errors] == [0]


@pytest.mark.parametrize("name", ["rejects.jsonl", "rejects.parquet"])
def test_rejected_rows_come_back_as_a_file_are_corrected_and_replayed(world: World, name: str) -> None:
    world.collection()
    write_rows(world.files / "a.jsonl", 50, 3, 20)
    job = world.imported(["a.jsonl"], on_error="skip_row")
    path = world.files / name

    path.write_bytes(rejections(world).download(CLUSTER, job.id, ANONYMOUS, path.suffix[1:]))

    table = (
        pq.read_table(path)
        if path.suffix == ".parquet"
        else pa.Table.from_pylist([json.loads(line) for line in path.read_text().splitlines()])
    )
    assert table["_error_row"].to_pylist() == [3, 20]
    reasons: list[Any] = table["_error"].to_pylist()
    assert "the vector has 3 dimensions" in reasons[0]
    rows = [{**row, "vector": [*row["vector"], 4.0]} for row in table.to_pylist()]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    again = replayed(world, job, [name])
    assert (again.state, again.rows, again.replay_of) == (JobState.COMPLETED, 2, job.id), again.reason
    assert ids(world, job) == list(range(50))
    collection = world.catalog.collections.by_id(job.collection_id)
    assert collection is not None
    assert set(world.rows(collection)["$meta"].to_pylist()) == {"{}"}


def test_a_replay_from_the_source_reads_only_the_rejected_rows(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        world.collection()
        bad = {5, 700, 3999}
        write_rows(world.files / "a.jsonl", 4000, *bad)
        job = world.imported(["a.jsonl"], on_error="skip_row")

        again = replayed(world, job)

        assert (again.state, again.rows, again.rejected_rows) == (JobState.COMPLETED, 0, 3), again.reason
        page = rejections(world).page(CLUSTER, again.id, ANONYMOUS)
        assert [error.row for error in page.errors] == sorted(bad)
        assert set(ids(world, job)) == set(range(4000)) - bad


def test_rejected_rows_are_those_of_their_file_although_a_retry_finds_others_before_it(
    tmp_path: Path, runner: LocalRunner
) -> None:
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        world.collection()
        (world.files / "night").mkdir()
        write_rows(world.files / "night" / "b.jsonl", 10, 3)
        write_rows(world.files / "night" / "c.jsonl", 10, 1, 2, 3, first=10)
        job = world.imported(["night/"], on_error="skip_row", max_errors="2")
        assert (job.state, len(staged_splits(world, job))) == (JobState.FAILED, 1), job.reason

        write_rows(world.files / "night" / "a.jsonl", 10, first=20)
        write_rows(world.files / "night" / "c.jsonl", 10, first=10)
        job = world.ended(world.retry(job))

        assert (job.state, job.rows, job.rejected_rows) == (JobState.COMPLETED, 29, 1), job.reason
        [error] = rejections(world).page(CLUSTER, job.id, ANONYMOUS).errors
        assert (error.file, error.row) == ("night/b.jsonl", 3)
        assert replayed(world, job).rejected_rows == 1


def test_the_errors_of_a_job_that_fails_again_are_those_of_its_last_run(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        world.collection()
        (world.files / "night").mkdir()

        def places() -> list[tuple[str | None, int | None]]:
            errors = rejections(world).page(CLUSTER, job.id, ANONYMOUS).errors
            return [(error.file, error.row) for error in errors if not error.is_of_file]

        write_rows(world.files / "night" / "b.jsonl", 10, 3)
        write_rows(world.files / "night" / "c.jsonl", 10, 1, 2, 3, first=10)
        job = world.imported(["night/"], on_error="skip_row", max_errors="2")
        assert places() == [("night/b.jsonl", 3), *(("night/c.jsonl", row) for row in (1, 2, 3))]

        write_rows(world.files / "night" / "c.jsonl", 10, first=10)
        write_rows(world.files / "night" / "d.jsonl", 10, 4, 5, 6, first=20)
        job = world.ended(world.retry(job))
        assert job.state is JobState.FAILED
        assert places() == [("night/b.jsonl", 3), *(("night/d.jsonl", row) for row in (4, 5, 6))]


def test_a_replay_of_skipped_files_imports_them_once_they_are_corrected(world: World) -> None:
    world.collection()
    write_rows(world.files / "a.jsonl", 10)
    write_rows(world.files / "b.jsonl", 10, 2, first=10)
    job = world.imported(["a.jsonl"], ["b.jsonl"], on_error="skip_file")
    [error] = rejections(world).page(CLUSTER, job.id, ANONYMOUS).errors
    # The place and the value are beside the sentence, not in it as well.
    assert (error.row, error.reasons[0].field) == (2, "vector")
    assert error.reasons[0].message.startswith("the vector has 3 dimensions, the field has 4.")
    write_rows(world.files / "b.jsonl", 10, first=10)

    again = replayed(world, job)

    assert (again.state, again.rows) == (JobState.COMPLETED, 10), again.reason
    assert ids(world, job) == list(range(20))


def test_a_replay_goes_to_the_partition_that_has_the_name_now(world: World) -> None:
    text = Field(name="text", type=DataType.VARCHAR, max_length=3)
    docs = world.collection(schema=replace(SCHEMA, fields=(*SCHEMA.fields, text)))
    world.partitions.create(docs, "p")
    rows = [{"id": number, "vector": [1, 2, 3, 4], "text": "x" * number} for number in range(1, 6)]
    (world.files / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    request = CreateImport(
        caller=ANONYMOUS,
        cluster_id=CLUSTER,
        collection="docs",
        partition="p",
        groups=[["a.jsonl"]],
        options={"on_error": "skip_row"},
    )
    job = world.ended(world.imports.create(request))
    assert (job.rows, job.rejected_rows) == (3, 2), job.reason
    world.partitions.drop(world.fresh(docs), "p")
    anew = world.partitions.create(world.fresh(docs), "p")
    alterations = AlterationService(world.catalog, world.engines, world.scheduler.maintenance.request)
    alterations.alter_field(CLUSTER, "default", "docs", "text", {"max_length": "5"})

    again = replayed(world, job)

    assert (again.state, again.rows) == (JobState.COMPLETED, 2), again.reason
    assert set(world.rows(docs, partitions=[anew.number])["id"].to_pylist()) == {4, 5}


@pytest.mark.parametrize("on_error", ["skip_row", "skip_file"])
def test_a_replay_of_an_overwrite_adds_what_it_has_left_out(world: World, on_error: str) -> None:
    world.collection()
    write_rows(world.files / "a.jsonl", 10)
    write_rows(world.files / "b.jsonl", 10, 2, first=10)
    job = world.imported(["a.jsonl"], ["b.jsonl"], on_error=on_error, write_mode="overwrite")
    write_rows(world.files / "corrected.jsonl", 10, first=10)

    again = replayed(world, job, ["corrected.jsonl"])

    assert (again.state, again.rows, again.replaced_rows) == (JobState.COMPLETED, 10, 0), again.reason
    assert set(ids(world, job)) == set(range(20))


def test_a_job_without_rejects_has_nothing_to_replay_or_download(world: World) -> None:
    world.collection()
    write_rows(world.files / "a.jsonl", 10)
    job = world.imported(["a.jsonl"], on_error="skip_row")
    before = len(world.imports.list(JobQuery(cluster_id=CLUSTER, caller=ANONYMOUS)).jobs)
    with pytest.raises(JobStateConflict, match="nothing to replay"):
        replayed(world, job)
    with pytest.raises(JobStateConflict, match="has rejected no rows"):
        rejections(world).download(CLUSTER, job.id, ANONYMOUS, "jsonl")
    with pytest.raises(InvalidParameter, match="jsonl, parquet"):
        rejections(world).download(CLUSTER, job.id, ANONYMOUS, "xlsx")
    with pytest.raises(InvalidParameter, match="cursor"):
        rejections(world).page(CLUSTER, job.id, ANONYMOUS, cursor="x")
    assert len(world.imports.list(JobQuery(cluster_id=CLUSTER, caller=ANONYMOUS)).jobs) == before


def test_a_full_store_of_rejects_only_counts_them_and_refuses_the_replay(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(max_reject_bytes=1)) as world:
        world.collection()
        write_rows(world.files / "a.jsonl", 50, 3)
        first = world.imported(["a.jsonl"], on_error="skip_row")
        assert world.catalog.jobs.reject_bytes(CLUSTER) == first.reject_bytes > 1
        second = world.imported(["a.jsonl"], on_error="skip_row")
        assert (second.rejected_rows, second.reject_bytes) == (1, 0)
        assert warned(second)["rejects_not_kept"] == 1
        with pytest.raises(JobStateConflict, match="max_reject_bytes"):
            replayed(world, second)


def test_a_failed_job_shows_its_error(world: World) -> None:
    world.collection()
    write_rows(world.files / "a.jsonl", 10, 7)
    job = world.imported(["a.jsonl"])
    (error,) = rejections(world).page(CLUSTER, job.id, ANONYMOUS).errors
    assert (error.file, error.row, error.is_of_file) == ("a.jsonl", 7, True)
    assert error.reasons[0].field == "vector"
    missing = world.imported(["none.jsonl"])
    (error,) = rejections(world).page(CLUSTER, missing.id, ANONYMOUS).errors
    assert "none.jsonl" in error.reasons[0].message


def test_rejects_go_with_the_history_and_with_the_collection(world: World) -> None:
    collection = world.collection()
    write_rows(world.files / "a.jsonl", 10, 7)
    job = world.imported(["a.jsonl"], on_error="skip_row")
    cleanup = OrphanCleanup(
        ImportContext(world.catalog, world.engines, world.runner, ImportRoots([]), world.settings)
    )
    cleanup.delete_rejects(collection)
    assert world.engine.jobs_with_rejects(collection.id) == [job.id]
    assert world.catalog.retention.forget_jobs(CLUSTER, now_millis() + 1000, 0) == 1
    cleanup.delete_rejects(collection)
    assert world.engine.jobs_with_rejects(collection.id) == []


def test_a_repeated_split_gives_its_rejects_once(tmp_path: Path, runner: LocalRunner) -> None:
    bad = list(range(0, 4000, 40))
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        world.collection()
        write_rows(world.files / "a.jsonl", 4000, *bad)
        workers = workers_of(runner)
        job = world.create(["a.jsonl"], on_error="skip_row")
        wait_until(lambda: len(staged_splits(world, job)) > 1)
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        done = world.ended(job)
        assert (done.state, done.rejected_rows) == (JobState.COMPLETED, 100), done.reason
        pages = rejections(world).page(CLUSTER, job.id, ANONYMOUS, limit=1000)
        assert [error.row for error in pages.errors] == bad
        assert set(ids(world, job)) == set(range(4000)) - set(bad)
