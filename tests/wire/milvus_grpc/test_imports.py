"""Import jobs as pymilvus's bulk inserts: the job of a call, its states and infos."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from penstock.domain.jobs import ImportFile, JobState, JobWarning
from penstock.server.services import Services
from penstock.wire.milvus_grpc.imports import STATES
from penstock.wire.milvus_grpc.stubs import common_pb2
from tests.support.grpc_methods import answer
from tests.support.http import make_services
from tests.support.imports import CREATED, MemoryImports, make_job


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with make_services(tmp_path_factory.mktemp("imports")) as services:
        yield services


@pytest.fixture
def imports(services: Services) -> MemoryImports:
    imports = services.imports
    assert isinstance(imports, MemoryImports)
    imports.clear()
    return imports


def infos(task: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in task.infos}


def test_a_bulk_insert_is_an_import_job(services: Services, imports: MemoryImports) -> None:
    created = answer(
        services,
        "Import",
        database="other",
        collection_name="docs",
        partition_name="_default",
        files=["a.parquet", "b.json"],
        channel_names=["ignored"],
        options=[{"key": "sep", "value": ";"}],
    )
    (request,) = imports.requests
    assert (request.database, request.collection, request.partition) == ("other", "docs", "_default")
    assert (request.groups, request.options) == ([["a.parquet"], ["b.json"]], {"sep": ";"})
    (task,) = created.tasks
    assert answer(services, "GetImportState", task=task).id == task


def test_npy_files_are_the_columns_of_one_set(services: Services, imports: MemoryImports) -> None:
    answer(services, "Import", collection_name="docs", files=["id.npy", "rows.json", "vector.NPY"])
    assert imports.requests[0].groups == [["id.npy", "vector.NPY"], ["rows.json"]]
    assert imports.requests[0].partition is None


@pytest.mark.parametrize("state", JobState)
def test_every_state_has_one_of_milvuss(services: Services, imports: MemoryImports, state: JobState) -> None:
    job = imports.add(make_job(state))
    shown = answer(services, "GetImportState", task=job.id).state
    assert shown == common_pb2.ImportState.Value(STATES[state])


def test_a_running_job(services: Services, imports: MemoryImports) -> None:
    job = make_job(JobState.IMPORTING, rows=7, progress=40, partition="p1")
    imports.add(job, ImportFile(ordinal=0, name="a.json"), ImportFile(ordinal=1, name="b.json"))
    shown = answer(services, "GetImportState", task=job.id)
    assert (shown.row_count, shown.create_ts, list(shown.id_list)) == (7, int(CREATED.timestamp()), [])
    assert infos(shown) == {
        "files": "a.json,b.json",
        "collection": "docs",
        "partition": "p1",
        "progress_percent": "40",
    }


def test_a_job_has_its_warnings(services: Services, imports: MemoryImports) -> None:
    """Such as of an option that was ignored: pymilvus's ``do_bulk_insert`` takes a ``bucket``."""
    ignored = [JobWarning(code="option", message=f"option '{name}' is unknown") for name in ("bucket", "backup")]
    job = imports.add(make_job(JobState.COMPLETED, warnings=tuple(ignored)))
    told = infos(answer(services, "GetImportState", task=job.id))["warnings"]
    assert told == "option 'bucket' is unknown; option 'backup' is unknown"


def test_a_failed_job_has_its_reason_and_no_rows(services: Services, imports: MemoryImports) -> None:
    job = imports.add(make_job(JobState.FAILED, rows=7, progress=40, reason="row 3: no id"))
    shown = answer(services, "GetImportState", task=job.id)
    assert (shown.row_count, infos(shown)["failed_reason"]) == (0, "row 3: no id")


def test_tasks_are_listed_by_collection_and_limit(services: Services, imports: MemoryImports) -> None:
    for number, collection in enumerate(["docs", "books", "docs"], 1):
        imports.add(make_job(id=number, collection=collection))
    assert [task.id for task in answer(services, "ListImportTasks").tasks] == [3, 2, 1]
    assert [task.id for task in answer(services, "ListImportTasks", collection_name="docs", limit=1).tasks] == [3]
    everything, limited = imports.queries
    assert (everything.database, everything.collection, everything.page_size) == ("default", None, None)
    assert (limited.collection, limited.page_size) == ("docs", 1)
    answer(services, "ListImportTasks", limit=2**62)
    assert imports.queries[-1].page_size == 10_000


def test_what_is_missing_has_milvuss_number(services: Services, imports: MemoryImports) -> None:
    missing = answer(services, "GetImportState", task=77).status
    assert (missing.code, "import job does not exist, jobID=77" in missing.reason) == (2101, True)
    assert answer(services, "Import", collection_name="nope", files=["a.json"]).status.code == 100
    assert answer(services, "ListImportTasks", collection_name="nope").status.code == 100
    assert answer(services, "Import", collection_name="docs", partition_name="p9", files=["a"]).status.code == 200
