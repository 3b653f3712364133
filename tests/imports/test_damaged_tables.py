"""Jobs into collections whose tables lack files: they end with the reason, and so do drops."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import lance
import pytest

from penstock.domain.access import ANONYMOUS
from penstock.domain.collections import Collection
from penstock.domain.jobs import ImportJob, JobState
from penstock.engines.values import Table
from penstock.errors import JobWithdrawn, TableDamaged
from penstock.imports.context import staged_of
from penstock.runners.local import LocalRunner
from tests.support.catalogs import CLUSTER
from tests.support.worlds import World, a_world, job_settings

QUICK = job_settings(max_attempts=2, retry_pause=0.02)
PATIENT = job_settings(max_attempts=50, retry_pause=0.2)
ROWS = 20


def write_rows(world: World, name: str, first: int = 0) -> None:
    lines = (json.dumps({"id": first + row, "vector": [row, 1, 2, 3]}) + "\n" for row in range(ROWS))
    (world.files / name).write_text("".join(lines))


def filled(world: World) -> Collection:
    """A collection with the rows of one job."""
    docs = world.collection()
    write_rows(world, "a.jsonl")
    write_rows(world, "b.jsonl", ROWS)
    assert world.imported(["a.jsonl"]).state is JobState.COMPLETED
    return docs


def table_of(world: World, docs: Collection) -> Path:
    return world.folder / "collections" / f"{docs.id}.lance"


def data_file(world: World, docs: Collection) -> Path:
    """The file of the rows that are visible."""
    (fragment,) = lance.dataset(str(table_of(world, docs))).get_fragments()
    return table_of(world, docs) / "data" / fragment.data_files()[0].path


def waiting(world: World) -> ImportJob:
    """A job that has staged and waits for its commit."""
    job = world.create(["b.jsonl"], auto_commit="false")
    world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
    return job


def test_a_job_into_a_damaged_collection_fails_before_its_commit_and_names_the_file(
    tmp_path: Path, runner: LocalRunner
) -> None:
    with a_world(tmp_path, runner, QUICK) as world:
        docs = filled(world)
        lost = data_file(world, docs)
        kept = lost.rename(tmp_path / "kept")
        failed = world.imported(["b.jsonl"])
        assert failed.state is JobState.FAILED
        assert f"data/{lost.name} is missing" in (failed.reason or "")
        assert failed.intent_version is None
        kept.rename(lost)
        world.retry(failed)
        assert world.ended(failed).state is JobState.COMPLETED
        assert world.count(docs) == 2 * ROWS


@pytest.mark.parametrize("cut", [False, True])
def test_damage_between_intent_and_commit_takes_the_intent_back(
    tmp_path: Path, runner: LocalRunner, cut: bool
) -> None:
    with a_world(tmp_path, runner, QUICK) as world:
        docs = filled(world)
        job = waiting(world)
        lost = data_file(world, docs)
        content = lost.read_bytes()
        if cut:
            lost.write_bytes(content[: len(content) // 2])
        else:
            lost.unlink()
        world.imports.commit(CLUSTER, job.id, ANONYMOUS)
        failed = world.ended(job)
        assert failed.state is JobState.FAILED
        assert f"data/{lost.name}" in (failed.reason or "")
        assert "tried 2 times" in (failed.reason or "")
        lost.write_bytes(content)
        assert world.count(docs) == ROWS
        world.retry(failed)
        world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
        world.imports.commit(CLUSTER, job.id, ANONYMOUS)
        assert world.ended(job).state is JobState.COMPLETED
        assert world.rows(docs)["id"].to_pylist() == list(range(2 * ROWS))


def test_a_process_that_stalled_before_its_commit_is_refused_after_the_withdrawal(
    tmp_path: Path, runner: LocalRunner
) -> None:
    with a_world(tmp_path, runner, QUICK) as world:
        docs = filled(world)
        job = waiting(world)
        staged = [staged_of(split.staged) for split in world.catalog.jobs.splits(job.id)]
        table = Table.of(world.fresh(docs))
        withdrawn = world.engine.withdraw(table, job.id, 1, staged)
        assert isinstance(withdrawn, int)
        with pytest.raises(JobWithdrawn):
            world.engine.publish(table, job.id, 1, staged)
        assert world.count(docs) == ROWS
        later = replace(table, version=withdrawn)
        published = world.engine.publish(later, job.id, 3, staged)
        again = world.engine.withdraw(later, job.id, 4, staged)
        assert again == replace(published, replaced=None)  # what was replaced is only known when it happens
        assert world.engine.count(replace(later, version=published.version)) == 2 * ROWS


def test_a_missing_staged_file_fails_the_job_and_a_retry_stages_again(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, QUICK) as world:
        docs = filled(world)
        job = waiting(world)
        (split,) = world.catalog.jobs.splits(job.id)
        (name,) = split.staged["note"]["files"]
        (table_of(world, docs) / name).unlink()
        world.imports.commit(CLUSTER, job.id, ANONYMOUS)
        failed = world.ended(job)
        assert failed.state is JobState.FAILED
        assert f"staged file {name}" in (failed.reason or "")
        world.retry(failed)
        world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
        world.imports.commit(CLUSTER, job.id, ANONYMOUS)
        assert world.ended(job).state is JobState.COMPLETED
        assert world.count(docs) == 2 * ROWS


def test_a_job_whose_table_has_no_readable_version_fails_and_its_files_stay(
    tmp_path: Path, runner: LocalRunner
) -> None:
    with a_world(tmp_path, runner, QUICK) as world:
        docs = filled(world)
        job = waiting(world)
        manifests = {path: path.read_bytes() for path in table_of(world, docs).glob("_versions/*.manifest")}
        for path in manifests:
            path.write_bytes(b"")
        world.imports.commit(CLUSTER, job.id, ANONYMOUS)
        failed = world.ended(job)
        assert failed.state is JobState.FAILED
        assert "_versions/" in (failed.reason or "")
        assert world.catalog.staged_files.take(job.id) == [], "they may be visible, when a backup comes back"
        for path, content in manifests.items():
            path.write_bytes(content)
        world.retry(failed)
        world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
        world.imports.commit(CLUSTER, job.id, ANONYMOUS)
        assert world.ended(job).state is JobState.COMPLETED
        assert world.count(docs) == 2 * ROWS


def test_the_reason_is_shown_while_it_retries_and_a_drop_ends_the_job(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, PATIENT) as world:
        docs = filled(world)
        job = waiting(world)
        lost = data_file(world, docs)
        lost.unlink()
        world.imports.commit(CLUSTER, job.id, ANONYMOUS)
        world.until(lambda: world.job(job.id).reason is not None)
        shown = world.job(job.id)
        assert shown.state is JobState.COMMITTING
        assert (shown.reason or "").startswith("trying again after: ")
        assert lost.name in (shown.reason or "")
        world.collections.drop(CLUSTER, "default", "docs")
        ended = world.ended(job)
        assert (ended.state, ended.reason) == (JobState.FAILED, "collection docs dropped")
        world.until(lambda: not world.catalog.collections.dropped())
        assert not table_of(world, docs).exists()


def test_a_damaged_collection_lets_abort_its_waiting_job_and_be_dropped(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, QUICK) as world:
        docs = filled(world)
        job = waiting(world)
        for path in table_of(world, docs).glob("_versions/*.manifest"):
            path.unlink()
        assert world.imports.abort(CLUSTER, job.id, ANONYMOUS).state is JobState.ABORTED
        failed = world.imported(["b.jsonl"])
        assert failed.state is JobState.FAILED
        assert "is not in the store" in (failed.reason or "")
        world.collections.drop(CLUSTER, "default", "docs")
        world.until(lambda: not world.catalog.collections.dropped())
        assert not table_of(world, docs).exists()


def test_damage_is_found_without_opening_what_is_damaged(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, QUICK) as world:
        docs = filled(world)
        dataset = lance.dataset(str(table_of(world, docs)))
        dataset.delete("id < 5")
        dataset.create_scalar_index("id", "BTREE")
        table = Table.of(world.fresh(docs))
        assert world.engine.damage(table) == {}
        folder = table_of(world, docs)
        (deletion,) = (folder / "_deletions").iterdir()
        (index,) = (folder / "_indices").iterdir()
        next(index.iterdir()).unlink()
        deletion.unlink()
        found = world.engine.damage(table)
        assert found[f"_deletions/{deletion.name}"] == "is missing"
        assert "instead of" in found[f"_indices/{index.name}"]
        data = data_file(world, docs)
        data.write_bytes(data.read_bytes()[:-1])
        assert "bytes instead of" in world.engine.damage(table)[f"data/{data.name}"]
        with pytest.raises(TableDamaged, match="and 1 more"):
            world.engine.refuse_damaged(table)
