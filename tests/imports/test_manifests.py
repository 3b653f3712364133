"""Imports by manifest and by pattern: what a job reads, and what it fails with before any row is stored."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.domain.jobs import JobState
from penstock.errors import SourceUnavailable
from penstock.imports.checksums import verify_checksums
from penstock.runners.local import LocalRunner
from penstock.sources.crc32c import Crc32c
from tests.imports.test_folders import write_jsonl, write_parquet
from tests.support.doubles import InlineRunner
from tests.support.faulty_store import Faults, faulty_store
from tests.support.s3 import S3Server
from tests.support.worlds import World, a_world, job_settings


def crc32c(content: bytes) -> str:
    digest = Crc32c()
    digest.update(content)
    return digest.hexdigest()


def write_manifest(path: Path, *entries: object) -> None:
    path.write_text(json.dumps({"files": entries}))


def test_a_manifest_lists_files_of_several_formats_beside_it(world: World) -> None:
    docs = world.collection()
    write_parquet(world.files / "t" / "lang=de" / "a.parquet", 0)
    write_jsonl(world.files / "t" / "b[1].jsonl", 2)
    write_jsonl(world.files / "c.jsonl", 4)
    content = (world.files / "t" / "b[1].jsonl").read_bytes()
    write_manifest(
        world.files / "t" / "night.manifest",
        "lang=de/a.parquet",
        {
            "path": "b[1].jsonl",
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "md5": hashlib.md5(content).hexdigest(),
            "crc32c": crc32c(content),
        },
        str(world.files / "c.jsonl"),
    )
    job = world.imported(["t/night.manifest"])
    assert (job.state, job.reason, job.rows) == (JobState.COMPLETED, None, 6)
    assert world.count(docs) == 6
    assert [file.name for file in world.catalog.jobs.files(job.id)] == [
        "t/lang=de/a.parquet",
        "t/b[1].jsonl",
        f"{world.files}/c.jsonl",
    ]
    # The manifest is no data of its folder.
    (world.files / "t" / "b[1].jsonl").unlink()
    assert world.imported(["t/"]).rows == 2


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"path": "a.jsonl", "size": 7}, "the file has {size} bytes, the manifest 'x.manifest' says 7"),
        (
            {"path": "a.jsonl", "sha256": "0" * 64},
            "the sha256 of the file is {sha256}, the manifest 'x.manifest' says 0",
        ),
        ({"path": "a.jsonl", "crc32c": "00000000"}, "the crc32c of the file is {crc32c}, the manifest"),
        ({"path": "a.jsonl", "etag": "x"}, "has an etag, which 'a.jsonl' does not have"),
        ("none.jsonl", "the file does not exist next to the manifest 'x.manifest'"),
        ("../a.jsonl", "entry 1 of the manifest: path '../a.jsonl' is not allowed"),
        ("/etc/passwd.jsonl", "is outside the import roots"),
        ("a.txt", "unexpected file type"),
    ],
)
def test_a_manifest_that_is_wrong_fails_the_job_and_changes_nothing(world: World, entry: object, reason: str) -> None:
    docs = world.collection()
    write_jsonl(world.files / "a.jsonl", 0)
    (world.files / "a.txt").write_text("x")
    write_manifest(world.files / "x.manifest", entry)
    content = (world.files / "a.jsonl").read_bytes()
    job = world.imported(["x.manifest"])
    expected = reason.format(size=len(content), sha256=hashlib.sha256(content).hexdigest(), crc32c=crc32c(content))
    assert job.state is JobState.FAILED
    assert expected in str(job.reason)
    assert world.count(docs) == 0


def test_manifests_and_patterns_in_a_bucket(tmp_path: Path, runner: LocalRunner, s3: S3Server) -> None:
    bucket = s3.make_bucket()
    with a_world(tmp_path, runner, roots=[f"s3://{bucket}/in"], store=s3.settings) as world:
        docs = world.collection()
        for number, name in enumerate(("a.jsonl", "b.jsonl")):
            write_jsonl(world.files / name, 2 * number)
            s3.put(bucket, f"in/t/{name}", (world.files / name).read_bytes())
        content = (world.files / "a.jsonl").read_bytes()
        etag = hashlib.md5(content).hexdigest()
        manifest = {"files": [{"path": "a.jsonl", "etag": etag, "sha256": hashlib.sha256(content).hexdigest()}]}
        s3.put(bucket, "in/t/x.manifest", json.dumps(manifest).encode())
        manifest["files"][0]["etag"] = "other"
        s3.put(bucket, "in/t/wrong.manifest", json.dumps(manifest).encode())
        s3.put(bucket, "in/t/far.manifest", f"s3://{bucket}/elsewhere/a.jsonl".encode())

        assert world.imported([f"s3://{bucket}/in/t/x.manifest"]).rows == 2
        assert world.imported(["t/x.manifest"]).rows == 2
        assert f'the ETag is "{etag}", the manifest' in str(world.imported(["t/wrong.manifest"]).reason)
        assert "is outside the import roots" in str(world.imported(["t/far.manifest"]).reason)
        assert world.imported([f"s3://{bucket}/in/*/[ab].jsonl"]).rows == 4
        nothing = world.imported([f"s3://{bucket}/in/t/*.csv"])
        assert f"no file matches the pattern. Looked in: s3://{bucket}/in/t/" in str(nothing.reason)
        assert world.count(docs) == 8


def test_checksums_are_verified_once_however_often_the_store_fails_at_another_file(
    tmp_path: Path, runner: LocalRunner, s3: S3Server
) -> None:
    bucket = s3.make_bucket()
    entries = []
    for number in range(3):
        content = f'{{"id": {number}, "vector": [0, 0, 0, {number}]}}\n'.encode()
        s3.put(bucket, f"in/{number}.jsonl", content)
        entries.append({"path": f"{number}.jsonl", "sha256": hashlib.sha256(content).hexdigest()})
    s3.put(bucket, "in/x.manifest", json.dumps({"files": entries}).encode())
    settings, first = job_settings(max_attempts=3, retry_pause=0.02), f"GET /{bucket}/in/0.jsonl"
    with (
        faulty_store(s3.endpoint, Faults(unknown=f"GET /{bucket}/in/2.jsonl"), 0) as proxy,
        a_world(
            tmp_path, runner, settings, roots=[f"s3://{bucket}/in"], store=s3.settings | {"endpoint": proxy.url}
        ) as world,
    ):
        docs = world.collection()
        job = world.imported(["x.manifest"])
        assert job.state is JobState.FAILED
        assert "This was tried 3 times" in str(job.reason)
        assert proxy.passed.count(first) == 1
        proxy.faults = Faults()
        assert world.ended(world.retry(job)).rows == 3
        assert world.count(docs) == 3


class StoppingRunner(InlineRunner):
    """The store fails whenever the last of three files is verified, and the server stops then."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.verified: list[str] = []

    def submit(self, function: Callable[[Any, Any], Any], argument: Any) -> Any:
        if function is not verify_checksums:
            return super().submit(function, argument)
        self.verified.append(argument.location.name)
        return super().submit(function if argument.location.name != "2.jsonl" else self._fail, argument)

    def _fail(self, *_: object) -> None:
        self.stop.set()
        raise SourceUnavailable("the store is away")


