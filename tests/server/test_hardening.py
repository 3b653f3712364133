"""What a caller may send, and how slowly, before anybody knows who it is; and what answers give away."""

from __future__ import annotations

import logging
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from penstock.access.accounts import AccountService
from penstock.access.authentication import Authenticator
from penstock.catalog import Catalog
from penstock.catalog.access.clusters import DEFAULT_ORG
from penstock.domain.access import Grant, Role
from penstock.server.http.endpoint import OPEN_BODY_BYTES
from penstock.server.http.protocol import MAX_HEAD_BYTES, MAX_HEADERS, BoundedProtocol
from penstock.server.services import Services
from tests.support.catalogs import opened_catalog
from tests.support.examples import examples
from tests.support.http import http_server, make_services
from tests.support.wire import V1, V2

READER = Grant(role=Role.READER)
SECOND = 0.3


class Impatient(BoundedProtocol):
    """As the server's own, with less patience, so that the test needs none."""

    head_seconds = idle_write_seconds = SECOND


@dataclass
class Door:
    """A server that asks for keys, and one key."""

    url: str
    key: str = ""

    @property
    def known(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def get(self, path: str, *, known: bool = False) -> httpx.Response:
        return httpx.get(self.url + path, headers=self.known if known else {})

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        url = httpx.URL(self.url)
        with socket.create_connection((url.host, url.port or 0), timeout=60) as connection:
            yield connection

    def said(self, sent: bytes) -> bytes:
        """All that the server says to these bytes until it closes."""
        with self.connection() as connection:
            connection.sendall(sent)
            return rest(connection)


def rest(connection: socket.socket) -> bytes:
    """Everything up to the end, be it a close or a reset."""
    read = bytearray()
    try:
        while chunk := connection.recv(65536):
            read += chunk
    except ConnectionResetError:
        pass
    return bytes(read)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    with opened_catalog(tmp_path_factory.mktemp("catalog")) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, catalog: Catalog) -> Iterator[Services]:
    with make_services(tmp_path_factory.mktemp("data")) as services:
        yield replace(services, authentication=Authenticator(catalog.accounts), clusters=catalog.clusters)


@pytest.fixture(scope="module")
def door(services: Services, catalog: Catalog) -> Iterator[Door]:
    key = AccountService(catalog).create_key(DEFAULT_ORG, "reader", [READER]).secret
    with http_server(services, Impatient) as url:
        yield Door(url, key)


class Keeping(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(scope="module")
def faults() -> Iterator[list[logging.LogRecord]]:
    """What is logged as an error: exceptions that nobody caught."""
    handler = Keeping(logging.ERROR)
    logging.getLogger().addHandler(handler)
    yield handler.records
    logging.getLogger().removeHandler(handler)


def head(*lines: str, path: str = f"{V2}/list") -> bytes:
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: penstock", *lines, "", "")).encode()


def test_a_large_body_is_not_read_of_nobody(door: Door) -> None:
    """Not a byte was sent of it, and the answer is there."""
    large = f"Content-Length: {OPEN_BODY_BYTES + 1}"
    for path, code in ((f"{V2}/list", b'"code":1800'), (V1, b'"code":80001')):
        answer = door.said(head(large, path=path))
        assert code in answer
        assert b"connection: close" in answer
    assert door.said(head(large, f"Authorization: Bearer {door.key[:-1]}x")).startswith(b"HTTP/1.1 401")
    assert door.said(head(f"Content-Length: {10**30}")).startswith(b"HTTP/1.1")


def test_a_large_body_without_a_length_is_not_read_of_nobody(door: Door) -> None:
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    with door.connection() as connection:
        connection.sendall(head("Transfer-Encoding: chunked"))
        for _ in range(OPEN_BODY_BYTES // 0x8000):
            connection.sendall(chunk)
        connection.sendall(b"1\r\n \r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")


def test_a_large_body_of_a_known_caller_is_read(door: Door) -> None:
    body = b"{" + b" " * (2 * OPEN_BODY_BYTES) + b"}"
    for content in (body, iter([body])):
        assert httpx.post(door.url + f"{V2}/list", content=content, headers=door.known).json()["code"] == 0
    too_large = httpx.post(door.url + f"{V2}/list", content=body * 3, headers=door.known)
    assert too_large.json()["code"] == 1801


def test_a_small_body_of_nobody_is_read_for_what_it_says(door: Door) -> None:
    """It tells which profile the refusal has to speak."""
    told = httpx.post(f"{door.url}{V2}/list", json={"clusterId": "in01-local", "x": "y" * 10_000})
    assert (told.status_code, told.json()["code"]) == (200, 21119)


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"PO", b"POST / HTTP/1.1\r\nHost: penstock\r\nX-Slow: "])
def test_who_never_ends_a_head_is_cut_off(door: Door, sent: bytes) -> None:
    answer = door.said(sent)
    assert answer.startswith(b"HTTP/1.1 408 ") == bool(sent)


