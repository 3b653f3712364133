"""A create call with an idempotency key makes one job, however often it comes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.domain.access import ANONYMOUS
from penstock.domain.jobs import JobState
from penstock.domain.quotas import JobLimits
from penstock.errors import InvalidParameter
from penstock.imports.requests import CreateImport, StoreCredentials
from penstock.runners.local import LocalRunner
from tests.support.catalogs import CLUSTER
from tests.support.worlds import World, a_world, job_settings

REQUEST = CreateImport(
    caller=ANONYMOUS, cluster_id=CLUSTER, collection="docs", groups=[["a.json"]], idempotency_key="night 7"
)


def write_row(world: World) -> None:
    (world.files / "a.json").write_text(json.dumps([{"id": 1, "vector": [1, 2, 3, 4]}]))


def test_the_same_call_gives_the_same_job_also_when_it_has_ended_and_after_a_restart(
    tmp_path: Path, runner: LocalRunner
) -> None:
    with a_world(tmp_path, runner) as world:
        docs = world.collection()
        write_row(world)
        job = world.imports.create(REQUEST)
        assert world.imports.create(REQUEST).id == job.id
        assert world.ended(job).state is JobState.COMPLETED
    with a_world(tmp_path, runner) as world:
        again = world.imports.create(REQUEST)
        assert (again.id, again.state) == (job.id, JobState.COMPLETED)
        assert world.count(docs) == 1


def test_a_call_from_another_process_gives_the_same_job(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, started=False) as world:
        world.collection()
        with a_world(tmp_path, runner, started=False) as other, ThreadPoolExecutor(8) as threads:
            made = {job.id for job in threads.map(lambda n: (world, other)[n % 2].imports.create(REQUEST), range(20))}
        assert len(made) == 1
        assert world.catalog.jobs.count_by_state(CLUSTER) == {JobState.PENDING: 1}


@pytest.mark.parametrize(
    "change",
    [{"groups": [["b.json"]]}, {"options": {"timeout": "5m"}}, {"groups": [["a.json"], ["a.json"]]}],
    ids=["another file", "another option", "more files"],
)
def test_another_request_under_the_same_key_is_refused(
    tmp_path: Path, runner: LocalRunner, change: dict[str, Any]
) -> None:
    with a_world(tmp_path, runner, started=False) as world:
        world.collection()
        job = world.imports.create(REQUEST)
        with pytest.raises(InvalidParameter, match=f"'night 7' belongs to job {job.id}"):
            world.imports.create(replace(REQUEST, **change))
        assert world.catalog.jobs.live_jobs(job.collection_id) == 1


def test_fresh_credentials_are_the_same_request_and_another_collection_is_another(
    tmp_path: Path, runner: LocalRunner
) -> None:
    with a_world(tmp_path, runner, started=False) as world:
        world.collection()
        world.collection("other")
        job = world.imports.create(replace(REQUEST, keys=StoreCredentials("a", "s")))
        assert world.imports.create(replace(REQUEST, keys=StoreCredentials("b", "t", "u"))).id == job.id
        assert world.imports.create(replace(REQUEST, collection="other")).id != job.id
        world.collections.drop(CLUSTER, "default", "docs")
        world.collection()
        assert world.imports.create(REQUEST).id != job.id, "a collection made anew is another one"


def test_a_full_queue_still_tells_of_the_job_it_has(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(limits=JobLimits(collection=1)), started=False) as world:
        world.collection()
        job = world.imports.create(REQUEST)
        assert world.imports.create(REQUEST).id == job.id


def test_a_key_is_forgotten_after_its_time(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(key_lifetime=0), started=False) as world:
        world.collection()
        assert world.imports.create(REQUEST).id != world.imports.create(REQUEST).id


@pytest.mark.parametrize("key", ["", "x" * 257, "nächtlich", "a\tb", "a\x7f"])
def test_a_key_is_printable_ascii_of_at_most_256_bytes(tmp_path: Path, runner: LocalRunner, key: str) -> None:
    with a_world(tmp_path, runner, started=False) as world:
        world.collection()
        with pytest.raises(InvalidParameter, match="1 to 256 printable ASCII"):
            world.imports.create(replace(REQUEST, idempotency_key=key))
        assert world.imports.create(replace(REQUEST, idempotency_key="~" * 256)).state is JobState.PENDING
