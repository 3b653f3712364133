"""What crashes and failures leave behind is removed; what belongs to somebody never is."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.domain.access import ANONYMOUS
from penstock.domain.collections import Collection
from penstock.domain.jobs import JobState
from penstock.errors import JobNotFound
from penstock.imports.cleanup import OrphanCleanup, Retention
from penstock.imports.context import ImportContext
from penstock.imports.settings import JobSettings
from penstock.runners.local import LocalRunner
from penstock.sources.roots import ImportRoots
from tests.support.catalogs import CLUSTER
from tests.support.worlds import World, a_world, job_settings

ROWS = 1_000
SETTINGS = job_settings(split_bytes=10_000, orphan_age=3600)


def write_rows(folder: Path, bad: bool = False) -> None:
    rows = [{"id": number, "vector": [number, 1, 2, 3]} for number in range(ROWS)]
    if bad:
        rows[-1] = {"id": 0, "vector": []}
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def data_files(world: World, collection: Collection) -> set[Path]:
    return set((world.folder / "collections" / f"{collection.id}.lance" / "data").iterdir())


def an_orphan(world: World, collection: Collection, age: float) -> Path:
    """A file as a process leaves it that is killed between staging a split and noting it."""
    some = min(data_files(world, collection))
    orphan = some.with_stem(f"lost-{age:.0f}")
    shutil.copy(some, orphan)
    then = time.time() - age
    os.utime(orphan, (then, then))
    return orphan


def context(world: World, settings: JobSettings) -> ImportContext:
    return ImportContext(world.catalog, world.engines, world.runner, ImportRoots([str(world.files)]), settings)


def sweep(world: World) -> OrphanCleanup:
    return OrphanCleanup(context(world, world.settings))


def make_old(world: World, collection: Collection) -> None:
    for file in data_files(world, collection):
        os.utime(file, (0, 0))


def test_an_old_orphan_is_removed_and_nothing_else(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SETTINGS) as world:
        docs = world.collection()
        write_rows(world.files)
        assert world.imported(["a.jsonl"]).state is JobState.COMPLETED
        make_old(world, docs)
        old, young = an_orphan(world, docs, 7200), an_orphan(world, docs, 0)
        sweep(world)()
        assert not old.exists()
        assert young.exists()
        assert world.count(docs) == ROWS
        assert world.rows(docs)["id"].to_pylist() == list(range(ROWS))


def test_cleanups_that_follow_each_other_look_for_orphans_once(
    tmp_path: Path, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each create call wakes the cleanup, and there may be very many collections."""
    with a_world(tmp_path, runner, SETTINGS, started=False) as world:
        every, rounds = world.catalog.collections.all, list[Sequence[Collection]]()

        def counted() -> Sequence[Collection]:
            rounds.append(every())
            return rounds[-1]

        monkeypatch.setattr(world.catalog.collections, "all", counted)
        cleanup = sweep(world)
        for _ in range(3):
            cleanup()
        assert len(rounds) == 1


def test_nothing_is_removed_while_a_job_lives(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SETTINGS) as world:
        docs = world.collection()
        write_rows(world.files)
        job = world.create(["a.jsonl"], auto_commit="false")
        world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
        make_old(world, docs)
        orphan = an_orphan(world, docs, 7200)
        assert not sweep(world).sweep(world.fresh(docs))
        assert orphan.exists()
        world.imports.commit(CLUSTER, job.id, ANONYMOUS)
        assert world.ended(job).state is JobState.COMPLETED
        sweep(world)()
        assert not orphan.exists()
        assert world.count(docs) == ROWS


def test_a_failed_jobs_parts_are_no_orphans_while_it_may_be_retried(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SETTINGS) as world:
        docs = world.collection()
        write_rows(world.files, bad=True)
        job = world.imported(["a.jsonl"])
        assert job.state is JobState.FAILED
        make_old(world, docs)
        staged = data_files(world, docs)
        assert staged
        sweep(world)()
        assert data_files(world, docs) == staged
        write_rows(world.files)
        assert world.ended(world.retry(job)).state is JobState.COMPLETED
        assert world.count(docs) == ROWS


def test_a_job_is_remembered_as_long_as_its_idempotency_key(tmp_path: Path, runner: LocalRunner) -> None:
    settings = replace(SETTINGS, retention=0, min_retained_jobs=0)
    with a_world(tmp_path, runner, settings) as world:
        world.collection()
        write_rows(world.files)
        job = world.imported(["a.jsonl"])

        def forget(key_lifetime: float) -> None:
            Retention(context(world, replace(settings, key_lifetime=key_lifetime)))(threading.Event())

        forget(3600)
        assert world.job(job.id) == job
        forget(0)
        with pytest.raises(JobNotFound):
            world.job(job.id)


def test_a_drop_that_was_cut_off_is_brought_to_its_end(tmp_path: Path, runner: LocalRunner) -> None:
    """The process died after the collection was marked as dropped, and before its jobs were ended."""
    with a_world(tmp_path, runner, SETTINGS) as world:
        docs = world.collection()
        write_rows(world.files)
        job = world.create(["a.jsonl"], auto_commit="false")
        world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
        world.catalog.collections.drop(docs.id)
        world.scheduler.wake()
        ended = world.ended(job)
        assert (ended.state, ended.reason) == (JobState.FAILED, "collection docs dropped")
        world.until(lambda: not (world.folder / "collections" / f"{docs.id}.lance").exists())
        world.until(lambda: not world.catalog.collections.dropped())


def test_a_removal_that_was_cut_off_is_brought_to_its_end(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SETTINGS) as world:
        table = world.folder / "collections" / f"{world.collection().id}.lance"
        table.rename(table.with_name(f"{table.name}.dropped"))
        world.collections.drop(CLUSTER, "default", "docs")
        world.until(lambda: not world.catalog.collections.dropped())
        assert list(table.parent.iterdir()) == []


@pytest.mark.parametrize("end", ["aborted", "failed"])
def test_staged_files_go_with_their_job_and_its_figures_stay(tmp_path: Path, runner: LocalRunner, end: str) -> None:
    with a_world(tmp_path, runner, replace(SETTINGS, staged_file_retention=0)) as world:
        docs = world.collection()
        write_rows(world.files)
        job = world.create(["a.jsonl"], auto_commit="false")
        world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
        assert data_files(world, docs)
        if end == "aborted":
            world.imports.abort(CLUSTER, job.id, ANONYMOUS)
        else:
            world.catalog.jobs.request_transition(
                world.job(job.id), JobState.FAILED, reason="somebody pulled the plug"
            )
            world.scheduler.wake()
        world.until(lambda: not data_files(world, docs))
        ended = world.job(job.id)
        assert (ended.rows, ended.total_rows, ended.progress) == (ROWS, ROWS, 99)
