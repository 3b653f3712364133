"""Reverts of completed jobs: what comes back, what is refused and why, and what they leave in the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.catalog.db.diagnostics import problems_of
from penstock.domain.access import ANONYMOUS
from penstock.domain.jobs import ImportJob, JobState
from penstock.errors import JobStateConflict, RevertImpossible
from penstock.imports import service
from penstock.runners.local import LocalRunner
from tests.imports.test_write_modes import SCHEMA, sources, write
from tests.support.catalogs import CLUSTER
from tests.support.worlds import World, a_world, job_settings


def reverted(world: World, job: ImportJob) -> ImportJob:
    assert world.imports.revert(CLUSTER, job.id, ANONYMOUS).state in (JobState.REVERTING, JobState.REVERTED)
    return world.ended(job)


def test_an_upsert_is_reverted_after_later_jobs(world: World) -> None:
    collection = world.collection(schema=SCHEMA)
    old = world.imported([write(world, "old", range(10))])
    upsert = world.imported([write(world, "new", [3, 5, 20])], write_mode="upsert")
    world.imported([write(world, "later", [30])])
    job = reverted(world, upsert)
    assert (job.state, job.reason, job.restored_rows) == (JobState.REVERTED, "reverted by user", 2)
    assert job.finished_at is not None
    assert sources(world, collection) == dict.fromkeys(range(10), "old") | {30: "later"}
    # Again: nothing changes. And the rows that came back are rows of their job as before.
    assert world.imports.revert(CLUSTER, upsert.id, ANONYMOUS) == job
    assert reverted(world, old).restored_rows == 0
    assert sources(world, collection) == {30: "later"}
    assert [entry.action for entry in world.catalog.audit.read()][-2:] == ["import.revert", "import.revert"]
    assert problems_of(world.catalog.database) == []


def test_while_a_later_job_stands_a_job_is_not_reverted(world: World) -> None:
    collection = world.collection(schema=SCHEMA)
    first = world.imported([write(world, "first", range(4))])
    second = world.imported([write(world, "second", [2, 3])], write_mode="upsert")
    third = world.imported([write(world, "third", [9])], write_mode="overwrite")
    for job, missing in ((first, "4 of its 4"), (second, "2 of its 2")):
        with pytest.raises(RevertImpossible, match=f"{missing} rows .* such as {third.id}. Revert the later jobs"):
            world.imports.revert(CLUSTER, job.id, ANONYMOUS)
        assert world.job(job.id) == job
    assert sources(world, collection) == {9: "third"}
    assert reverted(world, third).restored_rows == 4
    with pytest.raises(RevertImpossible, match=f"such as {second.id}"):
        world.imports.revert(CLUSTER, first.id, ANONYMOUS)
    assert reverted(world, second).restored_rows == 2
    assert sources(world, collection) == dict.fromkeys(range(4), "first")
    reverted(world, first)
    assert sources(world, collection) == {}


def test_only_completed_jobs_are_reverted(world: World) -> None:
    world.collection(schema=SCHEMA)
    file = write(world, "a", [1])
    waiting = world.create([file], auto_commit="false")
    world.until(lambda: world.job(waiting.id).state is JobState.UNCOMMITTED)
    with pytest.raises(JobStateConflict, match=r"in state Uncommitted, expected Completed.*Abort it instead"):
        world.imports.revert(CLUSTER, waiting.id, ANONYMOUS)
    failed = world.imported(["missing.jsonl"])
    with pytest.raises(JobStateConflict, match="in state Failed"):
        world.imports.revert(CLUSTER, failed.id, ANONYMOUS)
    done = reverted(world, world.imported([file]))
    for call in (world.imports.abort, world.imports.commit):
        with pytest.raises(JobStateConflict):
            call(CLUSTER, done.id, ANONYMOUS)
    with pytest.raises(JobStateConflict):
        world.retry(done)


def test_a_job_whose_collection_is_dropped_has_no_rows_to_revert(world: World) -> None:
    world.collection(schema=SCHEMA)
    job = world.imported([write(world, "a", [1])])
    world.collections.drop(CLUSTER, "default", "docs")
    with pytest.raises(JobStateConflict, match="its collection docs was dropped"):
        world.imports.revert(CLUSTER, job.id, ANONYMOUS)


@pytest.fixture
def hasty(tmp_path: Path, runner: LocalRunner) -> Iterator[World]:
    """Old versions expire at once, unless a revert may need them."""
    settings = job_settings(old_version_retention=0.0, old_version_min_age=0.0)
    with a_world(tmp_path, runner, settings) as made:
        yield made


def test_replaced_rows_outlive_other_old_versions(hasty: World) -> None:
    collection = hasty.collection(schema=SCHEMA)
    hasty.imported([write(hasty, "old", range(5))])
    job = hasty.imported([write(hasty, "new", [1])], write_mode="overwrite")
    append = hasty.imported([write(hasty, "later", [20])])
    kept = hasty.fresh(collection).version

    def maintained() -> bool:
        hasty.scheduler.maintenance.request(collection.id)
        return not hasty.catalog.maintenance.is_locked(collection.id)

    hasty.until(maintained)
    assert reverted(hasty, job).restored_rows == 5
    assert sources(hasty, collection) == dict.fromkeys(range(5), "old") | {20: "later"}
    assert hasty.fresh(collection).version > kept
    reverted(hasty, append)
    assert sources(hasty, collection) == dict.fromkeys(range(5), "old")


def test_after_their_retention_replaced_rows_do_not_come_back(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(replaced_row_retention=0.0)) as world:
        collection = world.collection(schema=SCHEMA)
        world.imported([write(world, "old", range(5))])
        job = world.imported([write(world, "new", [1, 9])], write_mode="upsert")
        with pytest.raises(RevertImpossible, match="setting replaced_row_retention"):
            world.imports.revert(CLUSTER, job.id, ANONYMOUS)
        assert world.job(job.id) == job
        assert sources(world, collection)[1] == "new"


def test_a_job_that_is_replaced_after_the_call_is_completed_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call found nothing in the way; the job that is came before the revert itself."""
    collection = world.collection(schema=SCHEMA)
    first = world.imported([write(world, "first", [1, 2])])
    later = world.imported([write(world, "later", [2])], write_mode="upsert")
    monkeypatch.setattr(service, "check_revert", lambda *_: None)
    job = reverted(world, first)
    assert (job.state, job.reason, job.progress) == (JobState.COMPLETED, None, 100)
    (warning,) = job.warnings
    assert warning.code == "not_reverted"
    assert f"1 of its 2 rows are no longer there, replaced by a later job such as {later.id}" in warning.message
    assert sources(world, collection) == {1: "first", 2: "later"}
    assert problems_of(world.catalog.database) == []
