"""A file that changes while it is imported: no row of another version gets in, and the reason says what happened."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.domain.jobs import ImportJob, JobState, SplitState
from penstock.imports.tasks import plan_files, scan_range, stage_split
from penstock.runners.base import TaskContext
from penstock.runners.local import LocalRunner
from tests.support.s3 import S3Server
from tests.support.web_server import web_server
from tests.support.worlds import World, a_world, job_settings

ROWS = 4_000
SETTINGS = job_settings(split_bytes=10_000_000, batch_bytes=20_000)
CHANGED = "has changed while it was imported"


@dataclass
class InlineRunner:
    """Runs tasks where they are submitted; calls ``disturb`` once, when a task of ``function`` has done a step."""

    function: Callable[..., Any]
    disturb: Callable[[], None]
    slots: int = 1
    slots_per_task: int = 1
    disturbed: bool = False

    def submit(self, function: Callable[[Any, TaskContext], Any], argument: Any) -> _Done:
        future: Future[Any] = Future()
        try:
            future.set_result(function(argument, _Context(self, function)))
        except Exception as error:  # noqa: BLE001 - it is the result
            future.set_exception(error)
        return _Done(future)

    def close(self) -> None:
        """There is nothing to stop."""


@dataclass
class _Done:
    future: Future[Any]

    def progress(self) -> tuple[int, int]:
        return 0, 0

    def cancel(self, grace: float | None = None) -> None:
        """It has ended."""


@dataclass
class _Context:
    runner: InlineRunner
    function: Callable[..., Any]
    steps: list[int] = field(default_factory=list)

    def report(self, done_bytes: int, done_rows: int) -> None:
        self.steps.append(done_rows)

    def check(self) -> None:
        """A task asks before each batch or block: the second time something of the file has been read."""
        self.steps.append(0)
        if self.function is self.runner.function and len(self.steps) > 1 and not self.runner.disturbed:
            self.runner.disturbed = True
            self.runner.disturb()


@contextmanager
def disturbed_world(
    folder: Path, function: Callable[..., Any], disturb: Callable[[], None], **options: Any
) -> Iterator[World]:
    runner = InlineRunner(function, disturb)
    with a_world(folder, runner, **{"settings": SETTINGS, **options}) as world:
        yield world
        assert runner.disturbed, "the file was changed in time"


def json_lines(night: int, rows: int = ROWS) -> str:
    return "".join(json.dumps({"id": number, "vector": [night, 1, 2, 3]}) + "\n" for number in range(rows))


def write_in_place(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)


def replace(path: Path, content: bytes) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(content)
    os.replace(other, path)


def write_and_put_the_time_back(path: Path, content: bytes) -> None:
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    write_in_place(path, content)
    os.utime(path, ns=times)


WRITERS = (write_in_place, replace, write_and_put_the_time_back)


def nights(world: World, job: ImportJob) -> set[float]:
    """The nights that the rows of the job's collection are of."""
    collection = world.catalog.collections.by_id(job.collection_id)
    assert collection is not None
    return {vector[0] for vector in world.rows(collection)["vector"].to_pylist() if vector}


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_that_is_overwritten_while_a_split_is_read(
    write: Callable[[Path, bytes], None], tmp_path: Path
) -> None:
    path = tmp_path / "files" / "a.jsonl"
    path.parent.mkdir()
    path.write_text(json_lines(1))
    with disturbed_world(tmp_path, stage_split, lambda: write(path, json_lines(2).encode())) as world:
        world.collection()
        job = world.imported(["a.jsonl"])
        assert (job.state, nights(world, job)) == (JobState.FAILED, set())
        assert job.reason is not None
        assert job.reason.startswith(f"file 'a.jsonl' {CHANGED}: it was written or replaced at 2")
        assert "retry the job or import the file again" in job.reason
        assert str(tmp_path) not in job.reason
        done = world.ended(world.retry(job))
        assert (done.state, done.rows, nights(world, job)) == (JobState.COMPLETED, ROWS, {2})


