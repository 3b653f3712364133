"""Jobs with a mapping: refused before they are created, kept over restarts and retries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.domain.jobs import JobState
from penstock.errors import ImportRefused
from penstock.runners.local import LocalRunner
from tests.imports.test_recovery import ROWS, SMALL_SPLITS, every_row_once, staged_splits, wait_until
from tests.support.worlds import World, a_world

MAPPING = '{"vector": "emb"}'


def write_rows(folder: Path) -> None:
    lines = (json.dumps({"id": number, "emb": [number, 1, 2, 3], "junk": 1}) + "\n" for number in range(ROWS))
    (folder / "a.jsonl").write_text("".join(lines))


def test_a_mapping_of_no_field_is_refused_at_create(world: World) -> None:
    world.collection()
    write_rows(world.files)
    with pytest.raises(ImportRefused, match="'vectr', which is not a field of the collection"):
        world.create(["a.jsonl"], mapping='{"vectr": "emb"}')


def test_a_job_keeps_its_mapping_when_the_server_stops_and_another_goes_on(
    tmp_path: Path, runner: LocalRunner
) -> None:
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        world.collection()
        write_rows(world.files)
        job = world.create(["a.jsonl"], mapping=MAPPING, drop_columns='["junk"]')
        wait_until(lambda: len(staged_splits(world, job)) > 1)
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        done = world.ended(job)
        assert (done.state, done.rows) == (JobState.COMPLETED, ROWS), done.reason
        assert every_row_once(world, job)
        found = world.catalog.collections.by_id(job.collection_id)
        assert found is not None
        rows = world.rows(found)
        assert rows["vector"].to_pylist()[ROWS - 1] == [ROWS - 1, 1.0, 2.0, 3.0]
        assert set(rows["$meta"].to_pylist()) == {"{}"}


def test_a_retried_job_keeps_its_mapping(world: World) -> None:
    docs = world.collection()
    job = world.imported(["b.jsonl"], mapping=MAPPING)
    assert job.state is JobState.FAILED
    (world.files / "b.jsonl").write_text('{"id": 1, "emb": [1, 2, 3, 4]}\n')
    world.retry(job)
    assert world.ended(job).state is JobState.COMPLETED
    assert world.rows(docs)["vector"].to_pylist() == [[1.0, 2.0, 3.0, 4.0]]
