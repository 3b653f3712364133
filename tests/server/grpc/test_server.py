"""gRPC calls to a real server, without a client library: limits, deadlines, errors, metrics, the end."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from prometheus_client import CollectorRegistry

from penstock.domain.deadline import DeadlineExceeded, check_deadline
from penstock.server.grpc.relay import HTTP2_PREFACE
from penstock.server.services import Services
from penstock.wire.milvus_grpc.stubs import SERVICE
from tests.support.grpc import call, credentials, grpc_port
from tests.support.http import make_services

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with make_services(tmp_path_factory.mktemp("grpc"), max_body_bytes=MEGABYTE) as services:
        yield services


@pytest.fixture(scope="module")
def address(services: Services) -> Iterator[str]:
    with grpc_port(services) as address:
        yield address


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        yield channel


def raw(channel: Any, path: str, message: bytes = b"", **options: Any) -> Any:
    return channel.unary_unary(path)(message, timeout=30, **options)


def refusal(error: pytest.ExceptionInfo[grpc.RpcError]) -> tuple[grpc.StatusCode, str]:
    """Status and text."""
    assert isinstance(error.value, grpc.Call)
    return error.value.code(), error.value.details() or ""


def test_http_and_grpc_are_answered_on_one_port(address: str, channel: grpc.Channel) -> None:
    assert httpx.get(f"http://{address}/healthz").json() == {"status": "ready"}
    assert call(channel, "ListDatabases").db_names == ["default"]
    assert httpx.post(f"http://{address}/v2/vectordb/databases/list", json={}).json()["data"] == ["default"]


def test_a_method_unknown_to_the_service_is_unimplemented(channel: grpc.Channel) -> None:
    for path in (f"/{SERVICE}/ClientHeartbeat", "/grpc.health.v1.Health/Check", "/v2/vectordb/databases/list"):
        with pytest.raises(grpc.RpcError) as error:
            raw(channel, path)
        assert refusal(error)[0] is grpc.StatusCode.UNIMPLEMENTED


def test_a_message_of_another_kind_is_an_invalid_argument(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as error:
        raw(channel, f"/{SERVICE}/DescribeCollection", b"\xff\xff\xff")
    assert refusal(error)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert "DescribeCollectionRequest" in refusal(error)[1]


def test_an_oversized_message_is_refused_and_the_next_one_answered(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as error:
        call(channel, "DescribeCollection", collection_name="x" * (MEGABYTE + 1))
    assert refusal(error)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"vs. {MEGABYTE}" in refusal(error)[1]
    assert call(channel, "DescribeCollection", collection_name="x" * (MEGABYTE // 2)).status.code == 100


def test_a_compressed_message_is_refused_before_it_becomes_large(channel: grpc.Channel) -> None:
    assert len(gzip.compress(bytes(8 * MEGABYTE))) < MEGABYTE
    with pytest.raises(grpc.RpcError) as error:
        raw(channel, f"/{SERVICE}/Connect", bytes(8 * MEGABYTE), compression=grpc.Compression.Gzip)
    assert refusal(error)[0] is grpc.StatusCode.UNIMPLEMENTED


def test_a_rest_client_that_speaks_http_2_gets_an_error_not_silence(address: str) -> None:
    host, port = address.split(":")
    settings = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
    # GET http://x/ in HPACK's table of common headers.
    headers = bytes([0, 0, 6, 1, 5, 0, 0, 0, 1]) + b"\x82\x86\x84\x01\x01x"
    with socket.create_connection((host, int(port)), 5) as client:
        client.sendall(HTTP2_PREFACE + settings + headers)
        received = b""
        while not any(kind in (1, 3, 7) and stream in (0, 1) for kind, stream in frames(received)):
            chunk = client.recv(65536)
            assert chunk, "closed without a word"
            received += chunk


def frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Type and stream of the complete HTTP/2 frames."""
    while len(data) >= 9 + (size := int.from_bytes(data[:3])) and len(data) >= 9:
        yield data[3], int.from_bytes(data[5:9])
        data = data[9 + size :]


def test_half_a_call_holds_nothing_beyond_its_time(tmp_path: Path) -> None:
    ended = threading.Event()

    def no_message() -> Iterator[bytes]:
        ended.wait(10)
        yield from ()

    with (
        make_services(tmp_path, request_timeout="300ms") as services,
        grpc_port(services) as address,
        grpc.insecure_channel(address) as channel,
    ):
        halves: Any = channel
        with pytest.raises(grpc.RpcError) as error:
            halves.stream_unary(f"/{SERVICE}/Connect")(no_message(), timeout=8)
        ended.set()
        assert refusal(error)[1] == "request timeout"


