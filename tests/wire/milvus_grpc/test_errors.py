"""Errors as pymilvus reads them: number, old number, text, whether another attempt may help."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import errors
from penstock.domain.deadline import DeadlineExceeded
from penstock.errors import PenstockError
from penstock.wire.decoding import MalformedBody
from penstock.wire.milvus.errors import MILVUS, Refused
from penstock.wire.milvus_grpc.errors import GRPC, failure_reply, status_of, success_reply
from penstock.wire.milvus_grpc.stubs import METHODS, common_pb2, message_types, milvus_pb2

NAMES = {"database": "default", "collection": "docs"}


@pytest.mark.parametrize(
    ("error", "code", "old_code", "reason"),
    [
        (
            errors.CollectionNotFound("gone", **NAMES),
            100,
            4,
            "collection not found[database=default][collection=docs]",
        ),
        (errors.PartitionNotFound("gone", partition="p"), 200, 15, "partition not found[partition=p]"),
        (errors.IndexNotFound("gone", index="i"), 700, 25, "index not found[indexName=i]"),
        (errors.DatabaseNotFound("gone", database="d"), 800, 1, "database not found[database=d]"),
        (errors.InvalidParameter("limit is 0"), 1100, 5, "limit is 0: invalid parameter"),
        (
            errors.CollectionNotLoaded("collection not loaded[collection=7]"),
            101,
            1,
            "collection not loaded[collection=7]",
        ),
        (errors.StorageUnavailable("the store is away"), 65535, 1, "the store is away"),
        (Refused(802, "bad: invalid database name[database=1]"), 802, 1, "bad: invalid database name[database=1]"),
    ],
)
def test_an_error_has_milvuss_numbers_and_text(error: PenstockError, code: int, old_code: int, reason: str) -> None:
    status = status_of(error)
    assert (status.code, status.error_code, status.reason) == (code, old_code, reason)


def test_a_quota_is_no_rate_limit_on_which_clients_try_again() -> None:
    status = status_of(errors.QuotaExceeded("5 jobs are enough", seconds=3))
    assert (status.code, status.error_code) == (9, common_pb2.ErrorCode.Value("ForceDeny"))
    assert {status_of(kind("x")).code for kind in GRPC if kind is not Refused}.isdisjoint({8, *range(1800, 1900)})


def test_only_transient_errors_may_be_tried_again() -> None:
    assert status_of(errors.StorageUnavailable("away")).retriable
    assert not status_of(errors.StorageFull("full")).retriable
    assert status_of(errors.InvalidFilter("a >")).extra_info["is_input_error"] == "true"


def test_every_error_of_rest_has_a_row() -> None:
    assert GRPC.keys() == MILVUS.keys()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Unauthenticated("no key"), "UNAUTHENTICATED"),
        (errors.TooManyAttempts("later", seconds=9), "UNAUTHENTICATED"),
        (errors.PermissionDenied("no"), "PERMISSION_DENIED"),
        (MalformedBody("no message"), "INVALID_ARGUMENT"),
        (DeadlineExceeded(), "DEADLINE_EXCEEDED"),
    ],
)
def test_some_errors_are_grpc_statuses(error: Exception, status: str) -> None:
    reply = failure_reply(milvus_pb2.ConnectResponse, error, "r1")
    assert (reply.status, reply.content) == (status, b"")
    assert reply.details


def test_an_unexpected_error_reveals_the_request_id_only() -> None:
    reply = failure_reply(milvus_pb2.ConnectResponse, RuntimeError("secret"), "r1")
    status = milvus_pb2.ConnectResponse.FromString(reply.content).status
    assert status.code == reply.code == 65535
    assert status.reason == "internal error; the server's log has the details under request id r1"


def test_the_status_stands_where_each_response_has_it() -> None:
    error = errors.InvalidParameter("no")
    for name in METHODS.keys() - {"Dummy", "GetReplicateInfo", "CreateReplicateStream", "DumpMessages"}:
        _, response = message_types(name)
        assert first_status(response.FromString(failure_reply(response, error, "").content)).code == 1100
        assert first_status(response.FromString(success_reply(response()).content)).code == 0


def first_status(response: Any) -> Any:
    if isinstance(response, common_pb2.Status):
        return response
    return next(value for _, value in response.ListFields() if isinstance(value, common_pb2.Status))
