"""Conformance: a store that refuses, delays, and loses answers keeps each row that was published, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from penstock.engines.base import Engine
from penstock.engines.lance import LanceEngine
from penstock.engines.values import Table
from penstock.errors import Transient
from tests.support.faulty_store import Faults, faulty_store
from tests.support.s3 import S3Server
from tests.support.tables import new_table, plain_batch, vectors

JOBS, ROWS = 6, 5

Result = TypeVar("Result")


def again_and_again(attempt: Callable[[], Result]) -> Result:
    """As jobs do it: what may pass is tried again, and whatever else is raised would fail the job."""
    while True:
        try:
            return attempt()
        except Exception as error:
            if not isinstance(error, Transient):
                raise


def import_stubbornly(engine: Engine, table: Table, job: int) -> Table:
    batch = plain_batch(vectors(ROWS), first_id=job * ROWS)
    staged = again_and_again(lambda: engine.stage(table, job, iter([batch])))
    published = again_and_again(lambda: engine.publish(table, job, 1, [staged]))
    assert published.rows == ROWS
    return replace(table, version=published.version)


def test_a_commit_whose_answer_was_lost_is_found_and_not_made_again(s3: S3Server) -> None:
    place = f"s3://{s3.make_bucket()}/x"
    calm = LanceEngine(place, s3.settings)
    table = new_table(calm)
    with faulty_store(s3.endpoint, Faults(silent="/_versions/"), 0) as proxy:
        engine = LanceEngine(place, s3.settings | {"endpoint": proxy.url})
        for job in range(1, JOBS + 1):
            table = import_stubbornly(engine, table, job)
        commits = {each for each in proxy.passed if each.startswith("PUT") and each.endswith(".manifest")}
        assert len(commits) >= JOBS
    assert calm.query(table, columns=["id"])["id"].to_pylist() == list(range(ROWS, (JOBS + 1) * ROWS))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_store_that_stumbles_keeps_each_row_once(s3: S3Server, seed: int) -> None:
    place = f"s3://{s3.make_bucket()}/x"
    calm = LanceEngine(place, s3.settings)
    table = new_table(calm)
    with faulty_store(s3.endpoint, Faults(refuse=0.1, cut=0.15, delay=0.02), seed) as proxy:
        engine = LanceEngine(place, s3.settings | {"endpoint": proxy.url})
        for job in range(1, JOBS + 1):
            table = import_stubbornly(engine, table, job)
        assert proxy.met["refuse"], proxy.met
        assert proxy.met["cut"], proxy.met
    assert calm.query(table, columns=["id"])["id"].to_pylist() == list(range(ROWS, (JOBS + 1) * ROWS))