def test_a_byte_now_and_then_does_not_keep_a_connection(door: Door) -> None:
    """Slowloris: also after a first call that was answered, and with what is no head at all."""
    call = b"GET /healthz HTTP/1.1\r\nHost: penstock\r\n\r\n"
    for first, dribble in ((b"GET /", b"x"), (call + b"GET /", b"x"), (call, b"\r\n")):
        with door.connection() as connection:
            connection.sendall(first)
            if first.startswith(call):
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            connection.settimeout(SECOND / 5)
            answer, sent = None, 0
            while answer is None:
                try:
                    answer = connection.recv(65536)
                except TimeoutError:
                    connection.sendall(dribble)
                    sent += 1
                except ConnectionError:
                    answer = b""
            assert sent > 1
            assert answer.startswith(b"HTTP/1.1 408") or not answer


def test_a_slow_body_is_not_waited_for(tmp_path: Path) -> None:
    """However long the call says that it may take."""
    with make_services(tmp_path, request_timeout=SECOND) as services, http_server(services) as url:
        answer = Door(url).said(head("Content-Length: 10", "Request-Timeout: 3600") + b"{")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer


def test_who_does_not_take_an_answer_is_cut_off(door: Door) -> None:
    """Here a megabyte and a half of script, again and again."""
    with door.connection() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ask = b"GET /assets/0/swagger-ui/swagger-ui-bundle.js HTTP/1.1\r\nHost: penstock\r\n\r\n"
        connection.sendall(ask * 20)
        with pytest.raises(ConnectionError):
            while True:
                connection.sendall(b"\r\n")
                time.sleep(SECOND / 5)


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Long: " + "x" * MAX_HEAD_BYTES],
        [f"X-{number}: x" for number in range(MAX_HEADERS + 1)],
    ],
)
def test_heads_have_a_largest_size(door: Door, lines: list[str]) -> None:
    assert door.said(head(*lines)).startswith(b"HTTP/1.1 431 ")


def test_a_head_without_an_end_is_not_gathered(door: Door) -> None:
    with door.connection() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: penstock\r\nX: ")
        try:
            for _ in range(1000):
                connection.sendall(b"x" * 65536)
        except ConnectionError:
            return
        assert rest(connection).startswith(b"HTTP/1.1 431")


CHUNKED = head("Transfer-Encoding: chunked", path="/v2/vectordb/nothing")


@pytest.mark.parametrize(
    "sent",
    [
        CHUNKED,
        CHUNKED + b"1\r\n{\r\n",
        CHUNKED + b"0\r\nX-Trailer: x",
        head("Content-Length: 100", path="/nothing") + b"{",
    ],
)
def test_the_rest_of_a_body_that_nobody_reads_is_not_waited_for(door: Door, sent: bytes) -> None:
    """Else a byte a minute would keep the connection for days after its answer."""
    with door.connection() as connection:
        connection.settimeout(20)  # connections without a call are kept for longer
        connection.sendall(sent)
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("endless", [b"x" * 65536, b"X: y\r\n" * 10_000, b"1;" + b"x" * 65536 + b"\r\nx\r\n"])
def test_what_surrounds_the_bytes_of_a_body_is_not_gathered(door: Door, endless: bytes) -> None:
    """Of a body that is waited for: a trailer, or trailers, or extensions of chunks, without an end."""
    first = b"" if endless.startswith(b"1") else b"0\r\nX-Trailer: "
    with door.connection() as connection:
        connection.sendall(head("Transfer-Encoding: chunked") + first)
        with suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(endless)
        assert rest(connection) == b"", "cut off at once, not after the time for a body"


def test_trailers_are_no_headers(door: Door) -> None:
    body = b"2\r\n{}\r\n0\r\nAuthorization: Bearer " + door.key.encode() + b"\r\n\r\n"
    assert door.said(head("Transfer-Encoding: chunked", "Connection: close") + body).startswith(b"HTTP/1.1 401")


def test_a_body_may_come_in_small_chunks(door: Door) -> None:
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in b"{" + b" " * 20_000 + b"}") + b"0\r\n\r\n"
    known = f"Authorization: Bearer {door.key}"
    assert b'"code":0' in door.said(head("Transfer-Encoding: chunked", "Connection: close", known) + body)


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 2", "Content-Length: 3"],
        ["Content-Length: 2", "Content-Length: 2"],
        ["Content-Length: 2", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 2"],
        ["Transfer-Encoding: identity", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding : chunked"],
        ["Content-Length: +2"],
        ["Content-Length: 0x2"],
        ["Content-Length: -2"],
        ["Host: other"],
        ["Authorization: Bearer a", "Authorization: Bearer b"],
        [" folded: x"],
        ["X: a\x00b"],
    ],
)
def test_what_two_servers_could_read_in_two_ways_is_refused(door: Door, lines: list[str]) -> None:
    """Request smuggling: a proxy before this one must see the same request."""
    said = door.said(head(*lines) + b"{}" + head("Content-Length: 2") + b"{}")
    assert said.startswith(b"HTTP/1.1 400")
    assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",  # no host
        b"GET /healthz HTTP/1.1\nHost: a\n\n" + b"\n" * 4,
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(door: Door, sent: bytes) -> None:
    assert door.said(sent).startswith(b"HTTP/1.1 400")


