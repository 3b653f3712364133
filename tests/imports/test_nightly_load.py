"""A night's load: ten files, one of them with a bad row. It ends as its policy says, and is undone in the morning."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from penstock.domain.jobs import ImportJob, JobState
from penstock.errors import JobStateConflict
from tests.support.worlds import World

FILES, ROWS, BAD_FILE = 10, 20, 6
BAD_ROW = 7
BEFORE = dict.fromkeys(range(90, 110), "yesterday")
"""Half of the rows that the night replaces, and half that it leaves alone."""


def write(world: World, name: str, ids: Iterable[int], source: str, bad: int | None = None) -> str:
    rows = [
        {"id": row, "vector": [row, 1, 2] if place == bad else [row, 1, 2, 3], "source": source}
        for place, row in enumerate(ids)
    ]
    (world.files / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def sources(world: World, job: ImportJob) -> dict[int, str]:
    collection = world.catalog.collections.by_id(job.collection_id)
    assert collection is not None
    rows = world.rows(collection)
    ids: list[Any] = rows["id"].to_pylist()
    dynamic: list[Any] = rows["$meta"].to_pylist()
    return dict(zip(ids, (json.loads(text)["source"] for text in dynamic), strict=True))


@pytest.mark.parametrize(
    ("policy", "left_out"),
    [
        ("abort", None),
        ("skip_row", {ROWS * BAD_FILE + BAD_ROW}),
        ("skip_file", set(range(ROWS * BAD_FILE, ROWS * (BAD_FILE + 1)))),
    ],
)
def test_a_night_ends_as_its_policy_says_and_is_undone_in_the_morning(
    world: World, policy: str, left_out: set[int] | None
) -> None:
    world.collection()
    world.imported([write(world, "yesterday.jsonl", BEFORE, "yesterday")])
    names = [
        write(
            world,
            f"{number}.jsonl",
            range(ROWS * number, ROWS * (number + 1)),
            "night",
            BAD_ROW if number == BAD_FILE else None,
        )
        for number in range(FILES)
    ]

    night = world.imported(*([name] for name in names), write_mode="upsert", on_error=policy, verify="true")

    if left_out is None:
        assert night.state is JobState.FAILED
        assert "6.jsonl" in (night.reason or "")
        assert f"row {BAD_ROW}" in (night.reason or "")
        assert sources(world, night) == BEFORE
        with pytest.raises(JobStateConflict):
            world.revert(night)
        return
    assert (night.state, night.rows) == (JobState.COMPLETED, FILES * ROWS - len(left_out)), night.reason
    assert night.verification is not None
    assert night.verification["problems"] == []
    loaded = {row: "night" for row in range(FILES * ROWS) if row not in left_out}
    assert sources(world, night) == BEFORE | loaded

    undone = world.revert(night)

    assert undone.state is JobState.REVERTED
    assert sources(world, night) == BEFORE
