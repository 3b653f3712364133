"""Inferring a schema as a server does: the checks of an import's create call, and worker processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from penstock.domain.access import ANONYMOUS, Caller, Grant, Role
from penstock.domain.data_types import DataType
from penstock.errors import (
    DatabaseNotFound,
    DataError,
    FileMissing,
    ImportRefused,
    InvalidParameter,
    PathNotAllowed,
    PenstockError,
    PermissionDenied,
    QuotaExceeded,
    SourceUnavailable,
)
from penstock.imports.schema_inference import MAX_PER_ORG, InferSchema, SchemaInference
from penstock.inference.infer import InferOptions
from penstock.inference.inferred import InferredSchema
from penstock.sources.roots import ImportRoots
from tests.support.catalogs import CLUSTER
from tests.support.s3 import S3Server
from tests.support.web_server import LOOPBACK, web_server
from tests.support.worlds import World

ROW = b'{"id": 1, "v": [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], "t": "a"}\n'


def infer(world: World, *groups: Sequence[str], roots: ImportRoots | None = None, **request: Any) -> InferredSchema:
    values: dict[str, Any] = {"cluster_id": CLUSTER, "groups": groups, "caller": ANONYMOUS} | request
    roots = roots or ImportRoots([str(world.files)])
    return SchemaInference(world.catalog, roots, world.settings, world.scheduler.runner_of).infer(
        InferSchema(**values)
    )


def test_a_file_and_a_folder(world: World) -> None:
    (world.files / "a.jsonl").write_bytes(ROW)
    folder = world.files / "many"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02}.jsonl").write_bytes(ROW.replace(b"1", str(number).encode(), 1))
    inferred = infer(world, ["a.jsonl"])
    assert [field.type for field in inferred.schema] == [DataType.INT64, DataType.FLOAT_VECTOR, DataType.VARCHAR]
    assert inferred.is_complete
    inferred = infer(world, ["many/"])
    assert (len(inferred.sampled), inferred.rows, inferred.is_complete) == (8, 8, False)
    assert inferred.sampled[0].endswith("00.jsonl")
    assert inferred.sampled[-1].endswith("19.jsonl")


def test_choices_and_options_reach_the_worker(world: World) -> None:
    (world.files / "a.csv").write_text('id;b_id;v\n1;NIL;"[1, 2]"\n')
    options = {"sep": ";", "nullkey": "NIL"}
    inferred = infer(world, ["a.csv"], options=options, chosen=InferOptions(vector="v", auto_id=True))
    assert inferred.schema.auto_id
    assert [column.name for column in inferred.dynamic] == ["b_id"]
    with pytest.raises(ImportRefused, match="no column 'key' for the primary key"):
        infer(world, ["a.csv"], options=options, chosen=InferOptions(id="key", vector="v"))


@pytest.mark.parametrize(
    ("groups", "request_values", "error", "words"),
    [
        ([["../a.parquet"]], {}, PathNotAllowed, r"\.\."),
        ([["file:///etc/passwd.json"]], {}, PathNotAllowed, "import root"),
        ([["http://169.254.169.254/a.json"]], {}, PathNotAllowed, "import root"),
        ([["a.txt"]], {}, ImportRefused, "unexpected file type"),
        ([[]], {}, InvalidParameter, "import request is empty"),
        ([["gone.json"]], {}, FileMissing, "gone.json"),
        ([["a.csv"]], {"options": {"sep": "\n"}}, ImportRefused, "unsupported csv separator"),
        ([["a.csv"]], {"database": "nowhere"}, DatabaseNotFound, "nowhere"),
        ([["broken.parquet"]], {}, DataError, "not a Parquet file"),
    ],
)
def test_what_is_refused(
    world: World,
    groups: list[list[str]],
    request_values: Mapping[str, Any],
    error: type[PenstockError],
    words: str,
) -> None:
    (world.files / "broken.parquet").write_bytes(b"no Parquet at all")
    with pytest.raises(error, match=words):
        infer(world, *groups, **request_values)


def test_a_link_out_of_the_root_is_not_followed(world: World, tmp_path: Path) -> None:
    (tmp_path / "secret.jsonl").write_bytes(ROW)
    (world.files / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(PenstockError, match=r"link\.jsonl"):
        infer(world, ["link.jsonl"])


def test_readers_may_not_infer(world: World) -> None:
    org = world.catalog.clusters.get(CLUSTER).org_id
    (world.files / "a.jsonl").write_bytes(ROW)
    reader = Caller(name="r", org_id=org, grants=(Grant(role=Role.READER),))
    with pytest.raises(PermissionDenied):
        infer(world, ["a.jsonl"], caller=reader)
    writer = replace(reader, grants=(Grant(role=Role.WRITER),))
    assert infer(world, ["a.jsonl"], caller=writer).rows == 1
    elsewhere = replace(writer, roots=(str(world.files / "other"),))
    with pytest.raises(PathNotAllowed):
        infer(world, [str(world.files / "a.jsonl")], caller=elsewhere)


class StuckRunner:
    """A runner whose tasks don't end before ``cancel``; all its workers are busy."""

    slots = slots_per_task = 1

    def __init__(self) -> None:
        self.submitted = threading.Semaphore(0)
        self.cancelled = 0
        self.future: Future[Any] = Future()

    def submit(self, function: Callable[..., Any], argument: Any) -> StuckRunner:
        self.submitted.release()
        return self

    def progress(self) -> tuple[int, int]:
        return 0, 0

    def cancel(self, grace: float | None = None) -> None:
        self.cancelled += 1

    def close(self) -> None:
        """Nothing to close."""