WHOLE = head("Content-Length: 2", "Connection: close", path="/v2/vectordb/nothing") + b"{}"
PIECES = (
    *(b"POST ", b"GET ", b"/healthz", b"* ", b" HTTP/1.1", b"\r\n", b"\n", b"\r\n\r\n", b"Host: a", b":", b"\x00"),
    *(b"Content-Length: 5", b"Transfer-Encoding: chunked", b"5\r\nhello\r\n", b"0\r\n\r\n", b"ffffffffff\r\n"),
    *(b"Expect: 100-continue", b"Connection: upgrade", b"Upgrade: websocket", b"Connection: close", WHOLE),
)


@given(cuts=st.lists(st.integers(1, len(WHOLE) - 1), max_size=8).map(sorted))
@settings(max_examples=examples(10, 25), deadline=None)
def test_a_request_is_the_same_however_it_is_cut(door: Door, cuts: list[int]) -> None:
    ends = [0, *cuts, len(WHOLE)]
    with door.connection() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in pairwise(ends):
            connection.sendall(WHOLE[start:end])
        assert rest(connection).startswith(b"HTTP/1.1 404")


@given(parts=st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=12))
@settings(max_examples=examples(15, 40), deadline=None)
def test_whatever_is_sent_the_connection_ends_and_the_server_goes_on(
    door: Door, faults: list[logging.LogRecord], parts: list[bytes]
) -> None:
    with door.connection() as connection:
        connection.settimeout(20)
        connection.sendall(b"".join(parts))
        connection.shutdown(socket.SHUT_WR)
        rest(connection)
    assert door.get("/healthz").status_code == 200
    assert faults == []


def test_connections_are_numbered(services: Services) -> None:
    class Small(BoundedProtocol):
        most_connections = 2

    with http_server(replace(services, registry=CollectorRegistry()), Small) as url:
        door = Door(url)
        with door.connection() as one, door.connection() as two:
            for each in (one, two):
                each.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                assert each.recv(65536).startswith(b"HTTP/1.1 200")
            with door.connection() as three:
                assert rest(three) == b""
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert one.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods_are_not_there(door: Door, method: str) -> None:
    """404 as Milvus has it, not 405: the same for every path that is not served."""
    assert httpx.request(method, door.url + f"{V2}/create", headers=door.known).status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/assets/x/../../pyproject.toml", "/assets/x/..%2f..%2f..%2fetc/passwd", "/assets/x/%2e%2e/x", "/%00"],
)
def test_static_files_end_at_their_folder(door: Door, path: str) -> None:
    said = door.said(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/docs", "/openapi.json", "/nothing", f"{V1}/list"])
def test_answers_tell_browsers_what_they_are_and_nobody_what_serves_them(door: Door, path: str) -> None:
    for known in (True, False):
        headers = door.get(path, known=known).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == ("same-origin" if path == "/" else "no-referrer")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "strict-transport-security" not in headers
        assert not {"server", "x-powered-by", "via", "access-control-allow-origin"} & headers.keys()


def test_nothing_tells_a_version(door: Door) -> None:
    assert door.get("/openapi.json").json()["info"]["version"] == "v1 and v2", "of the API"
    for path in ("/nothing", "/healthz", "/docs", "/metrics"):
        for known in (True, False):
            text = door.get(path, known=known).text
            assert not re.search(r"penstock[/ =]?\"?\d|uvicorn|starlette|python", text, re.IGNORECASE), text


def test_the_docs_page_runs_its_own_scripts_only(door: Door) -> None:
    page = door.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert re.findall("<script(?! src=)", page.text) == []


def test_metrics_are_for_who_may_read_the_servers_own_cluster(door: Door, catalog: Catalog) -> None:
    assert door.get("/metrics", known=True).status_code == 200
    assert door.get("/metrics").status_code == 401
    tenant = AccountService(catalog).create_key(catalog.orgs.ensure("acme").id, "theirs", [Grant(role=Role.ADMIN)])
    theirs = httpx.get(f"{door.url}/metrics", headers={"authorization": tenant.secret})
    assert theirs.status_code == 403
    assert "penstock_" not in theirs.text


def test_why_a_server_is_not_ready_is_not_told_to_everybody(services: Services) -> None:
    away = replace(services, problem=lambda: "the catalog on db.internal is away", registry=CollectorRegistry())
    with http_server(away) as url:
        reply = httpx.get(f"{url}/healthz")
    assert (reply.status_code, reply.json()) == (503, {"status": "unavailable"})


def test_who_leaves_without_his_answers_leaves_no_traceback(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    request = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
    with make_services(tmp_path / "data") as services, http_server(services) as url:
        for number in range(20):
            with Door(url).connection() as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                connection.sendall(request * 20)
                connection.recv(100)
                if number % 2:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST
        for _ in range(3):
            assert httpx.get(f"{url}/healthz").status_code == 200
            time.sleep(0.1)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
