"""Imports from an object store that fails now and then, or for good."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.domain.jobs import ImportJob, JobState
from penstock.runners.local import LocalRunner
from tests.support.faulty_store import Faults, faulty_store
from tests.support.s3 import S3Server
from tests.support.worlds import World, a_world, job_settings

FILES, ROWS = 6, 2_000
QUICK = job_settings(split_bytes=8_000, retry_pause=0.02)


def a_night(s3: S3Server) -> str:
    """A folder of files in a new bucket; its address."""
    bucket = s3.make_bucket()
    vectors = np.random.default_rng(1).random((ROWS, 4), dtype=np.float32)
    for number in range(FILES):
        ids = np.arange(number * ROWS, (number + 1) * ROWS)
        content = BytesIO()
        pq.write_table(
            pa.table(
                {"id": pa.array(ids), "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4)}
            ),
            content,
            row_group_size=400,
        )
        s3.put(bucket, f"night/{number}.parquet", content.getvalue())
    return f"s3://{bucket}/night/"


def notes(world: World, job: ImportJob) -> set[str]:
    """What the splits of a job have staged."""
    return {str(split.staged["note"]) for split in world.catalog.jobs.splits(job.id) if split.staged}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_store_that_fails_at_every_fifth_call_gives_every_row_once(
    tmp_path: Path, runner: LocalRunner, s3: S3Server, seed: int
) -> None:
    address = a_night(s3)
    with (
        faulty_store(s3.endpoint, Faults(refuse=0.08, cut=0.08, delay=0.04), seed) as proxy,
        a_world(tmp_path, runner, QUICK, roots=[address], store=s3.settings | {"endpoint": proxy.url}) as world,
    ):
        docs = world.collection()
        job = world.imported([address])
        assert (job.state, job.rows, job.reason) == (JobState.COMPLETED, FILES * ROWS, None)
        assert world.rows(docs)["id"].to_pylist() == list(range(FILES * ROWS))
        assert proxy.met["refuse"], proxy.met
        assert proxy.met["cut"], proxy.met


@pytest.mark.parametrize("faults", [Faults(refuse=1), Faults(cut=1)], ids=["refuses", "cuts"])
def test_a_store_that_is_down_fails_the_job_and_a_retry_goes_on_when_it_is_back(
    tmp_path: Path, runner: LocalRunner, s3: S3Server, faults: Faults
) -> None:
    address = a_night(s3)
    settings = job_settings(split_bytes=8_000, max_attempts=2, retry_pause=0.02)
    with (
        faulty_store(s3.endpoint, faults, 0) as proxy,
        a_world(tmp_path, runner, settings, roots=[address], store=s3.settings | {"endpoint": proxy.url}) as world,
    ):
        docs = world.collection()
        job = world.imported([address])
        assert job.state is JobState.FAILED
        for words in ("the object store failed", "tried 2 times", "while planning the import", "Retry the job"):
            assert words in (job.reason or ""), job.reason
        proxy.faults = Faults()
        assert world.ended(world.retry(job)).state is JobState.COMPLETED
        assert world.count(docs) == FILES * ROWS


def test_a_store_that_goes_down_in_the_middle_leaves_what_was_read_to_the_retry(
    tmp_path: Path, runner: LocalRunner, s3: S3Server
) -> None:
    address = a_night(s3)
    settings = job_settings(split_bytes=8_000, max_attempts=1, retry_pause=0.02)
    with (
        faulty_store(s3.endpoint, Faults(), 0) as proxy,
        a_world(tmp_path, runner, settings, roots=[address], store=s3.settings | {"endpoint": proxy.url}) as world,
    ):
        docs = world.collection()
        job = world.create([address])
        world.until(lambda: len(notes(world, job)) > 3)
        proxy.faults = Faults(refuse=1)
        failed = world.ended(job)
        assert failed.state is JobState.FAILED
        assert "while importing split" in (failed.reason or "")
        before = notes(world, job)
        assert before
        proxy.faults = Faults()
        done = world.ended(world.retry(job))
        assert (done.id, done.state, done.rows) == (job.id, JobState.COMPLETED, FILES * ROWS)
        assert before < notes(world, job), "what was staged was staged again"
        assert world.rows(docs)["id"].to_pylist() == list(range(FILES * ROWS))
