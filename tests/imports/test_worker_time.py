"""Orgs share workers by time: long splits of one keep no job of another waiting."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from penstock.domain.access import ANONYMOUS
from penstock.domain.collections import Collection, CollectionSettings
from penstock.domain.jobs import ImportJob, JobState
from penstock.imports.requests import CreateImport
from penstock.runners.local import LocalRunner
from tests.support.catalogs import SCHEMA
from tests.support.worlds import LIMIT, World, a_world, job_settings

ROWS = 400_000
"""Of a split that takes several seconds."""


def docs_of(world: World, org: str) -> Collection:
    owner = world.catalog.orgs.ensure(org).id
    world.catalog.clusters.create(f"in01-{org}", "local", "", owner)
    return world.collections.create(f"in01-{org}", "default", "docs", SCHEMA, CollectionSettings())


def create(world: World, org: str, file: str) -> ImportJob:
    request = CreateImport(caller=ANONYMOUS, cluster_id=f"in01-{org}", collection="docs", groups=[[file]])
    return world.imports.create(request)


def state(world: World, org: str, job: ImportJob) -> JobState:
    return world.catalog.jobs.get(f"in01-{org}", job.id).state


@pytest.mark.parametrize("workers", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_long_splits_of_one_org_keep_no_job_of_another_waiting(
    workers: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    runner = request.getfixturevalue("runner") if workers == 2 else LocalRunner(1)
    with a_world(tmp_path, runner, job_settings(split_bytes=1 << 30, lease_duration=60)) as world:
        ann, bob = docs_of(world, "ann"), docs_of(world, "bob")
        with (world.files / "long.jsonl").open("w") as file:
            file.writelines(f'{{"id": {row}, "vector": [1, 2, 3, {row}]}}\n' for row in range(ROWS))
        (world.files / "one.jsonl").write_text(json.dumps({"id": 1, "vector": [1, 2, 3, 4]}))
        long = [create(world, "ann", "long.jsonl") for _ in range(workers)]
        world.until(lambda: all(world.catalog.jobs.get("in01-ann", job.id).rows for job in long))
        for number in range(2):
            began = time.monotonic()
            one = create(world, "bob", "one.jsonl")
            while not state(world, "bob", one).is_final:
                assert time.monotonic() - began < LIMIT
                time.sleep(0.02)
            assert state(world, "bob", one) is JobState.COMPLETED
            assert JobState.COMPLETED not in [state(world, "ann", job) for job in long], f"job {number} waited"
        world.until(lambda: all(state(world, "ann", job).is_final for job in long))
        assert world.count(ann) == workers * ROWS
        assert world.count(bob) == 2
        assert max(split.attempts for job in long for split in world.catalog.jobs.splits(job.id)) == 1
    if workers == 1:
        runner.close()
