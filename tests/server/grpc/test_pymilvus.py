"""MilvusClient, as its users have it, against a running server: plain and with TLS."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from pymilvus import MilvusClient, MilvusException
from pymilvus.client.types import LoadState

from tests.support.certificates import self_signed
from tests.support.servers import RunningServer, running_server


@pytest.fixture(scope="module")
def docs(server: RunningServer) -> RunningServer:
    with server.client() as client:
        client.collections.create("docs", dimension=2)
    return server


@contextmanager
def connected(url: str, **options: Any) -> Iterator[MilvusClient]:
    client = MilvusClient(url, timeout=20, **options)
    try:
        yield client
    finally:
        client.close()


def test_a_client_connects_looks_around_and_changes_things(docs: RunningServer) -> None:
    with connected(docs.url) as client:
        assert client.get_server_version() == "v2.6.0"
        assert client.has_collection("docs")
        assert not client.has_collection("nope")
        description = client.describe_collection("docs")
        assert [field["name"] for field in description["fields"]] == ["id", "vector"]
        assert description["enable_dynamic_field"]
        client.create_database("sales", properties={"timezone": "UTC"})
        assert sorted(client.list_databases()) == ["default", "sales"]
        assert client.describe_database("sales") == {"name": "sales", "timezone": "UTC"}
        client.use_database("sales")
        assert client.list_collections() == []
        client.use_database("default")
        client.drop_database("sales")
        assert client.list_databases() == ["default"]
        assert client.get_load_state("nope") == {"state": LoadState.NotExist}


def test_a_missing_collection_and_a_bad_name_are_told_as_milvus_tells_them(docs: RunningServer) -> None:
    with connected(docs.url) as client:
        with pytest.raises(MilvusException) as error:
            client.describe_collection("nope")
        assert (error.value.code, error.value.compatible_code) == (100, 4)
        assert error.value.message == "can't find collection[database=default][collection=nope]"
        with pytest.raises(MilvusException) as error:
            client.load_collection("nope")
        assert error.value.message == "collection not found[database=default][collection=nope]"
        with pytest.raises(MilvusException) as error:
            client.create_database("1st")
        assert error.value.code == 802


def test_the_log_has_a_line_per_call_without_secrets(tmp_path: Path) -> None:
    with running_server(tmp_path, "--log-format", "json", forked=True) as server:
        with connected(server.url, token="root:a secret thing") as client:
            client.list_collections()
        log = server.log.read_text()
    line = next(line for line in log.splitlines() if '"method":"ShowCollections"' in line)
    assert re.search(r'"status":"OK","code":0,"ms":[0-9.]+,"request_id":"[0-9a-f]+","event":"grpc.request"', line)
    assert "secret" not in log


def test_no_grpc_leaves_http_only(tmp_path: Path) -> None:
    with running_server(tmp_path, "--no-grpc", forked=True) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with grpc.insecure_channel(f"{host}:{port}") as channel, pytest.raises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(2)
        with server.client() as client:
            assert not client.collections.list()


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_with_tls_both_protocols_share_the_port(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with running_server(tmp_path, "--tls-cert", str(certificate), "--tls-key", str(key), forked=True) as server:
        with connected(server.url, secure=True, server_pem_path=str(certificate)) as client:
            assert client.list_collections() == []
        host, port = server.url.removeprefix("https://").split(":")
        for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), (["h2"], "h2")):
            context = ssl.create_default_context(cafile=str(certificate))
            context.set_alpn_protocols(offered)
            with (
                socket.create_connection((host, int(port)), 5) as plain,
                context.wrap_socket(plain, server_hostname=host) as secure,
            ):
                assert secure.selected_alpn_protocol() == chosen
        trusting = ssl.create_default_context(cafile=str(certificate))
        browser = http.client.HTTPSConnection(host, int(port), timeout=5, context=trusting)
        browser.request("GET", "/healthz")
        assert browser.getresponse().status == 200
        browser.close()