def test_a_calls_own_timeout_stops_its_work(services: Services) -> None:
    stopped = threading.Event()

    def problem() -> str | None:
        try:
            while True:
                check_deadline()
                time.sleep(0.01)
        except DeadlineExceeded:
            stopped.set()
            raise

    slow = replace(services, problem=problem, registry=CollectorRegistry())
    with grpc_port(slow) as address, grpc.insecure_channel(address) as channel:
        with pytest.raises(grpc.RpcError) as error:
            call(channel, "CheckHealth", timeout=0.3)
        assert refusal(error)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        assert stopped.wait(5)


def test_a_call_without_a_timeout_has_the_servers(tmp_path: Path) -> None:
    def problem() -> str | None:
        while True:
            check_deadline()
            time.sleep(0.01)

    with (
        make_services(tmp_path, problem, request_timeout="300ms") as services,
        grpc_port(services) as address,
        grpc.insecure_channel(address) as channel,
    ):
        with pytest.raises(grpc.RpcError) as error:
            call(channel, "CheckHealth", timeout=None)
        assert refusal(error)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        assert refusal(error)[1] == "request timeout"


def test_an_unexpected_error_tells_the_request_id_only(services: Services) -> None:
    def problem() -> str | None:
        raise RuntimeError("secret detail")

    broken = replace(services, problem=problem, registry=CollectorRegistry())
    with grpc_port(broken) as address, grpc.insecure_channel(address) as channel:
        status = call(channel, "CheckHealth").status
    assert status.code == 65535
    assert "request id" in status.reason
    assert "secret" not in str(status)


def test_a_stopping_server_finishes_the_calls_it_has(services: Services) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def problem() -> str | None:
        begun.set()
        go_on.wait(10)
        return None

    slow = replace(services, problem=problem, registry=CollectorRegistry())
    with ThreadPoolExecutor(1) as pool:
        with grpc_port(slow) as address:
            channel = grpc.insecure_channel(address)
            answer = pool.submit(call, channel, "CheckHealth")
            assert begun.wait(5)
            threading.Timer(0.5, go_on.set).start()
        assert answer.result().isHealthy
        with pytest.raises(grpc.RpcError) as error:
            call(channel, "GetVersion", timeout=5)
        assert refusal(error)[0] is grpc.StatusCode.UNAVAILABLE
        channel.close()


def test_an_idle_client_does_not_delay_the_end(services: Services) -> None:
    idle = replace(services, registry=CollectorRegistry())
    with grpc_port(idle) as address:
        channel = grpc.insecure_channel(address)
        call(channel, "GetVersion")
        started = time.monotonic()
    assert time.monotonic() - started < 5  # of shutdown_grace, 20 s
    channel.close()


def test_calls_are_counted(address: str, channel: grpc.Channel) -> None:
    call(channel, "HasCollection", collection_name="nope")
    call(channel, "GetCollectionStatistics", collection_name="nope")
    page = httpx.get(f"http://{address}/metrics").text
    assert 'penstock_grpc_requests_total{code="0",method="HasCollection",status="OK"} 1.0' in page
    assert 'penstock_grpc_requests_total{code="100",method="GetCollectionStatistics",status="OK"} 1.0' in page
    assert 'penstock_grpc_request_duration_seconds_count{method="HasCollection"} 1.0' in page
    assert "penstock_grpc_connections 1.0" in page
    assert "penstock_grpc_requests_in_flight 0.0" in page


def test_methods_that_are_not_served_say_so_in_their_responses(channel: grpc.Channel) -> None:
    status = call(channel, "Insert", collection_name="docs").status
    assert (status.code, status.error_code) == (10, 1)
    assert status.reason.startswith(
        "service unimplemented: Insert is not served by Penstock; rows come by import jobs"
    )


def test_wrong_credentials_are_a_grpc_status(tmp_path: Path) -> None:
    with (
        make_services(tmp_path, auth="on") as services,
        grpc_port(services) as address,
        grpc.insecure_channel(address) as channel,
    ):
        for secret in ("", "nobody:nothing at all", "psk_" + "a" * 43):
            with pytest.raises(grpc.RpcError) as error:
                call(channel, "Connect", secret=secret)
            assert refusal(error)[0] is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError) as error:
            raw(channel, f"/{SERVICE}/Connect", bytes(3 * MEGABYTE), metadata=credentials("nobody:nothing at all"))
        assert refusal(error)[0] is grpc.StatusCode.UNAUTHENTICATED
