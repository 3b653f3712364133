"""A failed job goes on with what is missing of it, when somebody asks for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.domain.access import ANONYMOUS, Caller
from penstock.domain.jobs import FileState, ImportJob, JobState
from penstock.domain.quotas import JobLimits
from penstock.errors import (
    JobNotFound,
    JobStateConflict,
    LimitExceeded,
    MissingParameter,
    PartitionNotFound,
    PathNotAllowed,
    SourceUnavailable,
)
from penstock.imports.requests import CreateImport, StoreCredentials
from penstock.imports.retry import RetriesExhausted, backoff, retry_transient
from penstock.runners.local import LocalRunner
from tests.support.catalogs import CLUSTER
from tests.support.s3 import S3Server
from tests.support.worlds import World, a_world, job_settings

ROWS = 1_000
SETTINGS = job_settings(split_bytes=10_000, retry_pause=0.01)


def write_rows(path: Path, start: int = 0, bad: int | None = None) -> None:
    rows = [{"id": number, "vector": [number, 1, 2, 3]} for number in range(start, start + ROWS)]
    if bad is not None:
        rows[bad] = {"id": start + bad, "vector": [1]}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def staged(world: World, job: ImportJob) -> dict[tuple[int, int], str]:
    """What the splits of a job have staged, by file and place in it."""
    return {
        (file_range.file, file_range.spec["start"]): str(split.staged)
        for split in world.catalog.jobs.splits(job.id)
        for file_range in split.ranges
        if split.staged
    }


def stored_files(world: World, job: ImportJob) -> int:
    data = world.folder / "collections" / f"{job.collection_id}.lance" / "data"
    return len(list(data.iterdir())) if data.exists() else 0


@pytest.fixture
def world(tmp_path: Path, runner: LocalRunner) -> Iterator[World]:
    with a_world(tmp_path, runner, SETTINGS) as made:
        yield made


def failed_night(world: World) -> ImportJob:
    """A job of two files, of which the second has a bad row at its end."""
    world.collection()
    write_rows(world.files / "a.jsonl")
    write_rows(world.files / "b.jsonl", start=ROWS, bad=ROWS - 1)
    job = world.imported(["a.jsonl"], ["b.jsonl"])
    assert job.state is JobState.FAILED
    return job


def test_a_file_that_was_mended_is_read_again_and_the_others_are_not(world: World) -> None:
    job = failed_night(world)
    kept = {place: note for place, note in staged(world, job).items() if place[0] == 0}
    assert kept
    write_rows(world.files / "b.jsonl", start=ROWS)
    again = world.retry(job)
    assert (again.id, again.state, again.reason, again.finished_at) == (job.id, JobState.PENDING, None, None)
    assert (again.progress, again.rows) == (job.progress, job.rows)
    done = world.ended(job)
    assert (done.state, done.rows, done.progress, done.reason) == (JobState.COMPLETED, 2 * ROWS, 100, None)
    assert kept.items() <= staged(world, job).items()
    collection = world.catalog.collections.by_id(job.collection_id)
    assert collection is not None
    assert world.rows(collection)["id"].to_pylist() == list(range(2 * ROWS))
    files = world.catalog.jobs.files(job.id)
    assert [(file.state, file.rows, file.reason) for file in files] == [(FileState.COMPLETED, ROWS, None)] * 2


def test_what_was_staged_of_a_changed_file_is_removed(world: World) -> None:
    job = failed_night(world)
    write_rows(world.files / "b.jsonl", start=ROWS)
    assert world.ended(world.retry(job)).state is JobState.COMPLETED
    splits = len(world.catalog.jobs.splits(job.id))
    world.until(lambda: stored_files(world, job) == splits)


def test_small_files_that_were_staged_together_stay_so_while_new_ones_come(
    tmp_path: Path, runner: LocalRunner
) -> None:
    with a_world(tmp_path, runner, replace(SETTINGS, split_bytes=220_000)) as world:
        docs = world.collection()
        (world.files / "night").mkdir()
        for number, name in enumerate("bcdef"):
            write_rows(world.files / "night" / f"{name}.jsonl", number * ROWS, bad=ROWS - 1 if name == "f" else None)
        job = world.imported(["night/"])
        kept = staged(world, job)
        assert {file for file, _ in kept} == {0, 1, 2, 3}
        assert len(set(kept.values())) == 2
        write_rows(world.files / "night" / "a.jsonl", 5 * ROWS)
        write_rows(world.files / "night" / "f.jsonl", 4 * ROWS)
        done = world.ended(world.retry(job))
        assert (done.state, done.rows, done.reason) == (JobState.COMPLETED, 6 * ROWS, None)
        again = staged(world, job)
        assert [again[file, 0] for file in (1, 2, 3, 4)] == list(kept.values())
        assert world.rows(docs)["id"].to_pylist() == list(range(6 * ROWS))
        assert [file.rows for file in world.catalog.jobs.files(job.id)] == [ROWS] * 6


def test_progress_never_falls_over_a_retry(world: World) -> None:
    job = failed_night(world)
    write_rows(world.files / "b.jsonl", start=ROWS)
    seen = [(job.progress, job.rows)]
    world.retry(job)
    while not (now := world.job(job.id)).state.is_final:
        seen.append((now.progress, now.rows))
    assert seen == sorted(seen)


def test_a_job_that_fails_again_says_so_again(world: World) -> None:
    job = failed_night(world)
    again = world.ended(world.retry(job))
    assert (again.state, again.reason) == (JobState.FAILED, job.reason)
    assert again.finished_at is not None
    assert world.retry(again).state is JobState.PENDING


def test_after_the_window_everything_is_staged_again(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, replace(SETTINGS, staged_file_retention=0)) as world:
        job = failed_night(world)
        world.scheduler.wake()
        world.until(lambda: stored_files(world, job) == 0)
        write_rows(world.files / "b.jsonl", start=ROWS)
        done = world.ended(world.retry(job))
        assert (done.state, done.rows) == (JobState.COMPLETED, 2 * ROWS)


def test_a_partition_made_anew_is_another_one(world: World) -> None:
    docs = world.collection()
    world.partitions.create(docs, "p")
    write_rows(world.files / "a.jsonl")
    write_rows(world.files / "b.jsonl", start=ROWS, bad=ROWS - 1)
    request = CreateImport(
        caller=ANONYMOUS, cluster_id=CLUSTER, collection="docs", partition="p", groups=[["a.jsonl"], ["b.jsonl"]]
    )
    job = world.ended(world.imports.create(request))
    world.partitions.drop(world.fresh(docs), "p")
    with pytest.raises(PartitionNotFound):
        world.retry(job)
    anew = world.partitions.create(world.fresh(docs), "p")
    write_rows(world.files / "b.jsonl", start=ROWS)
    assert world.ended(world.retry(job)).state is JobState.COMPLETED
    assert world.rows(docs, partitions=[anew.number]).num_rows == 2 * ROWS


def test_a_timeout_counts_from_the_retry(world: World) -> None:
    world.collection()
    write_rows(world.files / "a.jsonl")
    job = world.imported(["a.jsonl"], timeout="1ns")
    assert job.state is JobState.FAILED
    assert str(job.reason).startswith("import timeout: the job was not finished by ")
    with world.catalog.database.write() as connection:
        connection.exec_driver_sql('UPDATE job SET options = \'{"timeout": "10m"}\'')
    assert world.ended(world.retry(job)).state is JobState.COMPLETED


def test_a_job_with_the_callers_own_keys_needs_them_again(tmp_path: Path, runner: LocalRunner, s3: S3Server) -> None:
    keys = StoreCredentials("server-key", "server-secret")
    store = {"endpoint": s3.endpoint, "region": "us-east-1"}
    with a_world(tmp_path, runner, SETTINGS, roots=["s3://"], store=store) as world:
        docs = world.collection()
        bucket = s3.make_bucket()
        address = s3.put(bucket, "a.jsonl", b"nonsense")
        job = world.ended(
            world.imports.create(
                CreateImport(caller=ANONYMOUS, cluster_id=CLUSTER, collection="docs", groups=[[address]], keys=keys)
            )
        )
        assert job.state is JobState.FAILED
        assert world.catalog.jobs.secret(job.id) == {}
        with pytest.raises(MissingParameter, match="accessKey and secretKey, which were deleted"):
            world.retry(job)
        assert world.job(job.id) == job
        s3.put(bucket, "a.jsonl", b'{"id": 1, "vector": [1, 2, 3, 4]}\n')
        assert world.ended(world.retry(job, keys)).state is JobState.COMPLETED
        assert world.catalog.jobs.secret(job.id) == {}
        assert world.count(docs) == 1


def test_what_can_not_be_retried_says_why_and_stays_as_it_is(world: World) -> None:
    with pytest.raises(JobNotFound):
        world.imports.retry(CLUSTER, 7, StoreCredentials(), ANONYMOUS)
    failed = failed_night(world)
    with pytest.raises(JobNotFound):
        world.imports.retry("in01-another", failed.id, StoreCredentials(), ANONYMOUS)
    done = world.imported(["a.jsonl"])
    waiting = world.create(["a.jsonl"], auto_commit="false")
    world.until(lambda: world.job(waiting.id).state is JobState.UNCOMMITTED)
    for job, words in ((done, "is in state Completed, expected Failed"), (waiting, "Uncommitted, expected Failed")):
        before = world.job(job.id)
        with pytest.raises(JobStateConflict, match=words):
            world.retry(job)
        assert world.job(job.id) == before
    world.imports.abort(CLUSTER, waiting.id, ANONYMOUS)
    with pytest.raises(JobStateConflict, match="was aborted by user, only a failed job"):
        world.retry(waiting)
    world.collections.drop(CLUSTER, "default", "docs")
    with pytest.raises(JobStateConflict, match="its collection docs was dropped"):
        world.retry(failed)


def test_a_retry_counts_as_a_live_job(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, replace(SETTINGS, limits=JobLimits(collection=1))) as world:
        job = failed_night(world)
        waiting = world.create(["a.jsonl"], auto_commit="false")
        with pytest.raises(LimitExceeded, match="max_jobs_per_collection"):
            world.retry(job)
        world.imports.abort(CLUSTER, waiting.id, ANONYMOUS)
        assert world.retry(job).state is JobState.PENDING


def test_a_key_retries_only_what_it_may_import(world: World) -> None:
    job = failed_night(world)
    mine = Caller(name="mine", org_id=None, grants=ANONYMOUS.grants, roots=("a.jsonl",))
    with pytest.raises(PathNotAllowed, match=r"'b\.jsonl' is outside the import roots of your key"):
        world.imports.retry(CLUSTER, job.id, StoreCredentials(), mine)
    ours = Caller(name="ours", org_id=None, grants=ANONYMOUS.grants, roots=("a.jsonl", "b.jsonl"))
    write_rows(world.files / "b.jsonl", start=ROWS)
    world.imports.retry(CLUSTER, job.id, StoreCredentials(), ours)
    assert world.ended(job).state is JobState.COMPLETED
    assert world.catalog.jobs.roots(job.id) == [["a.jsonl", "b.jsonl"]]


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("the store is busy", "the store is busy."),
        ("the store is busy (503)", "the store is busy (503)."),
        ("the store is busy. Is it down?", "the store is busy. Is it down?"),
    ],
)
def test_the_last_error_of_all_attempts_is_a_sentence(reason: str, sentence: str) -> None:
    def attempt() -> None:
        raise SourceUnavailable(reason)

    settings = job_settings(max_attempts=2, retry_pause=0.001)
    with pytest.raises(RetriesExhausted) as raised:
        retry_transient(attempt, "reading", settings, threading.Event(), lambda error: None)
    assert str(raised.value).startswith(f"{sentence} This was tried 2 times within 0 s while reading. ")


def test_pauses_after_failures_double_up_to_a_limit() -> None:
    pauses = [backoff(failures, 60.0, 3600.0) for failures in range(1, 9)]
    assert all(60 * 2**place <= pause <= 60 * 2**place + 30 for place, pause in enumerate(pauses[:6]))
    assert pauses[6:] == [3600.0, 3600.0]
