"""Small files are read and staged together: as rows of one split each keeps its figures, its ids and its errors."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.jobs import FileRange, FileState, JobState, Split, SplitState
from penstock.imports.memory_budget import MIB
from penstock.imports.planner import Plan
from penstock.imports.split_packing import pack_splits
from penstock.readers.base import InputFile
from penstock.runners.local import LocalRunner
from penstock.sources.base import Location
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


def test_ranges_of_a_large_file_count_their_rows_on_in_the_next_split(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(split_bytes=70_000)) as world:
        world.collection()
        write_json_lines(world.files / "a", 0)
        lines = [json.dumps({"id": number, "vector": [number, 1, 2, 3]}) for number in range(5_000)]
        lines[4_321] = json.dumps({"id": 4_321, "vector": [1]})
        (world.files / "b.jsonl").write_text("\n".join(lines))
        job = world.imported(["a.jsonl"], ["b.jsonl"])
        assert job.reason is not None
        assert job.reason.startswith("file 'b.jsonl', row 4321, ")


# The rules of packing, without any files

SIZES = st.lists(st.lists(st.integers(0, 80 * MIB), min_size=1, max_size=3), min_size=1, max_size=60)


def plan_of(files: Sequence[Sequence[int]], names: Sequence[object] | None = None) -> Plan:
    names = names or range(len(files))
    return Plan(
        files=[
            InputFile(locations=[Location(uri=f"{name}", name=f"{name}", size=sum(sizes))], format="Parquet")
            for name, sizes in zip(names, files, strict=True)
        ],
        ranges=[
            FileRange(file=ordinal, format="Parquet", spec={"at": place}, size=size, max_rows=3)
            for ordinal, sizes in enumerate(files)
            for place, size in enumerate(sizes)
        ],
        warnings=[],
    )


def packed(
    plan: Plan, earlier: Plan | None = None, splits: Sequence[Split] = (), workers: int = 2
) -> tuple[list[Split], list[Split]]:
    files = earlier.files if earlier else ()
    locations = {number: [location.to_json() for location in file.locations] for number, file in enumerate(files)}
    return pack_splits(plan, split_bytes=64 * MIB, workers=workers, locations=locations, splits=splits)


def with_staged(splits: Sequence[Split], staged: Collection[int]) -> list[Split]:
    """The splits as the catalog gives them back, five rows of each range staged of those with these ordinals."""
    stored = [
        replace(split, ranges=tuple(FileRange.from_json(file_range.to_json(), 5) for file_range in split.ranges))
        for split in splits
    ]
    return [
        replace(split, state=SplitState.STAGED, staged=split.ordinal) if split.ordinal in staged else split
        for split in stored
    ]


@settings(deadline=None)
@given(SIZES)
def test_every_range_is_in_one_split_in_order_and_splits_are_full(sizes: list[list[int]]) -> None:
    plan = plan_of(sizes)
    splits, _ = packed(plan)
    assert [split.ordinal for split in splits] == list(range(len(splits)))
    assert [file_range for split in splits for file_range in split.ranges] == plan.ranges
    for split in splits:
        assert len(split.ranges) == 1 or split.size <= 64 * MIB
        assert split.max_rows == 3 * len(split.ranges)
    # To open a file counts as 64 KiB.
    weights = [split.size + 64 * 1024 * len(split.ranges) for split in splits]
    assert all(one + next_one > 4 * MIB for one, next_one in pairwise(weights))


@settings(deadline=None)
@given(SIZES, st.sets(st.integers(0, 59)), st.sets(st.integers(0, 59)), st.integers(1, 16))
def test_a_second_plan_keeps_what_is_staged_of_unchanged_files(
    sizes: list[list[int]], staged: set[int], changed: set[int], workers: int
) -> None:
    earlier = plan_of(sizes)
    first = with_staged(packed(earlier)[0], staged)
    plan = plan_of(sizes, [-1 - number if number in changed else number for number in range(len(sizes))])
    second, stale = packed(plan, earlier, first, workers)
    assert [replace(file_range, rows=0) for split in second for file_range in split.ranges] == plan.ranges
    useful = {
        split.ordinal
        for split in first
        if split.ordinal in staged and not changed & {file_range.file for file_range in split.ranges}
    }
    kept = [split for split in second if split.state is SplitState.STAGED]
    assert {split.staged for split in kept} == useful
    assert {split.ordinal for split in stale} == {number for number in staged if number < len(first)} - useful
    assert all(file_range.rows == 5 for split in kept for file_range in split.ranges)


def test_a_file_that_comes_between_those_of_a_staged_split_keeps_its_place() -> None:
    """The order of the files decides which row is the last one of its key."""
    earlier = plan_of([[100], [100]], ["a", "c"])
    first = with_staged(packed(earlier)[0], {0})
    plan = plan_of([[100], [100], [100]], ["a", "b", "c"])
    second, stale = packed(plan, earlier, first)
    assert [file_range for split in second for file_range in split.ranges] == plan.ranges
    assert stale == first


def test_tiny_files_fill_more_than_one_split() -> None:
    assert 5 < len(packed(plan_of([[100]] * 10_000))[0]) < 50


def test_a_job_too_small_for_full_splits_keeps_every_worker_busy() -> None:
    plan = plan_of([[6 * MIB]] * 16)
    assert len(packed(plan, workers=1)[0]) < len(packed(plan, workers=4)[0]) == 16