def test_a_file_that_is_overwritten_while_it_is_looked_through(tmp_path: Path) -> None:
    path = tmp_path / "files" / "a.json"
    path.parent.mkdir()
    content = json_lines(1, 60_000).replace("\n", ",\n")[:-2]
    path.write_text(f"[{content}]")
    settings = job_settings(split_bytes=path.stat().st_size * 2 // 3)
    disturb = lambda: write_in_place(path, b"[" + content.replace("[1", "[2").encode())  # noqa: E731
    with disturbed_world(tmp_path, scan_range, disturb, settings=settings) as world:
        world.collection()
        job = world.imported(["a.json"])
        assert job.state is JobState.FAILED
        assert CHANGED in str(job.reason)


def test_a_numpy_set_never_pairs_files_of_two_nights(tmp_path: Path) -> None:
    folder = tmp_path / "files" / "set"
    folder.mkdir(parents=True)

    def save(night: int) -> None:
        for name, values in (
            ("id", np.arange(ROWS)),
            ("vector", np.full((ROWS, 4), night, np.float32)),
        ):
            np.save(folder / "new.npy", values)
            os.replace(folder / "new.npy", folder / f"{name}.npy")

    save(1)
    with disturbed_world(tmp_path, stage_split, lambda: save(2)) as world:
        world.collection()
        job = world.imported(["set/id.npy", "set/vector.npy"])
        assert (job.state, nights(world, job)) == (JobState.FAILED, set())
        assert CHANGED in str(job.reason)


def test_a_parquet_file_that_is_overwritten_has_changed_and_is_not_damaged(tmp_path: Path) -> None:
    path = tmp_path / "files" / "a.parquet"
    path.parent.mkdir()
    table = pa.table({"id": range(ROWS), "vector": [[1.0, 2, 3, 4]] * ROWS})
    pq.write_table(table, path, row_group_size=500)
    size = path.stat().st_size
    with disturbed_world(
        tmp_path, stage_split, lambda: write_in_place(path, b"PAR1" + os.urandom(size - 4))
    ) as world:
        world.collection()
        job = world.imported(["a.parquet"])
        assert job.state is JobState.FAILED
        assert str(job.reason).startswith(f"file 'a.parquet' {CHANGED}"), job.reason
        assert "damaged" not in str(job.reason)


def test_a_file_that_is_overwritten_between_two_splits_and_two_servers(tmp_path: Path, runner: LocalRunner) -> None:
    settings = job_settings(split_bytes=20_000)
    with a_world(tmp_path, runner, settings) as world:
        world.collection()
        path = world.files / "a.jsonl"
        path.write_text(json_lines(1))
        job = world.create(["a.jsonl"])
        world.until(lambda: any(split.state is SplitState.STAGED for split in world.catalog.jobs.splits(job.id)))
    with a_world(tmp_path, runner, settings, started=False) as world:
        assert world.job(job.id).state is JobState.IMPORTING
    write_in_place(path, json_lines(2).encode())
    with a_world(tmp_path, runner, settings) as world:
        failed = world.ended(job)
        assert (failed.state, nights(world, job)) == (JobState.FAILED, set())
        assert CHANGED in str(failed.reason)
        done = world.ended(world.retry(job))
        assert (done.state, done.rows, nights(world, job)) == (JobState.COMPLETED, ROWS, {2})


@pytest.mark.parametrize("tag", ["ETag", "Last-Modified", ""])
def test_a_file_of_a_web_server_that_is_overwritten(tag: str, tmp_path: Path) -> None:
    with web_server() as web:
        web.tag = tag
        web.files["/a.jsonl"] = json_lines(1).encode()
        longer = json_lines(2).encode() + (b"" if tag else b" ")
        disturb = lambda: web.files.update({"/a.jsonl": longer})  # noqa: E731
        stores = {"networks": "127.0.0.0/8"}
        with disturbed_world(tmp_path, stage_split, disturb, roots=[f"{web.url}/"], web=stores) as world:
            world.collection()
            job = world.imported([f"{web.url}/a.jsonl"])
            assert (job.state, nights(world, job)) == (JobState.FAILED, set())
            assert CHANGED in str(job.reason)


def test_a_numpy_set_of_an_object_store_never_pairs_objects_of_two_nights(tmp_path: Path, s3: S3Server) -> None:
    bucket = s3.make_bucket()

    def save(night: int) -> None:
        for name, values in (("id", np.arange(ROWS)), ("vector", np.full((ROWS, 4), night, np.float32))):
            np.save(tmp_path / "values.npy", values)
            s3.put(bucket, f"set/{name}.npy", (tmp_path / "values.npy").read_bytes())

    save(1)
    with disturbed_world(
        tmp_path, stage_split, lambda: save(2), roots=[f"s3://{bucket}"], store=s3.settings
    ) as world:
        world.collection()
        job = world.imported([f"s3://{bucket}/set/"])
        assert (job.state, nights(world, job)) == (JobState.FAILED, set())
        assert CHANGED in str(job.reason)


def test_a_plan_that_reads_a_footer_of_another_version(tmp_path: Path) -> None:
    """The first file of a task is planned, and then the second one, which has been replaced meanwhile."""
    files = tmp_path / "files"
    files.mkdir()
    table = pa.table({"id": [1], "vector": [[1.0, 2, 3, 4]]})
    for name in ("a", "b"):
        pq.write_table(table, files / f"{name}.parquet")
    content = (files / "b.parquet").read_bytes()
    with disturbed_world(tmp_path, plan_files, lambda: replace(files / "b.parquet", content)) as world:
        world.collection()
        job = world.imported(["a.parquet"], ["b.parquet"])
        assert str(job.reason).startswith(f"file 'b.parquet' {CHANGED}")
