"""Files made to exhaust a server: each is refused, or read, within the memory of one worker; nothing else suffers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.domain.jobs import JobState
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import MemoryExceeded
from penstock.imports import tasks
from penstock.imports.memory_budget import MIB, share_out
from penstock.readers.decompression_bombs import BOMB_CHECK_MIN_BYTES
from penstock.runners.local import LocalRunner
from tests.support.bombs import BOMBS, Reading, dictionary_of_long_texts, page_of_equal_texts, read
from tests.support.catalogs import SCHEMA
from tests.support.workers import spawned_workers
from tests.support.worlds import a_world, job_settings

LIMIT = share_out(280 * MIB, 1).limit
"""Of the smallest worker that there is."""
BOUND = 200 * MIB
"""What reading any of these files takes beside what the worker has anyway."""

TEXTS: CollectionSchema = replace(
    SCHEMA, fields=(*SCHEMA.fields, Field(name="text", type=DataType.VARCHAR, max_length=65_535, nullable=True))
)


@pytest.fixture(scope="module")
def runner() -> Iterator[LocalRunner]:
    """Workers that have done nothing else: one that has grown may be ended where a fresh one is refused memory."""
    with spawned_workers():
        local = LocalRunner(2, tasks.init_worker)
        yield local
        local.close()


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_bounded_memory(name: str, tmp_path: Path, runner: LocalRunner) -> None:
    file, write, words = BOMBS[name]
    write(tmp_path / file)
    restarts = runner.restarts
    reading = runner.submit(read, Reading(str(tmp_path), (file,), TEXTS, LIMIT)).future
    if words == "memory":
        with pytest.raises(MemoryExceeded, match=r"more than a worker may use\. Raise memory_budget"):
            reading.result()
    else:
        outcome = reading.result()
        assert re.search(words, outcome.error), outcome
        assert outcome.taken < BOUND, f"{outcome.taken >> 20} MiB"
    assert runner.restarts == restarts, "the worker lives"
    assert not Path("/tmp/unpickled-by-an-import").exists()


def test_a_page_that_is_too_large_fails_its_job_at_once(tmp_path: Path, runner: LocalRunner) -> None:
    """The system refuses the memory, so the worker lives; the job isn't tried again."""
    with a_world(tmp_path, runner, job_settings(worker_memory=LIMIT, retry_pause=0.01)) as world:
        world.collection(schema=TEXTS)
        page_of_equal_texts(world.files / "good.parquet", 10, "zstd")
        page_of_equal_texts(world.files / "bomb.parquet", 8_000, "zstd")
        assert (world.files / "bomb.parquet").stat().st_size < MIB
        restarts = runner.restarts
        bad = world.imported(["good.parquet"], ["bomb.parquet"])
        assert bad.state is JobState.FAILED
        assert bad.reason is not None
        assert "file 'bomb.parquet' needs more memory than a worker may use" in bad.reason
        assert "Raise memory_budget" in bad.reason
        assert max(split.attempts for split in world.catalog.jobs.splits(bad.id)) == 1
        assert runner.restarts == restarts
        assert world.imported(["good.parquet"]).state is JobState.COMPLETED


def test_a_few_bytes_that_stand_for_gigabytes_fill_no_disk(tmp_path: Path, runner: LocalRunner) -> None:
    """The same text over and over is a few bytes in a dictionary. Read by batches it takes little memory, and a disk.

    So does a footer that claims a billion rows, which would also use up as many ids.
    """
    with a_world(tmp_path, runner, job_settings(worker_memory=LIMIT, batch_bytes=8 * MIB)) as world:
        world.collection(schema=TEXTS)
        dictionary_of_long_texts(world.files / "bomb.parquet", 1_000_000)
        size = (world.files / "bomb.parquet").stat().st_size
        assert size < MIB
        bad = world.imported(["bomb.parquet"])
        assert bad.state is JobState.FAILED
        assert bad.reason is not None
        assert "file 'bomb.parquet'" in bad.reason
        assert "bytes decode to more than 1,000 times as many, 1,0" in bad.reason
        assert sum(path.stat().st_size for path in (tmp_path / "collections").rglob("*") if path.is_file()) < MIB
        BOMBS["a billion rows claimed"][1](world.files / "claims.parquet")
        claiming = world.imported(["claims.parquet"])
        assert claiming.reason is not None
        assert "file 'claims.parquet': its " in claiming.reason
        assert not world.catalog.jobs.splits(claiming.id)
        page_of_equal_texts(world.files / "good.parquet", 10, "zstd")
        others = world.imported(["claims.parquet"], ["good.parquet"], on_error="skip_file")
        assert (others.state, others.skipped_files, others.rows) == (JobState.COMPLETED, 1, 10), others.reason


def test_files_that_compress_well_are_read(tmp_path: Path, runner: LocalRunner) -> None:
    """Equal rows below a gigabyte are nobody's harm."""
    rows = 200_000
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(rows * 4, np.float32)), 4)
    with a_world(tmp_path, runner, job_settings(worker_memory=LIMIT)) as world:
        world.collection()
        pq.write_table(pa.table({"id": range(rows), "vector": vectors}), world.files / "a.parquet")
        assert world.imported(["a.parquet"]).rows == rows
    assert rows * 16 < BOMB_CHECK_MIN_BYTES
