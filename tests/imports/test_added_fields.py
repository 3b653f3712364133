"""Import jobs into a collection that gets a field while they are at work, and additions that a process left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.collections.alterations import AlterationService
from penstock.domain.access import ANONYMOUS
from penstock.domain.collections import Collection
from penstock.domain.jobs import JobState
from penstock.domain.schema import DataType, Field
from penstock.engines.values import Table
from penstock.imports import cleanup
from penstock.imports.cleanup import finish_added_fields
from penstock.imports.context import ImportContext
from penstock.runners.local import LocalRunner
from penstock.sources.roots import ImportRoots
from tests.support.catalogs import CLUSTER
from tests.support.worlds import World, a_world, job_settings

SIZE = Field(name="size", type=DataType.INT32, default=7)
NOTE = Field(name="note", type=DataType.VARCHAR, max_length=20, nullable=True)


def write(world: World, name: str, *rows: dict[str, Any]) -> None:
    lines = (json.dumps({"vector": [row["id"], 2, 3, 4], **row}) + "\n" for row in rows)
    (world.files / name).write_text("".join(lines))


def add(world: World, *fields: Field) -> None:
    service = AlterationService(world.catalog, world.engines, world.scheduler.maintenance.request)
    for field in fields:
        service.add_field(CLUSTER, "default", "docs", field)


def rows(world: World, docs: Collection) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.rows(world.fresh(docs)).to_pylist()
    return [
        {key: json.loads(value) if key == "$meta" else value for key, value in row.items() if key != "vector"}
        for row in found
    ]


def test_jobs_keep_the_fields_that_they_began_with(world: World) -> None:
    docs = world.collection()
    write(world, "a.jsonl", {"id": 1, "size": 1, "color": "red"}, {"id": 2})
    write(world, "b.jsonl", {"id": 3, "size": 3}, {"id": 4})
    staged = world.create(["a.jsonl"], auto_commit="false")
    world.until(lambda: world.job(staged.id).state is JobState.UNCOMMITTED)
    add(world, SIZE, NOTE)
    assert world.imported(["b.jsonl"]).state is JobState.COMPLETED
    world.imports.commit(CLUSTER, staged.id, ANONYMOUS)
    assert world.ended(staged).state is JobState.COMPLETED
    assert rows(world, docs) == [
        # What was a dynamic value when the job began has stayed one.
        {"id": 1, "size": 7, "note": None, "$meta": {"size": 1, "color": "red"}},
        {"id": 2, "size": 7, "note": None, "$meta": {}},
        {"id": 3, "size": 3, "note": None, "$meta": {}},
        {"id": 4, "size": 7, "note": None, "$meta": {}},
    ]


def test_a_job_that_waits_reads_all_its_splits_by_one_schema(tmp_path: Path, runner: LocalRunner) -> None:
    settings = job_settings(split_bytes=20_000)
    with a_world(tmp_path, runner, settings, started=False) as world:
        docs = world.collection()
        write(world, "a.jsonl", *({"id": number, "size": 1} for number in range(3_000)))
        job = world.create(["a.jsonl"])
        add(world, SIZE)
    with a_world(tmp_path, runner, settings) as world:
        world.until(lambda: any(split.staged for split in world.catalog.jobs.splits(job.id)))
        add(world, NOTE)
        assert world.ended(job).rows == 3_000
        found = rows(world, docs)
        assert found == [{"id": i, "size": 7, "note": None, "$meta": {"size": 1}} for i in range(3_000)]


def test_a_failed_job_is_retried_by_the_schema_that_it_began_with(world: World) -> None:
    docs = world.collection()
    write(world, "a.jsonl", {"id": 1, "size": 1})
    write(world, "b.jsonl", {"id": "bad"})
    job = world.imported(["a.jsonl"], ["b.jsonl"])
    assert job.state is JobState.FAILED
    add(world, SIZE)
    write(world, "b.jsonl", {"id": 2, "size": 2})
    world.retry(job)
    assert world.ended(job).state is JobState.COMPLETED
    assert [row["size"] for row in rows(world, docs)] == [7, 7]


KILLED = """
import os, signal, sys
from pathlib import Path
from penstock.catalog import open_catalog
from penstock.catalog.collections.added_fields import AddedFieldRepository
from penstock.collections.alterations import AlterationService
from penstock.domain.schema import DataType, Field
from penstock.engines.lance import LanceEngine
from penstock.engines.registry import EngineRegistry

folder, owner, name, moment = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
place = {"catalog": AddedFieldRepository, "engine": LanceEngine}[owner]
original = getattr(place, name)

def dying(*args):
    if moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    original(*args)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(place, name, dying)
catalog = open_catalog(f"sqlite:///{folder}/catalog.db", (folder / "secret.key").read_bytes())
engine = LanceEngine(str(folder / "collections"))
engines = EngineRegistry({engine.name: engine.at}, default=engine.name)
field = Field(name="size", type=DataType.INT32, default=7)
AlterationService(catalog, engines, print).add_field("in01-local", "default", "docs", field)
"""


@pytest.mark.parametrize(
    ("owner", "name", "moment", "is_begun"),
    [
        ("catalog", "begin", "before", False),
        ("engine", "add_field", "before", True),
        ("engine", "add_field", "after", True),
        ("catalog", "finish", "after", True),
    ],
)
def test_a_killed_process_leaves_a_field_that_is_added_or_not(
    tmp_path: Path,
    runner: LocalRunner,
    monkeypatch: pytest.MonkeyPatch,
    owner: str,
    name: str,
    moment: str,
    is_begun: bool,
) -> None:
    with a_world(tmp_path, runner) as world:
        docs = world.collection()
        write(world, "a.jsonl", {"id": 1})
        write(world, "b.jsonl", {"id": 2})
        world.imported(["a.jsonl"])
    command = [sys.executable, "-c", KILLED, str(tmp_path), owner, name, moment]
    killed = subprocess.run(command, check=False, timeout=60, env={**os.environ})
    assert killed.returncode == -signal.SIGKILL
    with a_world(tmp_path, runner, started=False) as world:
        is_done = (owner, name, moment) == ("catalog", "finish", "after")
        assert world.fresh(docs).schema.names == (*docs.schema.names, *(("size",) if is_done else ()))
        assert len(rows(world, docs)) == 1
    monkeypatch.setattr(cleanup, "_INTERRUPTED_MILLIS", 0)
    with a_world(tmp_path, runner) as world:
        assert world.imported(["b.jsonl"]).state is JobState.COMPLETED
        if is_begun:
            world.until(lambda: world.fresh(docs).schema.names[-1] == "size")
        else:
            add(world, SIZE)
        assert rows(world, docs) == [{"id": i, "size": 7, "$meta": {}} for i in (1, 2)]


def test_the_cleanup_leaves_additions_that_go_on(world: World) -> None:
    docs = world.collection()
    context = ImportContext(world.catalog, world.engines, world.runner, ImportRoots([]), world.settings)
    world.catalog.added_fields.begin(docs.id, SIZE)
    finish_added_fields(context)
    assert world.fresh(docs).schema == docs.schema
    world.engine.add_field(Table.of(docs), SIZE)
    world.catalog.added_fields.finish(docs.id, SIZE, 2)
