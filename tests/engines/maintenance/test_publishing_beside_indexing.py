"""Conformance: indexes and publishing at the same time lose nothing of each other."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from penstock.domain.ids import new_id
from penstock.domain.index import IndexSpec, Metric
from penstock.engines.base import MaintainableEngine
from penstock.engines.values import Table
from tests.support.tables import import_rows, new_table, plain_batch, vectors

pytestmark = pytest.mark.usefixtures("tenth_of_the_thresholds")


def test_a_job_is_found_behind_later_jobs_and_indexes(engine: MaintainableEngine) -> None:
    table = new_table(engine)
    job = new_id()
    staged = [engine.stage(table, job, iter([plain_batch(vectors(1_200))]))]
    engine.publish(table, job, 1, staged)
    table, _ = import_rows(engine, table, plain_batch(vectors(10), first_id=2_000))
    version = engine.index(table, [IndexSpec(name="n", field_name="number")])
    again = engine.publish(table, job, 2, staged)
    assert again.rows == 1_200
    assert engine.count(replace(table, version=max(version, again.version))) == 1_210


def index_repeatedly(engine: MaintainableEngine, table: Table, specs: list[IndexSpec], rounds: int) -> None:
    for _ in range(rounds):
        engine.index(table, specs)


def test_indexing_beside_publishing_loses_neither(engine: MaintainableEngine) -> None:
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(1_100)))
    specs = [IndexSpec(name="n", field_name="number"), IndexSpec(name="v", field_name="vector", metric=Metric.L2)]
    with ThreadPoolExecutor(1) as other:
        indexing = other.submit(index_repeatedly, pickle.loads(pickle.dumps(engine)), table, specs, 5)
        for i in range(20):
            table, _ = import_rows(engine, table, plain_batch(vectors(200), first_id=2_000 + 200 * i))
        indexing.result()
    table = replace(table, version=engine.index(table, specs))
    assert engine.count(table) == 5_100
    assert len(set(engine.query(table)["id"].to_pylist())) == 5_100