def test_a_server_that_stops_verifies_no_further_checksums(tmp_path: Path) -> None:
    runner = StoppingRunner()
    with a_world(tmp_path, runner, job_settings(retry_pause=60.0), started=False) as world:
        world.collection()
        entries = []
        for number in range(3):
            path = world.files / f"{number}.jsonl"
            write_jsonl(path, 2 * number)
            entries.append({"path": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
        write_manifest(world.files / "x.manifest", *entries)
        assert world.run_next(world.create(["x.manifest"]), runner.stop).state is JobState.PLANNING
    assert runner.verified == ["0.jsonl", "1.jsonl", "2.jsonl"]


def test_a_pattern_of_files_of_several_types_is_refused(world: World) -> None:
    world.collection()
    write_jsonl(world.files / "t" / "a.jsonl", 0)
    write_parquet(world.files / "t" / "b.parquet", 2)
    assert "A pattern must match files of one type" in str(world.imported(["t/*"]).reason)
    assert world.imported(["t/*.jsonl"]).rows == 2


def test_a_pattern_in_a_delta_table_leaves_removed_files_out(world: World) -> None:
    world.collection()
    for number, name in enumerate(("a.parquet", "b.parquet")):
        write_parquet(world.files / "t" / name, 2 * number)
    log = world.files / "t" / "_delta_log"
    log.mkdir()
    (log / f"{0:020}.json").write_text('{"add":{"path":"a.parquet"}}\n{"add":{"path":"b.parquet"}}\n')
    (log / f"{1:020}.json").write_text('{"remove":{"path":"a.parquet"}}\n')
    job = world.imported(["t/*.parquet"])
    assert (job.state, job.rows) == (JobState.COMPLETED, 2)
    assert [warning.code for warning in job.warnings] == ["delta_removed"]
