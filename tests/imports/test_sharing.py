"""Several schedulers on one PostgreSQL catalog and one store: each job is somebody's, once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock.domain.access import ANONYMOUS
from penstock.domain.jobs import ImportJob, JobState
from penstock.imports.requests import CreateImport
from penstock.runners.local import LocalRunner
from tests.support.catalogs import CLUSTER
from tests.support.postgres import PostgresServer
from tests.support.worlds import LIMIT, World, a_world, job_settings

ROWS = 500


@pytest.fixture
def worlds(tmp_path: Path, runner: LocalRunner, migrated_url: str) -> Iterator[list[World]]:
    """Two servers' worth of everything, and a third that only answers calls."""
    settings = job_settings(split_bytes=5_000)
    with ExitStack() as stack:
        yield [
            stack.enter_context(a_world(tmp_path, runner, settings, catalog_url=migrated_url, started=started))
            for started in (True, True, False)
        ]


def write_rows(folder: Path, number: int) -> str:
    first = number * ROWS
    lines = (json.dumps({"id": first + row, "vector": [row, 1, 2, 3]}) + "\n" for row in range(ROWS))
    (folder / f"{number}.jsonl").write_text("".join(lines))
    return f"{number}.jsonl"


def test_jobs_created_anywhere_are_done_once(worlds: list[World]) -> None:
    api = worlds[2]
    docs = api.collection()
    jobs = [worlds[number % 3].create([write_rows(api.files, number)]) for number in range(6)]
    ended = [api.ended(job) for job in jobs]
    assert [each.state for each in ended] == [JobState.COMPLETED] * 6
    assert [each.epoch for each in ended] == [1] * 6, "claimed more than once"
    for world in worlds:
        assert world.rows(docs)["id"].to_pylist() == list(range(6 * ROWS))


def test_an_abort_from_elsewhere_ends_a_running_job(worlds: list[World]) -> None:
    api = worlds[2]
    docs = api.collection()
    job = api.create(*([write_rows(api.files, number)] for number in range(20)))
    until = time.monotonic() + LIMIT
    while api.job(job.id).state is not JobState.IMPORTING:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert api.imports.abort(CLUSTER, job.id, ANONYMOUS).state is JobState.ABORTED
    while any(world.scheduler.running for world in worlds):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert api.job(job.id).state is JobState.ABORTED
    assert api.count(docs) == 0


def test_a_repeated_call_gets_its_job_from_any_server(worlds: list[World]) -> None:
    api = worlds[2]
    api.collection()
    name = write_rows(api.files, 0)

    def create(world: World) -> ImportJob:
        return world.imports.create(
            CreateImport(
                caller=ANONYMOUS, cluster_id=CLUSTER, collection="docs", groups=[[name]], idempotency_key="night-7"
            )
        )

    assert len({create(world).id for world in worlds}) == 1


def test_a_catalog_that_comes_back_finds_its_jobs_going_on(
    worlds: list[World], postgres: PostgresServer, migrated_url: str
) -> None:
    """Every connection is cut, a few times, while jobs run: none fails for it."""
    api = worlds[2]
    docs = api.collection()
    jobs = [api.create([write_rows(api.files, number)]) for number in range(4)]
    for _ in range(5):
        time.sleep(0.2)
        postgres.disconnect(migrated_url)
    assert [api.ended(job).state for job in jobs] == [JobState.COMPLETED] * 4
    assert api.rows(docs)["id"].to_pylist() == list(range(4 * ROWS))
