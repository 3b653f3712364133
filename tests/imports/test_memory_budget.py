"""The memory budget: how it is shared out, and what becomes of a file that takes more than a worker may have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.jobs import JobState
from penstock.domain.schema import DataType, Field
from penstock.imports.memory_budget import MIB, search_caches, share_out
from penstock.runners.local import LocalRunner
from tests.support.catalogs import SCHEMA
from tests.support.worlds import a_world, job_settings


@settings(deadline=None)
@given(st.integers(1, 1 << 40), st.integers(1, 256))
def test_workers_share_the_budget_and_one_always_runs(budget: int, workers: int) -> None:
    memory = share_out(budget, workers)
    assert 1 <= memory.workers <= workers
    assert MIB <= memory.batch_bytes <= 8 * MIB
    assert memory.workers == 1 or memory.workers * 280 * MIB <= budget
    assert memory.limit >= 280 * MIB


@pytest.mark.parametrize(
    ("budget", "workers", "fed"), [(768 * MIB, 2, 2), (512 * MIB, 2, 1), (64 * MIB, 8, 1), (6_000 * MIB, 8, 8)]
)
def test_fewer_workers_run_than_are_wanted_where_the_budget_feeds_no_more(
    budget: int, workers: int, fed: int
) -> None:
    assert share_out(budget, workers).workers == fed


@pytest.mark.parametrize(
    ("budget", "memory", "cache"),
    [(105 * MIB, 420 * MIB, 26), (512 * MIB, 2048 * MIB, 458), (6 << 30, 24 << 30, 6090), (24 << 30, 24 << 30, 1536)],
)
def test_the_caches_of_searches_take_a_third_of_what_workers_leave(budget: int, memory: int, cache: int) -> None:
    caches = search_caches(budget, memory)
    assert (caches.index + caches.vectors) // MIB == cache
    assert caches.vectors == (caches.index + caches.vectors) // 4


def write_page(path: Path, rows: int) -> None:
    """A small file with one page of ``rows`` texts of 60 KB: it is read at once or not at all."""
    texts = pa.array([f"{digit}" * 60_000 for digit in range(7)]).take(pa.array([row % 7 for row in range(rows)]))
    vectors = pa.array([[0.0, 1, 2, 3]] * rows, pa.list_(pa.float32()))
    pq.write_table(
        pa.table({"id": range(rows), "vector": vectors, "text": texts}),
        path,
        use_dictionary=False,
        data_page_size=1 << 30,
        write_batch_size=rows,
    )


def test_a_file_that_takes_too_much_memory_fails_its_job_alone(tmp_path: Path, runner: LocalRunner) -> None:
    text = Field(name="text", type=DataType.VARCHAR, max_length=65_535)
    with a_world(tmp_path, runner, job_settings(worker_memory=280 * MIB, retry_pause=0.01)) as world:
        world.collection(schema=replace(SCHEMA, fields=(*SCHEMA.fields, text)))
        write_page(world.files / "good.parquet", 10)
        write_page(world.files / "huge.parquet", 8_000)
        bad = world.imported(["good.parquet"], ["huge.parquet"])
        assert bad.state is JobState.FAILED
        assert bad.reason is not None
        assert bad.reason.startswith("file 'huge.parquet' needs more memory than a worker may use: it took ")
        assert "Raise memory_budget, or write the file with smaller row groups and pages" in bad.reason
        assert max(split.attempts for split in world.catalog.jobs.splits(bad.id)) == 1
        assert [file.reason is None for file in world.catalog.jobs.files(bad.id)] == [True, False]
        assert world.imported(["good.parquet"]).state is JobState.COMPLETED
