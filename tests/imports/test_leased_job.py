"""Warnings of a job: the same of all formats about files without rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.files import WRITERS

from penstock.domain.jobs import JobState, Split
from penstock.imports.tasks import StageTask
from penstock.runners.local import LocalRunner
from tests.support.doubles import InlineRunner
from tests.support.worlds import World, a_world, job_settings

BLANKS = "\n" * 70_000
"""Several splits of 20,000 bytes, none with a row."""


def write_parquet(folder: Path) -> list[str]:
    columns = {"id": pa.array([], pa.int64()), "vector": pa.array([], pa.list_(pa.float32()))}
    pq.write_table(pa.table(columns), folder / "none.parquet")
    return ["none.parquet"]


def write_numpy(folder: Path) -> list[str]:
    np.save(folder / "id.npy", np.empty(0, np.int64))
    np.save(folder / "vector.npy", np.empty((0, 4), np.float32))
    return ["id.npy", "vector.npy"]


def write_text(name: str, text: str) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        (folder / name).write_text(text)
        return [name]

    return write


EMPTY = {
    "Parquet": write_parquet,
    "NumPy": write_numpy,
    "JSON": write_text("none.json", "[]"),
    "JSON Lines": write_text("none.jsonl", ""),
    "CSV": write_text("none.csv", "id,vector\n"),
    "JSON of several splits": write_text("blank.json", f"[{BLANKS}]"),
    "JSON Lines of several splits": write_text("blank.jsonl", BLANKS),
    "CSV of several splits": write_text("blank.csv", f"id,vector\n{BLANKS}"),
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_file_without_rows_is_named_in_a_warning(tmp_path: Path, runner: LocalRunner, name: str) -> None:
    with a_world(tmp_path, runner, job_settings(split_bytes=20_000)) as world:
        world.collection()
        paths = EMPTY[name](world.files)
        job = world.imported(paths)
        assert (job.state, job.rows, job.reason) == (JobState.COMPLETED, 0, None)
        assert [(warning.code, warning.message) for warning in job.warnings] == [
            ("no_rows", f"file {' '.join(paths)!r} holds no rows")
        ]


def test_a_failed_job_names_only_files_that_were_read(world: World) -> None:
    world.collection()
    (world.files / "none.jsonl").write_text("")
    (world.files / "bad.jsonl").write_text('{"id": 1, "vector": [1]}\n')
    job = world.imported(["none.jsonl"], ["bad.jsonl"])
    assert job.state is JobState.FAILED
    assert job.warnings == (), "both files are of one split, which was not staged"


def test_of_very_many_files_without_rows_the_first_are_named(world: World) -> None:
    world.collection()
    (world.files / "many").mkdir()
    for number in range(103):
        (world.files / "many" / f"{number:03}.jsonl").write_text("")
    job = world.imported(["many/"])
    messages = [warning.message for warning in job.warnings]
    assert messages[:100] == [f"file 'many/{number:03}.jsonl' holds no rows" for number in range(100)]
    assert messages[100:] == ["3 more files have no rows"]


def write_group(folder: Path, name: str) -> list[str]:
    """Forty rows as a file of this format, or as a file for each column."""
    path = folder / f"rows.{name}"
    WRITERS[name](path, 40, 4)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [str(file.relative_to(folder)) for file in files]


class ComparingRunner(InlineRunner):
    """Keeps the splits that are staged, each with what the catalog has of it at that time."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.splits: list[tuple[Split, Split]] = []

    def submit(self, function: Callable[[Any, Any], Any], argument: Any) -> Any:
        if isinstance(argument, StageTask) and self.world is not None:
            stored = self.world.catalog.jobs.splits(argument.job_id)
            self.splits.append((argument.split, stored[argument.split.ordinal]))
        return super().submit(function, argument)


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"fvecs"}))
def test_a_plan_that_was_just_stored_is_what_the_catalog_has(tmp_path: Path, name: str) -> None:
    """It is staged as it is in memory, so that the catalog isn't read for what was just written."""
    runner = ComparingRunner()
    with a_world(tmp_path, runner, started=False) as world:
        runner.world = world
        world.collection()
        group = write_group(world.files, name)
        first = world.run_next(world.create(group))
        assert (first.state, first.rows) == (JobState.COMPLETED, 40)
        assert runner.splits
        for given, stored in runner.splits:
            assert given == stored
        [file] = world.catalog.jobs.files(first.id)
        assert (file.name, file.progress, file.rows) == (" ".join(group), 100, 40)
