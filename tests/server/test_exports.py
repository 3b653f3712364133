"""Exports of a real server: files that import back equal, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import penstock
from penstock.cli.main import cli
from penstock.sdk.errors import ApiError, ExportFailed
from tests.chaos.crashing_server import CrashPoint
from tests.chaos.processes import start
from tests.support.s3 import S3Server
from tests.support.servers import RunningServer, running_server

LIMIT = 120.0
ROWS = 400


@pytest.fixture(scope="module")
def exporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("exporting"), forked=True) as server:
        yield server


def write(folder: Path, name: str, first: int = 0, rows: int = ROWS) -> None:
    folder.mkdir(exist_ok=True)
    lines = (
        json.dumps({"id": first + row, "vector": [row, 1.0], "year": 1990 + row % 40, "tag": f"t{row}"}) + "\n"
        for row in range(rows)
    )
    (folder / name).write_text("".join(lines))


def load(client: penstock.Client, collection: str, *files: str, partition: str | None = None) -> None:
    client.imports.wait(client.imports.create(collection, list(files), partition=partition), timeout=LIMIT)


def rows(client: penstock.Client, collection: str, filter: str = "id >= 0") -> list[dict[str, object]]:
    return [dict(row) for row in client.query(collection, filter=filter, output_fields=["*"], limit=10_000)]


def test_a_collection_is_exported_and_imports_back_equal(exporting: RunningServer) -> None:
    write(exporting.import_root, "a.jsonl")
    out = exporting.import_root / "exports" / "first"
    with exporting.client() as client:
        client.collections.create("first", dimension=2)
        load(client, "first", "a.jsonl")
        export = client.exports.wait(client.exports.create("first", "exports/first"), timeout=LIMIT)
        assert (export.rows, export.total_rows, export.progress) == (ROWS, ROWS, 100)
        manifest = json.loads((out / "_manifest.json").read_text())
        assert manifest["rows"] == ROWS
        for file in manifest["files"]:
            content = (out / file["name"]).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"])
        run = CliRunner().invoke(
            cli,
            ["collections", "create", "second", "--schema", str(out / "_schema.json")],
            env={"PENSTOCK_URL": exporting.url},
        )
        assert run.exit_code == 0, run.output
        load(client, "second", "exports/first/")
        assert rows(client, "second") == rows(client, "first")
        [described] = [item for item in client.exports.list("first") if item.id == export.id]
        assert described.target == "exports/first"
        before = {path.name: path.read_bytes() for path in out.iterdir()}
        with pytest.raises(ApiError, match="the folder 'exports/first' is not empty: it has"):
            client.exports.create("first", "exports/first")
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_partitions_have_folders_and_a_filter_selects_rows(exporting: RunningServer) -> None:
    root = exporting.import_root
    write(root, "old.jsonl")
    write(root, "new.jsonl", ROWS)
    with exporting.client() as client:
        client.collections.create("parted", dimension=2)
        client.partitions.create("parted", "new")
        load(client, "parted", "old.jsonl")
        load(client, "parted", "new.jsonl", partition="new")
        export = client.exports.create("parted", "exports/parted", filter="year < 1995 and tag != 't0'")
        assert client.exports.wait(export, timeout=LIMIT).rows == 2 * (5 * ROWS // 40) - 2
        folders = {path.name for path in (root / "exports" / "parted").iterdir() if path.is_dir()}
        assert folders == {"partition-_default", "partition-new"}
        [file] = (root / "exports" / "parted" / "partition-new").iterdir()
        assert set(pq.read_table(file)["id"].to_pylist()) < set(range(ROWS, 2 * ROWS))
        only = client.exports.wait(
            client.exports.create("parted", "exports/new", partitions=["new"], format="csv"), timeout=LIMIT
        )
        assert [file.name for file in only.files] == ["partition-new/part-00000-000.csv"]


def test_a_target_outside_the_roots_and_unknown_names_are_refused(exporting: RunningServer, tmp_path: Path) -> None:
    with exporting.client() as client:
        client.collections.create("guarded", dimension=2)
        for target, reason in (
            (str(tmp_path / "out"), "outside the folders that this server exports to"),
            ("../out", r"contains '\.\.'"),
            ("s3://bucket/out", "outside the folders"),
            ("https://example.org/out", "outside the folders"),
        ):
            with pytest.raises(ApiError, match=reason) as refused:
                client.exports.create("guarded", target)
            assert (refused.value.code, "importing" in str(refused.value)) == (2100, False)
        with pytest.raises(ApiError, match="partition"):
            client.exports.create("guarded", "exports/guarded", partitions=["nope"])
        with pytest.raises(ApiError, match="formats are parquet, jsonl, csv"):
            client.exports.create("guarded", "exports/guarded", format="xml")
        with pytest.raises(ApiError, match="year >"):
            client.exports.create("guarded", "exports/guarded", filter="year >")
        link = exporting.import_root / "link"
        link.symlink_to(tmp_path)
        with pytest.raises(ApiError, match="leads by a link out of"):
            client.exports.create("guarded", "link/out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("step", "moment"),
    [
        ("save part", "after"),
        pytest.param("save part", "before", marks=pytest.mark.slow),
        pytest.param("write part", "after", marks=pytest.mark.slow),
        pytest.param("save export plan", "after", marks=pytest.mark.slow),
        pytest.param("end export", "before", marks=pytest.mark.slow),
    ],
)
def test_an_export_goes_on_after_a_kill_and_shows_the_rows_of_its_beginning(
    tmp_path: Path, step: str, moment: Literal["before", "after"]
) -> None:
    flags = ["--workers", "1", "--split-bytes", "2KiB", "--import-root", str(tmp_path / "files")]
    names = [f"{number}.jsonl" for number in range(3)]
    for number, name in enumerate(names):
        write(tmp_path / "files", name, number * ROWS)
    crash_point = CrashPoint(step, moment, 1, str(tmp_path / "died"))
    crashing = start(tmp_path, "crashing", flags, None, crash_point)
    try:
        with penstock.Client(str(crashing.url())) as client:
            client.collections.create("docs", dimension=2)
            for name in names:
                load(client, "docs", name)
            export = client.exports.create("docs", "out")
            if step == "write part":  # a worker dies, and the part is tried again
                client.exports.wait(export, timeout=LIMIT)
            else:
                crashing.process.join(LIMIT)
                assert crashing.process.exitcode == -signal.SIGKILL
        assert crashing.has_crashed
    finally:
        crashing.kill(with_workers=True)
    with running_server(tmp_path, *flags[2:4], forked=True) as server, server.client() as client:
        if step == "save part":
            load(client, "docs", names[0])  # rows of later than the export's beginning
        done = client.exports.wait(export, timeout=LIMIT)
        assert done.rows == 3 * ROWS
    ids = [
        id_
        for path in sorted((tmp_path / "files" / "out").glob("part-*"))
        for id_ in pq.read_table(path)["id"].to_pylist()
    ]
    assert Counter(ids) == Counter(range(3 * ROWS))
    assert {path.suffix for path in (tmp_path / "files" / "out").iterdir()} == {".parquet", ".json"}


@pytest.mark.slow
def test_an_export_into_a_bucket_with_the_callers_keys(tmp_path: Path, s3: S3Server, postgres_url: str) -> None:
    """The catalog is PostgreSQL's."""
    write(tmp_path / "files", "a.jsonl")
    bucket = s3.make_bucket()
    keys: dict[str, Any] = {"access_key": "server-key", "secret_key": "server-secret"}
    env = {
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_REGION": "us-east-1",
        "PENSTOCK_CATALOG_URL": postgres_url,
    }
    flags = ("--export-root", "s3://")
    with running_server(tmp_path, *flags, env=env, forked=True) as server, server.client() as client:
        client.collections.create("docs", dimension=2)
        load(client, "docs", "a.jsonl")
        with pytest.raises(ApiError, match="pass the keys of the bucket"):
            client.exports.create("docs", f"s3://{bucket}/out")
        with pytest.raises(ApiError, match="outside the folders"):
            client.exports.create("docs", "out")  # the import roots are no export roots here
        export = client.exports.create("docs", f"s3://{bucket}/out", **keys)
        assert client.exports.wait(export, timeout=LIMIT).rows == ROWS
        assert sorted(s3.keys(bucket)) == ["out/_manifest.json", "out/_schema.json", "out/part-00000-000.parquet"]
        again = client.exports.create("docs", f"s3://{bucket}/out", **keys)
        with pytest.raises(ExportFailed, match="is not empty"):
            client.exports.wait(again, timeout=LIMIT)
        assert len(s3.keys(bucket)) == 3
    assert "server-secret" not in server.log.read_text()
    manifest = json.loads(s3.get(bucket, "out/_manifest.json"))
    assert manifest["rows"] == ROWS
