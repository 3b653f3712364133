"""Rows past their collection's time to live: invisible at once, then deleted, whatever happened to their jobs."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from penstock.catalog.db import tables
from penstock.domain.access import ANONYMOUS
from penstock.domain.collections import TTL, Collection, CollectionSettings
from penstock.domain.jobs import JobState
from penstock.engines.values import Table
from penstock.runners.local import LocalRunner
from tests.imports.test_recovery import crashed_before
from tests.support.catalogs import CLUSTER, SCHEMA
from tests.support.worlds import World, a_world, job_settings

AT_ONCE = job_settings(old_version_min_age=0.0, old_version_share=0.0)
"""Old versions expire with the next maintenance."""


def mortal(world: World, seconds: int) -> Collection:
    settings = CollectionSettings(properties={TTL: str(seconds)})
    return world.collections.create(CLUSTER, "default", "docs", SCHEMA, settings)


def write_rows(world: World, name: str, first: int = 0, rows: int = 100) -> str:
    lines = (json.dumps({"id": first + row, "vector": [row, 1, 2, 3]}) + "\n" for row in range(rows))
    (world.files / name).write_text("".join(lines))
    return name


def visible(world: World, docs: Collection) -> int:
    return world.collections.count(CLUSTER, "default", docs.name)


def stored(world: World, docs: Collection) -> int:
    """Rows in the table, visible or not."""
    return world.engine.count(Table.of(world.fresh(docs)))


def data_bytes(world: World, docs: Collection) -> int:
    data = world.folder / "collections" / f"{docs.id}.lance" / "data"
    return sum(path.stat().st_size for path in data.glob("*"))


def test_rows_expire_at_once_and_their_space_comes_back(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, AT_ONCE) as world:
        docs = mortal(world, 4)
        assert world.imported([write_rows(world, "a.jsonl", rows=300)]).state is JobState.COMPLETED
        committed = time.monotonic()
        assert visible(world, docs) == 300
        assert world.partitions.count(docs, "_default") == 300
        asked = time.monotonic()
        while visible(world, docs) > 0:
            assert asked - committed < 4
            time.sleep(0.05)
            asked = time.monotonic()
        assert world.partitions.count(docs, "_default") == 0
        world.until(lambda: stored(world, docs) == 0)
        world.until(lambda: data_bytes(world, docs) == 0)
        # A job that comes later has its own time.
        world.imported([write_rows(world, "later.jsonl", 1000)])
        assert visible(world, docs) == 100


def test_the_time_counts_from_the_commit_not_from_the_create(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, AT_ONCE) as world:
        docs = mortal(world, 3)
        waiting = world.create([write_rows(world, "waiting.jsonl")], auto_commit="false")
        world.until(lambda: world.job(waiting.id).state is JobState.UNCOMMITTED)
        time.sleep(3.2)
        other = world.imported([write_rows(world, "other.jsonl", 1000)])
        world.imports.commit(CLUSTER, waiting.id, ANONYMOUS)
        assert world.ended(waiting).state is JobState.COMPLETED
        assert other.state is JobState.COMPLETED
        assert visible(world, docs) == 200
        world.scheduler.maintenance.request(docs.id)  # maintenance leaves the rows of a job that was created long ago
        time.sleep(1)
        assert visible(world, docs) == 200
        world.until(lambda: stored(world, docs) == 0)


def test_they_expire_when_their_job_is_forgotten(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, replace(AT_ONCE, retention=0.0, key_lifetime=0.0, min_retained_jobs=0)) as world:
        docs = mortal(world, 5)
        job = world.imported([write_rows(world, "a.jsonl")])
        while world.catalog.retention.forget_jobs(CLUSTER, int(1e15), 0):
            pass
        with world.catalog.database.read() as connection:
            kept = select(func.count()).select_from(tables.job).where(tables.job.c.id == job.id)
            assert connection.execute(kept).scalar_one() == 0
        assert visible(world, docs) == 100
        world.until(lambda: visible(world, docs) == 0)
        world.until(lambda: stored(world, docs) == 0)


@pytest.mark.parametrize(
    ("step", "after"), [("publish_group", True), ("raise_version", True)], ids=["visible", "known to the catalog"]
)
def test_after_a_crash_around_the_commit_rows_live_their_time(
    tmp_path: Path, runner: LocalRunner, step: str, after: bool
) -> None:
    """Until the job is taken up again its commit has no time: its rows neither expire nor are they deleted."""
    with a_world(tmp_path, runner, AT_ONCE, started=False) as world:
        docs = mortal(world, 2)
        job = world.create([write_rows(world, "a.jsonl")])
        crashed_before(world, job, step, after=after)
        world.catalog.leases.release_all()
        time.sleep(2.2)
        expiry = world.catalog.row_expiry.of(docs)
        assert expiry is not None
        table = Table.of(world.fresh(docs), expiry)
        assert world.engine.count(table) == 100
        world.engine.remove_expired(table)
        assert stored(world, docs) == 100
    with a_world(tmp_path, runner, AT_ONCE) as world:
        assert world.ended(job).state is JobState.COMPLETED
        assert visible(world, docs) == 100
        world.until(lambda: visible(world, docs) == 0)
        world.until(lambda: stored(world, docs) == 0)


def test_rows_of_an_earlier_release_count_from_their_jobs_creation(tmp_path: Path, runner: LocalRunner) -> None:
    """Their commits were not recorded."""
    with a_world(tmp_path, runner, AT_ONCE, started=False) as world:
        docs = mortal(world, 3600)
        job = world.create([write_rows(world, "a.jsonl")])
        crashed_before(world, job, "raise_version", after=True)
        with world.catalog.database.write() as connection:
            connection.execute(delete(tables.job_commit))
        assert visible(world, docs) == 100
