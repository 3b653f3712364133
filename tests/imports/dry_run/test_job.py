"""Import jobs that are dry runs: nothing is published, the report is on the job, also after a restart."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.domain.access import ANONYMOUS
from penstock.domain.jobs import ImportJob, JobState, SplitState
from penstock.errors import ImportRefused
from penstock.imports.context import ImportContext
from penstock.imports.dry_run.job import delete_key_spools
from penstock.imports.dry_run.key_spool import Duplicates, KeySpool
from penstock.imports.dry_run.task import read_keys
from penstock.runners.base import TaskHandle
from penstock.runners.local import LocalRunner
from penstock.sources.roots import ImportRoots
from tests.support.catalogs import CLUSTER, SCHEMA
from tests.support.doubles import HangingTask, InlineRunner
from tests.support.worlds import World, a_world, job_settings

ROWS = 1_000
SMALL_SPLITS = job_settings(split_bytes=5_000)


def write_rows(world: World, name: str = "a.jsonl", first: int = 0, **changes: Any) -> None:
    rows = [{"id": first + number, "vector": [number, 1, 2, 3]} for number in range(ROWS)]
    for row, value in changes.items():
        rows[int(row.removeprefix("row"))] = value
    (world.files / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def report_of(world: World, job: ImportJob) -> dict[str, Any]:
    assert job.state is JobState.COMPLETED, job.reason
    report = world.imports.get(CLUSTER, job.id, ANONYMOUS).report
    assert report is not None
    return dict(report)


def test_a_dry_run_reports_and_imports_nothing(world: World) -> None:
    docs = world.collection()
    write_rows(
        world, row5={"id": 5, "vector": [1]}, row6={"id": "x", "vector": [1]}, row7={"id": 8, "vector": [0] * 4}
    )
    version = world.fresh(docs).version
    job = world.imported(["a.jsonl"], dry_run="true")
    report = report_of(world, job)
    assert (report["rows"], report["badRows"], report["errors"], report["clean"]) == (ROWS, 2, 2, False)
    problems = {(problem["rule"], problem["field"]): problem for problem in report["problems"]}
    assert problems["vector_dim", "vector"]["count"] == 2
    assert [place["row"] for place in problems["vector_dim", "vector"]["places"]] == [5, 6]
    assert report["keys"]["first"] == [
        {"value": "8", "count": 2, "places": [{"file": "a.jsonl", "row": 7}, {"file": "a.jsonl", "row": 8}]}
    ]
    assert report["estimate"]["diskBytes"] > 0
    assert report["estimate"]["seconds"] >= 0  # in tenths of a second
    assert world.count(docs) == 0
    assert world.fresh(docs).version == version
    assert job.imported_rows == 0
    assert not list((world.folder / "dry-runs").iterdir())


def test_keys_that_the_collection_has(world: World) -> None:
    docs = world.collection()
    write_rows(world)
    assert world.imported(["a.jsonl"]).state is JobState.COMPLETED
    write_rows(world, "b.jsonl", first=ROWS)
    same = report_of(world, world.imported(["a.jsonl"], dry_run="true"))
    others = report_of(world, world.imported(["b.jsonl"], dry_run="true"))
    assert same["keys"]["existingKeys"] == same["keys"]["sampledKeys"] > 10
    assert others["keys"]["existingKeys"] == 0
    assert world.count(docs) == ROWS


def test_a_full_disk_is_the_reason_of_a_dry_run_that_fails_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.collection()
    write_rows(world)

    def fail(spool: KeySpool, check: Callable[[], None]) -> Duplicates:
        del spool, check
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(KeySpool, "find", fail)
    job = world.imported(["a.jsonl"], dry_run="true")
    assert job.state is JobState.FAILED
    reason = "the hashes of the keys can't be stored: No space left on device. Free some room in the data dir"
    assert job.reason == reason


def test_a_file_that_cannot_be_read_is_a_problem_beside_others(world: World) -> None:
    world.collection()
    write_rows(world)
    (world.files / "b.parquet").write_bytes(b"PAR1 cut off")
    report = report_of(world, world.imported(["b.parquet"], ["a.jsonl"], dry_run="true"))
    (problem,) = report["problems"]
    assert problem["places"] == [{"file": "b.parquet"}]
    assert (report["files"], report["rows"]) == (2, ROWS)


def test_generated_keys_reserve_no_ids(world: World) -> None:
    docs = world.collection(schema=replace(SCHEMA, auto_id=True))
    text = "".join(json.dumps({"vector": [number, 1, 2, 3]}) + "\n" for number in range(ROWS))
    (world.files / "a.jsonl").write_text(text)
    report = report_of(world, world.imported(["a.jsonl"], dry_run="true"))
    assert (report["rows"], report["clean"], "keys" in report) == (ROWS, True, False)
    assert world.imported(["a.jsonl"]).state is JobState.COMPLETED
    assert world.count(docs) == ROWS


def test_a_restarted_server_goes_on(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        docs = world.collection()
        write_rows(world, row999={"id": 998, "vector": [1, 2, 3, 4]}, row3={"id": 3, "vector": []})
        job = world.create(["a.jsonl"], dry_run="true")

        def checked() -> list[int]:
            splits = world.catalog.jobs.splits(job.id)
            return [split.ordinal for split in splits if split.state is SplitState.STAGED]

        world.until(lambda: len(checked()) > 1)
        done = checked()
    # The hashes of one are lost, as on another machine.
    (tmp_path / "dry-runs" / str(job.id) / f"{done[0]:08}.npy").unlink(missing_ok=True)
    with a_world(tmp_path, runner, SMALL_SPLITS) as world:
        report = report_of(world, world.ended(job))
        assert (report["rows"], report["badRows"]) == (ROWS, 1)
        assert report["problems"][0]["places"][0]["row"] == 3
        assert (report["keys"]["duplicateRows"], report["keys"]["first"][0]["value"]) == (1, "998")
        assert world.count(docs) == 0


def test_a_dry_run_of_a_missing_file_fails_as_its_import_would(world: World) -> None:
    world.collection()
    job = world.imported(["nothing.jsonl"], dry_run="true")
    assert job.state is JobState.FAILED
    write_rows(world, "nothing.jsonl")
    world.retry(job)
    assert report_of(world, world.ended(job))["clean"]


def test_a_dry_run_has_nothing_to_commit(world: World) -> None:
    world.collection()
    with pytest.raises(ImportRefused, match="nothing to commit"):
        world.create(["a.jsonl"], dry_run="true", auto_commit="false")


class UnreadKeys(InlineRunner):
    """The server stops while the keys of duplicates are read."""

    def __init__(self) -> None:
        self.reading, self.stop = HangingTask(), threading.Event()

    def submit(self, function: Callable[[Any, Any], Any], argument: Any) -> TaskHandle[Any]:
        if function is not read_keys:
            return super().submit(function, argument)
        self.stop.set()
        return self.reading


def test_a_server_that_stops_does_not_wait_for_keys(tmp_path: Path) -> None:
    runner = UnreadKeys()
    with a_world(tmp_path, runner, started=False) as world, ThreadPoolExecutor(1) as threads:
        world.collection()
        write_rows(world, row7={"id": 8, "vector": [0] * 4})
        running = threads.submit(world.run_next, world.create(["a.jsonl"], dry_run="true"), runner.stop)
        try:
            job = running.result(10)
            assert runner.reading.future.done(), "its task was cancelled"
        finally:
            runner.reading.cancel()
        assert job.state is JobState.IMPORTING


def test_hashes_of_ended_jobs_are_deleted(world: World) -> None:
    spool = world.folder / "dry-runs"
    (spool / "12345").mkdir(parents=True)
    (spool / "note.txt").touch()
    context = ImportContext(world.catalog, world.engines, world.runner, ImportRoots([]), world.settings, spool=spool)
    delete_key_spools(context)
    assert [path.name for path in spool.iterdir()] == ["note.txt"]
