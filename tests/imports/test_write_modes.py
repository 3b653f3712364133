"""Jobs that upsert, overwrite, or may not have a key twice: with files, workers, a catalog and Lance."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.domain.access import ANONYMOUS
from penstock.domain.collections import Collection
from penstock.domain.jobs import JobState
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import ImportRefused
from penstock.imports.requests import CreateImport
from tests.support.catalogs import CLUSTER
from tests.support.worlds import World

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=4),
        Field(name="source", type=DataType.VARCHAR, max_length=32),
    )
)


def write(world: World, name: str, ids: Iterable[int | str]) -> str:
    """A file whose rows have its name as their source."""
    rows = [{"id": key, "vector": [1, 2, 3, 4], "source": name} for key in ids]
    (world.files / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"{name}.jsonl"


def sources(world: World, collection: Collection) -> dict[Any, Any]:
    rows = world.rows(collection)
    keys = rows["id"].to_pylist()
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, rows["source"].to_pylist(), strict=True))


def test_an_upsert_counts_what_it_replaced(world: World) -> None:
    collection = world.collection(schema=SCHEMA)
    world.imported([write(world, "old", range(10))])
    job = world.imported([write(world, "new", [3, 5, 20])], write_mode="upsert")
    assert (job.state, job.rows, job.replaced_rows) == (JobState.COMPLETED, 3, 2)
    assert sources(world, collection) == dict.fromkeys(range(10), "old") | dict.fromkeys([3, 5, 20], "new")


def test_an_upsert_in_two_phases_replaces_what_is_there_at_its_commit(world: World) -> None:
    collection = world.collection(schema=SCHEMA)
    job = world.create([write(world, "early", [1, 2])], write_mode="upsert", auto_commit="false")
    world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
    world.imported([write(world, "late", [2, 3])])
    world.imports.commit(CLUSTER, job.id, ANONYMOUS)
    assert world.ended(job).replaced_rows == 1
    assert sources(world, collection) == {1: "early", 2: "early", 3: "late"}


def test_an_overwrite_of_a_partition(world: World) -> None:
    collection = world.collection(schema=SCHEMA)
    world.partitions.create(collection, "p")

    def imported(file: str, partition: str | None, **options: str) -> int | None:
        request = CreateImport(
            caller=ANONYMOUS,
            cluster_id=CLUSTER,
            collection="docs",
            groups=[[file]],
            partition=partition,
            options=options,
        )
        return world.ended(world.imports.create(request)).replaced_rows

    imported(write(world, "in p", [1, 2]), "p")
    imported(write(world, "elsewhere", [3]), None)
    assert imported(write(world, "new", [2, 4]), "p", write_mode="overwrite") == 2
    assert sources(world, collection) == {2: "new", 3: "elsewhere", 4: "new"}
    assert imported(write(world, "all", [1]), None, write_mode="overwrite") == 3
    assert sources(world, collection) == {1: "all"}


def test_an_overwrite_without_rows_changes_nothing(world: World) -> None:
    collection = world.collection(schema=SCHEMA)
    world.imported([write(world, "old", [1])])
    job = world.imported([write(world, "empty", [])], write_mode="overwrite")
    assert job.state is JobState.FAILED
    assert job.reason is not None
    assert "no rows" in job.reason
    assert sources(world, collection) == {1: "old"}


def test_a_job_that_may_not_have_duplicates_names_both_places(world: World) -> None:
    collection = world.collection(schema=SCHEMA)
    files = [[write(world, name, ids)] for name, ids in (("a", range(30)), ("b", [30, 31, 12]))]
    job = world.imported(*files, duplicates="error")
    assert job.state is JobState.FAILED
    assert job.reason is not None
    assert job.reason.startswith(
        "file 'b.jsonl', row 2, field 'id': the key is that of row 12 of file 'a.jsonl', too; value: 12. Remove one"
    )
    assert world.count(collection) == 0
    job = world.imported([write(world, "c", [7, 7])], duplicates="error", write_mode="upsert")
    assert "file 'c.jsonl', row 1, field 'id': the key is that of row 0, too; value: 7" in (job.reason or "")


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"duplicates": "first"}, {1: "a", 2: "a", 3: "b"}),
        ({"duplicates": "last"}, {1: "b", 2: "a", 3: "b"}),
        ({"write_mode": "upsert"}, {1: "b", 2: "a", 3: "b"}),
    ],
)
def test_of_duplicates_one_row_stays(world: World, options: dict[str, str], kept: dict[int, str]) -> None:
    """The order is that of the files in the request, also if they are staged at the same time."""
    collection = world.collection(schema=SCHEMA)
    job = world.imported([write(world, "a", [1, 2])], [write(world, "b", [1, 3])], **options)
    assert (job.state, job.rows, job.total_rows) == (JobState.COMPLETED, 3, 4)
    assert [(warning.code, warning.count) for warning in job.warnings] == [("duplicate_keys", 1)]
    assert sources(world, collection) == kept


def test_keys_may_be_strings(world: World) -> None:
    schema = replace(
        SCHEMA,
        fields=(Field(name="id", type=DataType.VARCHAR, max_length=64, primary=True), *SCHEMA.fields[1:]),
    )
    collection = world.collection(schema=schema)
    world.imported([write(world, "old", ["a", "b", ""])])
    job = world.imported([write(world, "new", ["b", "", "ä"])], write_mode="upsert")
    assert job.replaced_rows == 2
    assert sources(world, collection) == {"a": "old", "b": "new", "": "new", "ä": "new"}


def test_impossible_options_are_refused_at_create(world: World) -> None:
    world.collection(schema=SCHEMA)
    world.collection("generated", schema=replace(SCHEMA, auto_id=True))
    file = write(world, "a", [1])
    for options, text in (
        ({"write_mode": "replace"}, "options.write_mode must be one of append, upsert, overwrite"),
        ({"duplicates": "drop"}, "options.duplicates must be one of keep, error, first, last"),
        ({"write_mode": "upsert", "duplicates": "keep"}, "duplicates=keep contradicts write_mode=upsert"),
    ):
        with pytest.raises(ImportRefused, match=text):
            world.create([file], **options)
    for options in ({"write_mode": "upsert"}, {"duplicates": "error"}):
        with pytest.raises(ImportRefused, match="the collection generates them"):
            world.create([file], collection="generated", **options)


@pytest.mark.parametrize("name", ["keyless.jsonl", "keyless.parquet"])
def test_an_upsert_of_a_file_without_the_key_changes_nothing(world: World, name: str) -> None:
    collection = world.collection(schema=SCHEMA)
    world.imported([write(world, "a", [1, 2])])
    before = sources(world, collection)
    rows = [{"vector": [1, 2, 3, 4], "source": "b"}]
    if name.endswith("jsonl"):
        (world.files / name).write_text(json.dumps(rows[0]) + "\n")
    else:
        pq.write_table(pa.Table.from_pylist(rows), world.files / name)

    job = world.imported([name], write_mode="upsert")

    assert job.state is JobState.FAILED
    assert name in (job.reason or "")
    assert "'id'" in (job.reason or "")
    assert sources(world, collection) == before
