"""The memory budget: how it is shared out, and what becomes of a file that takes more than a worker may have."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.collections.index_requests import CreateIndex
from penstock.domain.index import Metric
from penstock.domain.jobs import JobState
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.lance.index.mapping import MAX_PARTITIONS, DesiredIndex, partitions_for, sample_rate
from penstock.errors import MemoryExceeded
from penstock.imports.memory_budget import MIB, reserve, search_caches, share_out
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


@pytest.mark.parametrize(
    ("needed", "slots", "limit"), [(0, 1, 280), (168, 1, 280), (169, 2, 448), (700, 5, 952), (9_000, 8, 1456)]
)
def test_a_build_reserves_as_many_slots_as_its_memory_takes(needed: int, slots: int, limit: int) -> None:
    """A worker's limit of 280 MiB has 112 of an idle worker, which those of the other slots keep."""
    assert reserve(needed * MIB, 280 * MIB, 8) == (slots, limit * MIB)
    assert reserve(needed * MIB, None, 8) == (1, None)
    assert reserve(needed * MIB, None, 8, least_slots=5) == (5, None)


def test_a_build_that_has_everything_may_take_what_it_takes_at_least() -> None:
    small = share_out(280 * MIB, 2, 4096 * MIB)
    assert (small.workers, small.limit, small.build_limit) == (1, 420 * MIB, 1024 * MIB)
    assert reserve(900 * MIB, small.limit, 1, small.build_limit) == (1, 1024 * MIB)
    assert share_out(280 * MIB, 2, 800 * MIB).build_limit == 640 * MIB
    assert reserve(900 * MIB, 420 * MIB, 4, 1024 * MIB) == (3, 1036 * MIB)


def test_partitions_are_trained_on_fewer_rows_where_memory_is_short() -> None:
    field = Field(name="vector", type=DataType.FLOAT_VECTOR, dim=768)
    assert sample_rate(field, 24, None) == sample_rate(field, 24, 512 * MIB) == 256
    assert 16 < sample_rate(field, 65_536, 16_384 * MIB) < 256
    assert sample_rate(field, 65_536, 512 * MIB) == 16
    wanted = DesiredIndex("vector", "IVF_SQ", Metric.L2)
    assert partitions_for(wanted, field, 10**9) == MAX_PARTITIONS


def test_an_index_that_takes_too_much_memory_is_not_built_and_its_job_says_so(
    tmp_path: Path, runner: LocalRunner
) -> None:
    """The limit holds for index builds as for splits, and the rows are searched exactly."""
    wide = CollectionSchema(
        fields=(
            Field(name="id", type=DataType.INT64, primary=True),
            Field(name="vector", type=DataType.FLOAT_VECTOR, dim=1024),
        )
    )
    rows = 20_000
    values = np.random.default_rng(0).normal(size=(rows, 1024)).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 1024)
    with a_world(tmp_path, runner, job_settings()) as world:
        pq.write_table(
            pa.table({"id": range(rows), "vector": column}), world.files / "a.parquet", row_group_size=2_000
        )
        docs = world.collection(schema=wide)
        assert world.imported(["a.parquet"]).state is JobState.COMPLETED
    with a_world(tmp_path, runner, job_settings(worker_memory=114 * MIB, build_memory=0), started=False) as world:
        world.indexes.create(docs, CreateIndex(field_name="vector", index_type="HNSW", metric="L2", params={}))
        with pytest.raises(MemoryExceeded, match="Raise memory_budget"):
            world.scheduler.maintenance.build(docs.id, threading.Event())
        assert world.count(docs) == rows
        assert world.indexes.status(world.fresh(docs), "vector").indexed_rows == 0


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
