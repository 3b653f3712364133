"""Small files are read and staged together: as rows of one split each keeps its figures, its ids and its errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.catalog.jobs.plans import PlannedFile
from penstock.domain.jobs import FileState, JobState, Part, Split, SplitState
from penstock.imports.memory_budget import MIB
from penstock.imports.planner import Plan, PlannedRange
from penstock.imports.split_packing import SplitPlan, join
from penstock.runners.local import LocalRunner
from tests.support.catalogs import SCHEMA
from tests.support.worlds import World, a_world, job_settings

ROWS = 10


def rows(start: int) -> list[dict[str, object]]:
    return [{"id": number, "vector": [number, 1, 2, 3]} for number in range(start, start + ROWS)]


def write_parquet(path: Path, start: int) -> None:
    vectors = pa.array([row["vector"] for row in rows(start)], pa.list_(pa.float32()))
    pq.write_table(pa.table({"id": pa.array(range(start, start + ROWS)), "vector": vectors}), f"{path}.parquet")


def write_json(path: Path, start: int) -> None:
    Path(f"{path}.json").write_text(json.dumps(rows(start)))


def write_json_lines(path: Path, start: int) -> None:
    Path(f"{path}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(start)))


def write_csv(path: Path, start: int) -> None:
    lines = [f'{row["id"]},"{row["vector"]}"' for row in rows(start)]
    Path(f"{path}.csv").write_text("\n".join(["id,vector", *lines]) + "\n")


def write_numpy(path: Path, start: int) -> None:
    path.mkdir()
    np.save(path / "id.npy", np.arange(start, start + ROWS))
    np.save(path / "vector.npy", np.array([row["vector"] for row in rows(start)], np.float32))


@pytest.mark.parametrize("write", [write_parquet, write_json, write_json_lines, write_csv, write_numpy])
def test_a_folder_of_small_files_becomes_one_file_of_the_engine(world: World, write: object) -> None:
    docs = world.collection()
    (world.files / "many").mkdir()
    for number in range(20):
        write(world.files / "many" / f"{number:02}", number * ROWS)  # type: ignore[operator]
    job = world.imported(["many/"])
    assert (job.state, job.progress, job.rows, job.reason) == (JobState.COMPLETED, 100, 20 * ROWS, None)
    assert world.rows(docs)["id"].to_pylist() == list(range(20 * ROWS))
    assert len(list((world.folder / "collections" / f"{docs.id}.lance" / "data").iterdir())) == 1
    files = world.catalog.jobs.files(job.id)
    assert [(file.state, file.rows, file.total_rows, file.progress) for file in files] == [
        (FileState.COMPLETED, ROWS, ROWS, 100)
    ] * 20
    assert [file.name for file in files] == sorted(file.name for file in files)


def test_the_first_bad_row_of_the_first_bad_file_is_told(world: World) -> None:
    world.collection()
    (world.files / "many").mkdir()
    for number in range(20):
        write_json_lines(world.files / "many" / f"{number:02}", number * ROWS)
    for number in (17, 7):
        path = world.files / "many" / f"{number:02}.jsonl"
        lines = path.read_text().splitlines()
        lines[4] = json.dumps({"id": 1, "vector": [1]})
        path.write_text("\n".join(lines))
    job = world.imported(["many/"])
    assert job.state is JobState.FAILED
    assert job.reason is not None
    assert job.reason.startswith("file 'many/07.jsonl', row 4, byte ")
    files = world.catalog.jobs.files(job.id)
    assert [file.ordinal for file in files if file.reason] == [7]


def test_an_empty_file_among_others_is_named_in_a_warning(world: World) -> None:
    world.collection()
    (world.files / "many").mkdir()
    for number in range(5):
        write_json_lines(world.files / "many" / f"{number}", number * ROWS)
    (world.files / "many" / "3.jsonl").write_text("")
    job = world.imported(["many/"])
    assert job.state is JobState.COMPLETED
    assert [warning.message for warning in job.warnings] == ["file 'many/3.jsonl' holds no rows"]


def test_ids_that_are_made_are_unique_over_all_files(world: World) -> None:
    docs = world.collection(schema=replace(SCHEMA, auto_id=True))
    (world.files / "many").mkdir()
    for number in range(20):
        lines = [json.dumps({"vector": row["vector"]}) for row in rows(number * ROWS)]
        (world.files / "many" / f"{number}.jsonl").write_text("\n".join(lines))
    job = world.imported(["many/"])
    assert (job.state, job.rows, job.reason) == (JobState.COMPLETED, 20 * ROWS, None)
    assert len(set(world.rows(docs)["id"].to_pylist())) == 20 * ROWS


def test_parts_of_a_large_file_count_their_rows_on_in_the_next_split(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(split_bytes=70_000)) as world:
        world.collection()
        write_json_lines(world.files / "a", 0)
        lines = [json.dumps({"id": number, "vector": [number, 1, 2, 3]}) for number in range(5_000)]
        lines[4_321] = json.dumps({"id": 4_321, "vector": [1]})
        (world.files / "b.jsonl").write_text("\n".join(lines))
        job = world.imported(["a.jsonl"], ["b.jsonl"])
        assert job.reason is not None
        assert job.reason.startswith("file 'b.jsonl', row 4321, ")


# The rules of joining, without any files

SIZES = st.lists(st.lists(st.integers(0, 80 * MIB), min_size=1, max_size=3), min_size=1, max_size=60)


def plan_of(files: Sequence[Sequence[int]], names: Sequence[int] | None = None) -> Plan:
    names = names or range(len(files))
    return Plan(
        files=[
            PlannedFile(name=f"{name}", locations=[{"uri": f"{name}"}], size=sum(sizes), total_rows=0)
            for name, sizes in zip(names, files, strict=True)
        ],
        pieces=[
            PlannedRange(part=Part(file=number, spec={"at": place}, size=size), weight=size, max_rows=3)
            for number, sizes in enumerate(files)
            for place, size in enumerate(sizes)
        ],
        warnings=[],
    )


def joined(plan: Plan, earlier: SplitPlan | None = None, staged: Sequence[int] = (), workers: int = 2) -> SplitPlan:
    splits = [
        Split(
            ordinal=number,
            parts=tuple(replace(part, rows=5) for part in split.parts),
            state=SplitState.STAGED if number in staged else SplitState.PENDING,
        )
        for number, split in enumerate(earlier.splits if earlier else ())
    ]
    files = {number: file.locations for number, file in enumerate(earlier.files)} if earlier else {}
    return join(plan, split_bytes=64 * MIB, workers=workers, auto_id=True, files=files, splits=splits)


@settings(deadline=None)
@given(SIZES)
def test_every_piece_is_in_one_split_in_order_and_splits_are_full(sizes: list[list[int]]) -> None:
    plan = plan_of(sizes)
    splits = joined(plan).splits
    assert [part for split in splits for part in split.parts] == [piece.part for piece in plan.pieces]
    for split in splits:
        assert len(split.parts) == 1 or sum(part.size for part in split.parts) <= 64 * MIB
        assert split.auto_ids == 3 * len(split.parts)
    # To open a piece counts as 64 KiB.
    weights = [sum(part.size + 64 * 1024 for part in split.parts) for split in splits]
    assert all(one + next_one > 4 * MIB for one, next_one in pairwise(weights))


@settings(deadline=None)
@given(SIZES, st.sets(st.integers(0, 59)), st.sets(st.integers(0, 59)), st.integers(1, 16))
def test_a_second_plan_keeps_what_is_staged_of_unchanged_files(
    sizes: list[list[int]], staged: set[int], changed: set[int], workers: int
) -> None:
    first = joined(plan_of(sizes))
    names = [-1 - number if number in changed else number for number in range(len(sizes))]
    plan = plan_of(sizes, names)
    second = joined(plan, first, sorted(staged), workers)
    parts = [replace(part, rows=0) for split in second.splits for part in split.parts]
    assert sorted(parts, key=lambda part: (part.file, part.spec["at"])) == [piece.part for piece in plan.pieces]
    useful = {
        number
        for number, split in enumerate(first.splits)
        if number in staged and not changed & {part.file for part in split.parts}
    }
    assert {split.kept for split in second.splits if split.kept is not None} == useful
    assert {each.ordinal for each in second.stale} == {each for each in staged if each < len(first.splits)} - useful
    assert all(part.rows == 5 for split in second.splits if split.kept is not None for part in split.parts)
    for number, file in enumerate(second.files):
        assert file.kept == (None if number in changed else number)


def test_tiny_files_fill_more_than_one_split() -> None:
    assert 5 < len(joined(plan_of([[100]] * 10_000)).splits) < 50


def test_a_job_too_small_for_full_splits_keeps_every_worker_busy() -> None:
    plan = plan_of([[6 * MIB]] * 16)
    assert len(joined(plan, workers=1).splits) < len(joined(plan, workers=4).splits) == 16
