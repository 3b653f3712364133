"""Methods that are not served: known to Milvus, each with the alternative that the REST call of the same has."""

from __future__ import annotations

from pathlib import Path

from penstock.server.http.routes import dialect_routes
from penstock.wire.milvus_grpc.stubs import METHODS, common_pb2
from penstock.wire.milvus_grpc.unserved import ALTERNATIVES, REST_CALLS
from penstock.wire.milvus_v2.dialect import PREFIX
from tests.support.grpc_methods import answer
from tests.support.http import make_services


def test_the_table_names_methods_and_calls_that_exist(tmp_path: Path) -> None:
    assert REST_CALLS.keys() | ALTERNATIVES.keys() <= METHODS.keys()
    with make_services(tmp_path) as services:
        paths = {route.path for route in dialect_routes(services)}
    assert {f"{PREFIX}/{call}" for call in REST_CALLS.values()} <= paths


def test_a_method_that_rest_does_not_serve_either_has_the_alternative_of_its_call(tmp_path: Path) -> None:
    with make_services(tmp_path) as services:
        status = answer(services, "CreateSnapshot")
    assert status.reason.endswith("; back up the server with penstock backup"), status.reason


def test_a_write_of_single_rows_names_the_import(tmp_path: Path) -> None:
    with make_services(tmp_path) as services:
        for method in ("Insert", "Upsert", "Delete"):
            status = answer(services, method, collection_name="docs").status
            assert (status.code, status.error_code) == (10, common_pb2.ErrorCode.Value("UnexpectedError"))
            assert status.reason.startswith(
                f"service unimplemented: {method} is not served by Penstock; rows come by import jobs: "
                "call utility.do_bulk_insert, or POST /v2/vectordb/jobs/import/create"
            )
