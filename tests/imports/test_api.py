"""Imports from create to rows: formats, folders, partitions, ids, and what is said when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.domain.access import ANONYMOUS
from penstock.domain.jobs import JobState
from penstock.domain.quotas import JobLimits
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import (
    CollectionNotFound,
    FileMissing,
    ImportRefused,
    InvalidParameter,
    LimitExceeded,
    MissingParameter,
    PartitionNotFound,
    PathNotAllowed,
    Unsupported,
)
from penstock.imports.requests import CreateImport
from penstock.runners.local import LocalRunner
from tests.support.catalogs import CLUSTER, SCHEMA
from tests.support.worlds import World, a_world, job_settings

VECTORS = np.arange(40, dtype=np.float32).reshape(10, 4)
IDS = np.arange(10, dtype=np.int64)


def write_parquet(folder: Path, name: str = "a.parquet", start: int = 0) -> None:
    table = pa.table({"id": pa.array(IDS + start), "vector": pa.array(list(VECTORS), pa.list_(pa.float32()))})
    pq.write_table(table, folder / name, row_group_size=4)


def rows_as_json() -> list[dict[str, object]]:
    return [{"id": int(key), "vector": vector.tolist()} for key, vector in zip(IDS, VECTORS, strict=True)]


def write_json(folder: Path) -> None:
    (folder / "a.json").write_text(json.dumps({"rows": rows_as_json()}, indent=2))


def write_json_lines(folder: Path) -> None:
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_as_json()))


def write_csv(folder: Path) -> None:
    lines = [f'{row["id"]},"{row["vector"]}"' for row in rows_as_json()]
    (folder / "a.csv").write_text("\n".join(["id,vector", *lines]))


def write_numpy(folder: Path) -> None:
    np.save(folder / "id.npy", IDS)
    np.save(folder / "vector.npy", VECTORS)


@pytest.mark.parametrize(
    ("write", "group"),
    [
        (write_parquet, ["a.parquet"]),
        (write_json, ["a.json"]),
        (write_json_lines, ["a.jsonl"]),
        (write_csv, ["a.csv"]),
        (write_numpy, ["id.npy", "vector.npy"]),
    ],
    ids=["parquet", "json", "jsonl", "csv", "numpy"],
)
def test_every_format_becomes_the_same_rows(world: World, write: Callable[[Path], None], group: list[str]) -> None:
    docs = world.collection()
    write(world.files)
    job = world.imported(group)
    assert (job.state, job.progress, job.rows, job.total_rows) == (JobState.COMPLETED, 100, 10, 10)
    assert job.finished_at is not None
    rows = world.rows(docs)
    assert rows["id"].to_pylist() == IDS.tolist()
    assert rows["vector"].to_pylist() == VECTORS.tolist()


def test_a_folder_is_one_request_and_its_files_are_told_apart(world: World) -> None:
    docs = world.collection()
    (world.files / "in").mkdir()
    for number in range(3):
        write_parquet(world.files / "in", f"{number}.parquet", start=10 * number)
    job = world.imported(["in/"])
    assert (job.state, job.rows) == (JobState.COMPLETED, 30)
    files = world.catalog.jobs.files(job.id)
    assert [(file.name, file.rows, file.progress) for file in files] == [
        (f"in/{number}.parquet", 10, 100) for number in range(3)
    ]
    assert world.count(docs) == 30


def test_two_jobs_append_and_the_engine_knows_whose_rows_are_whose(world: World) -> None:
    docs = world.collection()
    write_parquet(world.files)
    first, second = world.create(["a.parquet"]), world.create(["a.parquet"])
    assert {world.ended(each).state for each in (first, second)} == {JobState.COMPLETED}
    assert world.count(docs) == 20


def test_ids_are_made_and_never_twice(world: World) -> None:
    made = world.collection("made", replace(SCHEMA, auto_id=True))
    pq.write_table(
        pa.table({"vector": pa.array(list(VECTORS), pa.list_(pa.float32()))}),
        world.files / "a.parquet",
        row_group_size=3,
    )
    for _ in range(2):
        assert world.imported(["a.parquet"], collection="made").state is JobState.COMPLETED
    assert len(set(world.rows(made)["id"].to_pylist())) == 20


def test_rows_go_to_the_named_partition(world: World) -> None:
    docs = world.collection()
    partition = world.partitions.create(docs, "p1")
    write_parquet(world.files)
    request = CreateImport(
        caller=ANONYMOUS, cluster_id=CLUSTER, collection="docs", groups=[["a.parquet"]], partition="p1"
    )
    world.ended(world.imports.create(request))
    assert world.rows(docs, partitions=[partition.number]).num_rows == 10
    assert world.rows(docs, partitions=[0]).num_rows == 0
    world.partitions.drop(docs, "p1")
    assert world.count(docs) == 0


def test_a_partition_key_spreads_rows_and_refuses_a_name(world: World) -> None:
    key = Field(name="id", type=DataType.INT64, primary=True)
    tenant = Field(name="tenant", type=DataType.INT64, partition_key=True)
    tenants = world.collection("keyed", CollectionSchema(fields=(key, tenant, SCHEMA["vector"])))
    rows = [{**row, "tenant": row["id"]} for row in rows_as_json()]
    (world.files / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert world.imported(["a.jsonl"], collection="keyed").state is JobState.COMPLETED
    tenants = world.fresh(tenants)
    counts = [world.partitions.count(tenants, partition.name) for partition in world.partitions.list(tenants)]
    assert sum(counts) == 10
    assert sum(count > 0 for count in counts) > 1
    request = CreateImport(
        caller=ANONYMOUS, cluster_id=CLUSTER, collection="keyed", groups=[["a.jsonl"]], partition="_default_0"
    )
    with pytest.raises(ImportRefused, match="partition name for collection with partition key"):
        world.imports.create(request)


def test_two_lists_in_one_file_fail_the_job(world: World) -> None:
    docs = world.collection()
    text = json.dumps(rows_as_json())
    (world.files / "two.json").write_text(text + "\n" + text)
    job = world.imported(["two.json"])
    assert job.state is JobState.FAILED
    assert "file 'two.json'" in (job.reason or "")
    assert "text follows the list of rows" in (job.reason or "")
    assert world.count(docs) == 0


def test_a_dropped_column_is_told_with_its_count(world: World) -> None:
    strict = world.collection("strict", replace(SCHEMA, dynamic=False))
    (world.files / "a.json").write_text(json.dumps([{**row, "colour": "red"} for row in rows_as_json()]))
    job = world.imported(["a.json"], collection="strict")
    assert job.state is JobState.COMPLETED
    (warning,) = job.warnings
    assert (warning.code, warning.count) == ("column_dropped", 10)
    assert "colour" in warning.message
    assert world.count(strict) == 10


BAD_ROWS: dict[str, tuple[dict[str, object], list[str]]] = {
    "dimension": (
        {"id": 3, "vector": [1, 2, 3]},
        ["row 3", "'vector'", "dim", "the field has 4"],
    ),
    "string": ({"id": 3, "vector": [1, 2, 3, "x"]}, ["row 3", "'vector'"]),
    "range": ({"id": 2**63, "vector": [1, 2, 3, 4]}, ["row 3", "'id'", "9223372036854775808"]),
    "missing": ({"vector": [1, 2, 3, 4]}, ["row 3", "'id'", "missed"]),
    "null": ({"id": None, "vector": [1, 2, 3, 4]}, ["row 3", "'id'", "null"]),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_fails_the_whole_job_and_is_named(world: World, name: str) -> None:
    docs = world.collection()
    bad, words = BAD_ROWS[name]
    rows = rows_as_json()
    rows[3] = bad
    (world.files / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_parquet(world.files, "good.parquet")
    job = world.imported(["good.parquet"], ["a.jsonl"])
    assert job.state is JobState.FAILED
    assert job.finished_at is not None
    for word in ("a.jsonl", *words):
        assert word in (job.reason or ""), f"{word!r} is not in {job.reason!r}"
    files = {file.name: file for file in world.catalog.jobs.files(job.id)}
    assert files["a.jsonl"].reason == job.reason
    assert files["good.parquet"].reason is None
    assert world.count(docs) == 0


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_the_first_bad_row_of_a_file_is_named_though_a_later_split_fails_first(
    tmp_path: Path, runner: LocalRunner, name: str
) -> None:
    settings = job_settings(split_bytes=4_000)
    with a_world(tmp_path, runner, settings) as world:
        world.collection()
        rows = [{"id": number, "vector": [1.0, 2.0, 3.0, 4.0]} for number in range(1_000)]
        for bad in (400, 401, 999):
            rows[bad] = {"id": bad, "vector": [1.0]}
        texts = {
            "a.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
            "a.json": json.dumps(rows),
            "a.csv": "id,vector\n" + "".join(f'{row["id"]},"{row["vector"]}"\n' for row in rows),
        }
        (world.files / name).write_text(texts[name])
        job = world.imported([name])
        assert len(world.catalog.jobs.splits(job.id)) > 5
        assert "row 400," in (job.reason or ""), job.reason


BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.parquet", b"", "empty"),
    "no parquet": ("a.parquet", b"PAR1 this is no parquet file PAR1", "a.parquet"),
    "broken json": ("a.json", b'[{"id": 1, "vector": [1, 2, 3, 4]}, {"id": 2,', "a.json"),
    "list in lines": ("a.jsonl", b"[1]", "a.jsonl"),
    "nothing": ("a.csv", b"", "empty"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_not_what_its_name_says_fails_the_job(world: World, name: str) -> None:
    docs = world.collection()
    file, content, word = BAD_FILES[name]
    (world.files / file).write_bytes(content)
    job = world.imported([file])
    assert job.state is JobState.FAILED
    assert word in (job.reason or "")
    assert world.count(docs) == 0


def test_a_missing_file_fails_the_job_and_says_where_it_was_looked_for(world: World) -> None:
    world.collection()
    job = world.imported(["gone/a.parquet"])
    assert job.state is JobState.FAILED
    assert str(world.files / "gone" / "a.parquet") in (job.reason or "")
    with pytest.raises(FileMissing):
        world.imports.create(
            CreateImport(
                caller=ANONYMOUS, cluster_id=CLUSTER, collection="docs", groups=[["gone/a.parquet"]], heads=True
            )
        )


def test_a_link_out_of_the_root_is_not_followed(world: World, tmp_path: Path) -> None:
    world.collection()
    write_parquet(tmp_path, "secret.parquet")
    (world.files / "link.parquet").symlink_to(tmp_path / "secret.parquet")
    job = world.imported(["link.parquet"])
    assert job.state is JobState.FAILED
    assert "link.parquet" in (job.reason or "")


@pytest.mark.parametrize(
    ("groups", "options", "error", "words"),
    [
        ([["../a.parquet"]], {}, PathNotAllowed, r"\.\."),
        ([["file:///etc/passwd.json"]], {}, PathNotAllowed, "import root"),
        ([["a.txt"]], {}, ImportRefused, "unexpected file type"),
        ([["a.json", "b.npy"]], {}, ImportRefused, "inconsistency in file types"),
        ([["a.json", "b.json"]], {}, ImportRefused, "accepts only one file"),
        ([[]], {}, InvalidParameter, "import request is empty"),
        ([["a.json"]] * 1025, {}, ImportRefused, "should not exceed 1024, but got 1025"),
        ([["a.json"]], {"timeout": "soon"}, ImportRefused, 'invalid duration "soon"'),
        ([["a.csv"]], {"sep": "\n"}, ImportRefused, "unsupported csv separator"),
        ([["a.json"]], {"l0_import": "true"}, Unsupported, "l0_import"),
        # Before the files' names are looked at: a backup names folders of Milvus's storage.
        ([["backup/1/"], ["b.bin"]], {"backup": "true"}, MissingParameter, "partition not specified"),
        ([[f"{number}.npy" for number in range(16_385)]], {}, ImportRefused, "one import takes at most 16384 files"),
    ],
)
def test_what_can_never_be_a_job_is_refused_at_once(
    world: World, groups: list[list[str]], options: dict[str, str], error: type[Exception], words: str
) -> None:
    world.collection()
    with pytest.raises(error, match=words):
        world.create(*groups, **options)


def test_options_that_mean_nothing_are_told_by_the_job(world: World) -> None:
    world.collection()
    (world.files / "a.csv").write_text("id\tvector\n1\t[1,2,3,4]\n")
    job = world.imported(["a.csv"], sep=r"\t", Nullkey="NULL", sdk="java", **{f"x{n}" * 200: "y" for n in range(50)})
    assert (job.state, job.rows, job.reason) == (JobState.COMPLETED, 1, None)
    texts = [warning.message for warning in job.warnings if warning.code == "option_ignored"]
    assert texts[0] == "option 'Nullkey' is unknown. Did you mean 'nullkey'? It was ignored"
    assert len(texts) == 11
    assert max(map(len, texts)) < 500
    missing = world.imported(["none.csv"], Nullkey="NULL")
    assert missing.state is JobState.FAILED
    assert [warning.code for warning in missing.warnings] == ["option_ignored"]


def test_files_of_a_numpy_set_in_lists_of_their_own(world: World) -> None:
    world.collection()
    np.save(world.files / "id.npy", np.arange(3))
    np.save(world.files / "vector.npy", np.zeros((3, 4), np.float32))
    job = world.imported(["id.npy"], ["vector.npy"])
    assert (job.state, job.reason) == (
        JobState.FAILED,
        (
            "each of the 2 NumPy files is in a separate list, and so a set of one field. Put the files of a set into "
            'one list: [["id.npy", "vector.npy"]]'
        ),
    )


def test_unknown_names_are_refused(world: World) -> None:
    with pytest.raises(CollectionNotFound):
        world.create(["a.json"])
    world.collection()
    with pytest.raises(PartitionNotFound):
        world.imports.create(
            CreateImport(caller=ANONYMOUS, cluster_id=CLUSTER, collection="docs", groups=[["a.json"]], partition="p9")
        )


def test_too_many_live_jobs_are_refused_with_the_limit(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner, job_settings(limits=JobLimits(collection=1)), started=False) as world:
        world.collection()
        world.create(["a.json"])
        with pytest.raises(LimitExceeded, match="max_jobs_per_collection"):
            world.create(["a.json"])


def test_a_timeout_ends_the_job(tmp_path: Path, runner: LocalRunner) -> None:
    with a_world(tmp_path, runner) as world:
        world.collection()
        write_parquet(world.files)
        job = world.imported(["a.parquet"], timeout="1ns")
        assert job.state is JobState.FAILED
        assert str(job.reason).startswith("import timeout: the job was not finished by ")