def test_busy_workers_and_the_limit_of_an_org(world: World) -> None:
    (world.files / "a.jsonl").write_bytes(ROW)
    stuck = StuckRunner()
    roots = ImportRoots([str(world.files)])
    service = SchemaInference(world.catalog, roots, replace(world.settings, infer_timeout=1.5), lambda org_id: stuck)
    request = InferSchema(cluster_id=CLUSTER, groups=[["a.jsonl"]], caller=ANONYMOUS)
    errors: list[Exception] = []

    def call() -> None:
        try:
            service.infer(request)
        except PenstockError as error:
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(MAX_PER_ORG)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert stuck.submitted.acquire(timeout=30)
    with pytest.raises(QuotaExceeded, match="other inferences of your org are running"):
        service.infer(request)
    for thread in threads:
        thread.join(timeout=30)
    assert [type(error) for error in errors] == [SourceUnavailable] * MAX_PER_ORG
    assert "the workers are busy" in str(errors[0])
    assert stuck.cancelled == MAX_PER_ORG


def test_files_of_an_object_store_and_a_web_server(world: World, s3: S3Server) -> None:
    bucket = s3.make_bucket()
    for number in range(3):
        s3.put(bucket, f"rows/{number}.jsonl", ROW.replace(b"1", str(number).encode(), 1))
    with web_server() as web:
        web.files["/a.jsonl"] = ROW
        roots = ImportRoots([f"s3://{bucket}", f"{web.url}/"], {**s3.stores, **LOOPBACK})
        for path in (f"s3://{bucket}/rows/", f"s3://{bucket}/rows/*.jsonl", f"{web.url}/a.jsonl"):
            inferred = infer(world, [path], roots=roots)
            assert [field.name for field in inferred.schema] == ["id", "v", "t"]
            assert inferred.is_complete


def test_a_large_file_is_read_at_its_beginning_only(world: World) -> None:
    path = world.files / "large.jsonl"
    with path.open("wb") as file:
        file.write(ROW * 2000)
        file.truncate(10 << 30)  # without taking the room on the disk
    began = process_bytes_read()
    inferred = infer(world, ["large.jsonl"])
    assert (inferred.rows, inferred.is_complete) == (1000, False)
    assert process_bytes_read() - began < 16 << 20


def process_bytes_read() -> int:
    """Bytes that this process, whose thread samples here, has read so far, also from the page cache."""
    return psutil.Process().io_counters().read_chars
