"""Limits: what is refused at create, what fails the job, and what happens when the time or the disk is over."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from penstock.domain.access import ANONYMOUS
from penstock.domain.jobs import JobState
from penstock.domain.quotas import JobLimits
from penstock.errors import CatalogFull, ImportRefused, LimitExceeded
from penstock.imports.requests import CreateImport
from penstock.runners.local import LocalRunner
from tests.support.catalogs import CLUSTER
from tests.support.worlds import World, a_world, job_settings

MIB = 1 << 20


def write_rows(path: Path, rows: int = 100) -> None:
    path.write_text("".join(json.dumps({"id": n, "vector": [n, 1, 2, 3]}) + "\n" for n in range(rows)))


def test_a_file_that_is_too_large_fails_the_job_and_v1_at_create(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(max_file_bytes=1_000)) as world:
        world.collection()
        write_rows(world.files / "a.jsonl")
        size = (world.files / "a.jsonl").stat().st_size
        job = world.imported(["a.jsonl"])
        assert job.state is JobState.FAILED
        assert f"file 'a.jsonl' has {size:,} bytes; the limit per file is 1,000 (max_file_bytes)" in (
            job.reason or ""
        )
        request = CreateImport(
            caller=ANONYMOUS, cluster_id=CLUSTER, collection="docs", groups=[["a.jsonl"]], heads=True
        )
        with pytest.raises(LimitExceeded, match="max_file_bytes") as caught:
            world.imports.create(request)
        assert caught.value.details["limit"] == "max_file_bytes"


def test_all_files_of_a_job_together_may_be_too_large(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(max_job_bytes=5_000)) as world:
        docs = world.collection()
        for name in "ab":
            write_rows(world.files / f"{name}.jsonl")
        job = world.imported(["a.jsonl"], ["b.jsonl"])
        assert job.state is JobState.FAILED
        assert "the limit per job is 5,000 (max_job_bytes). Import them in several jobs" in (job.reason or "")
        assert world.imported(["a.jsonl"]).state is JobState.COMPLETED
        assert world.count(docs) == 100


def test_v1_tells_of_an_incomplete_numpy_set_at_create(world: World) -> None:
    world.collection()
    folder = world.files / "set"
    folder.mkdir()
    np.save(folder / "id.npy", np.arange(3))
    request = CreateImport(caller=ANONYMOUS, cluster_id=CLUSTER, collection="docs", groups=[["set/"]], heads=True)
    with pytest.raises(ImportRefused, match=r"missing: vector\.npy") as caught:
        world.imports.create(request)
    assert caught.value.details["rule"] == "numpy_fields"
    np.save(folder / "vector.npy", np.zeros((3, 4), np.float32))
    assert world.ended(world.imports.create(request)).state is JobState.COMPLETED


def test_a_cluster_takes_so_many_jobs_and_no_more(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(limits=JobLimits(cluster=1)), started=False) as world:
        world.collection()
        world.collection("other")
        first = world.create(["a.jsonl"])
        with pytest.raises(LimitExceeded, match="max_jobs_per_cluster = 1") as caught:
            world.create(["a.jsonl"], collection="other")
        assert caught.value.details["limit"] == "max_jobs_per_cluster"
        world.imports.abort(CLUSTER, first.id, ANONYMOUS)
        assert world.create(["a.jsonl"], collection="other").state is JobState.PENDING


# Time


def test_the_time_runs_while_a_job_waits_for_its_turn(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(max_running_jobs=1)) as world:
        world.collection()
        write_rows(world.files / "a.jsonl")
        write_rows(world.files / "long.jsonl", 400_000)
        long = world.create(["long.jsonl"])
        world.until(lambda: world.job(long.id).state is JobState.IMPORTING)
        waiting = world.create(["a.jsonl"], timeout="1ms")
        ended = world.ended(waiting)
        assert (ended.state, ended.started_at) == (JobState.FAILED, None)
        assert "job_timeout" in str(ended.reason)
        assert world.job(long.id).state is not JobState.FAILED


def test_the_time_runs_while_a_job_waits_for_its_commit(world: World) -> None:
    docs = world.collection()
    write_rows(world.files / "a.jsonl")
    job = world.create(["a.jsonl"], auto_commit="false", timeout="3s")
    world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
    ended = world.ended(job)
    assert (ended.state, ended.rows) == (JobState.FAILED, 100)
    assert str(ended.reason).startswith("import timeout: the job was not finished by ")
    assert world.count(docs) == 0


def test_a_server_may_give_every_job_a_time(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(timeout=0.0), started=False) as world:
        world.collection()
        unbound = world.create(["a.jsonl"], timeout="5m")
        bound = world.create(["a.jsonl"])
        world.until(lambda: [each.id for each in world.catalog.jobs.overdue()] == [bound.id])
        assert unbound.deadline is not None


def test_a_committed_job_has_all_the_time_it_needs(world: World) -> None:
    world.collection()
    write_rows(world.files / "a.jsonl")
    job = world.create(["a.jsonl"], auto_commit="false", timeout="10m")
    world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
    world.imports.commit(CLUSTER, job.id, ANONYMOUS)
    assert world.job(job.id).deadline is None


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("this machine doesn't let us mount a file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_fails_the_job_that_met_it_and_no_other(
    tmp_path: Path, small_disk: Path, runner: LocalRunner
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    np.save(files / "id.npy", np.arange(2 * MIB))
    np.save(files / "vector.npy", np.random.default_rng(1).random((2 * MIB, 4), dtype=np.float32))
    write_rows(files / "a.jsonl")
    with a_world(small_disk, runner, job_settings(split_bytes=4 * MIB), roots=[str(files)]) as world:
        docs = world.collection()
        large = world.create(["id.npy", "vector.npy"])
        small = world.create(["a.jsonl"])
        failed = world.ended(large)
        assert failed.state is JobState.FAILED
        # Rows and catalog share this disk: whichever wants room first says so.
        assert "No space is left" in (failed.reason or "")
        assert re.search(r"Free space on (the store's|its) disk", failed.reason or "")
        if world.ended(small).state is JobState.FAILED:
            # It was unlucky, and met the full disk before the large job's files were gone.
            world.until(lambda: not list(small_disk.glob(f"collections/{docs.id}.lance/data/*")))
            world.retry(small)
        assert world.ended(small).state is JobState.COMPLETED
        assert world.count(docs) == 100
        with world.catalog.database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"


def test_a_full_catalog_refuses_calls_and_goes_on_when_there_is_room(
    tmp_path: Path, small_disk: Path, runner: LocalRunner
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    write_rows(files / "a.jsonl")
    with a_world(small_disk, runner, roots=[str(files)]) as world:
        docs = world.collection()
        first = world.create(["a.jsonl"], auto_commit="false")
        world.until(lambda: world.job(first.id).state is JobState.UNCOMMITTED)
        filler = small_disk / "filler"
        fill(filler)
        with pytest.raises(CatalogFull, match=r"catalog.*Free space"):
            for _ in range(10_000):
                world.create(["a.jsonl"], auto_commit="false", note="x" * 1000)
        assert world.job(first.id).state is JobState.UNCOMMITTED, "reading goes on"
        filler.unlink()
        world.imports.commit(CLUSTER, first.id, ANONYMOUS)
        assert world.ended(first).state is JobState.COMPLETED
        assert world.imported(["a.jsonl"]).state is JobState.COMPLETED
        assert world.count(docs) == 200
        with world.catalog.database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"


def fill(path: Path) -> None:
    """Write until no byte is left."""
    with path.open("wb", buffering=0) as file:
        for size in (MIB, 4096):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
