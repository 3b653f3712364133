"""The relay at the level of bytes: which protocol a connection gets, limits, backpressure, ends.

Upstream is a plain server on the Unix socket in place of gRPC's, so that each byte can be looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from penstock.server.grpc.relay import HTTP2_PREFACE, FirstBytesProtocol, Relay, address_of_peer
from penstock.server.http.protocol import BoundedProtocol

MEGABYTE = 2**20
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Upstream = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Impatient(BoundedProtocol):
    head_seconds = 0.3
    idle_write_seconds = 0.3


class Few(BoundedProtocol):
    most_connections = 4


class Port:
    def __init__(self, port: int, state: ServerState, relay: Relay) -> None:
        self.port, self.state, self.relay = port, state, relay

    async def connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, *pieces: bytes) -> bytes:
        """Send pieces, one after the other, and return all that comes until the server closes."""
        reader, writer = await self.connect()
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        try:
            return await asyncio.wait_for(reader.read(), 5)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, and close after an exclamation mark."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
        if data.endswith(b"!"):
            break


@asynccontextmanager
async def listening(
    folder: Path, http: type[BoundedProtocol] = BoundedProtocol, upstream: Upstream | None = echo
) -> AsyncIterator[Port]:
    """A port with this protocol for HTTP, and an upstream in place of gRPC's server; None is none at all."""
    loop = asyncio.get_running_loop()
    relay, state = Relay(folder), ServerState()
    config = uvicorn.Config(PlainTextResponse("a page"), log_config=None)
    config.load()
    protocol = partial(
        FirstBytesProtocol, config=config, server_state=state, app_state={}, relay=relay, http=http, _loop=loop
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert upstream is not None
        try:
            await upstream(reader, writer)
        finally:
            writer.close()

    unix = await asyncio.start_unix_server(serve, relay.socket_path) if upstream else None
    server = await loop.create_server(protocol, "127.0.0.1", 0)
    try:
        yield Port(server.sockets[0].getsockname()[1], state, relay)
    finally:
        server.close()
        if unix is not None:
            unix.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_request_of_http_1_is_answered_on_a_connection_that_is_no_longer_looked_at(tmp_path: Path) -> None:
    async def run() -> None:
        async with listening(tmp_path) as port:
            answer = await port.ask(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", HTTP2_PREFACE)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert b"HTTP/1.1 400" in answer
            assert not port.relay.connections

    asyncio.run(run())


@pytest.mark.parametrize(
    "first",
    [
        [b"P", b"OST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"],
        [b"PR", b"OPFIND / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"],
    ],
)
def test_a_method_that_begins_as_the_preface_does_is_http_1(tmp_path: Path, first: list[bytes]) -> None:
    async def run() -> None:
        async with listening(tmp_path) as port:
            assert (await port.ask(*first)).startswith(b"HTTP/1.1 200 OK")

    asyncio.run(run())


def test_garbage_is_refused_as_http(tmp_path: Path) -> None:
    async def run() -> None:
        async with listening(tmp_path) as port:
            assert (await port.ask(b"\x16\x03\x01 what is this\r\n\r\n")).startswith(b"HTTP/1.1 400")
            assert (await port.ask(HTTP2_PREFACE[:20] + b"XX")).startswith(b"HTTP/1.1 400")

    asyncio.run(run())


@pytest.mark.parametrize("pieces", [[HTTP2_PREFACE + b"abc!"], [bytes([byte]) for byte in HTTP2_PREFACE] + [b"abc!"]])
def test_a_connection_with_the_preface_is_relayed_byte_by_byte(tmp_path: Path, pieces: list[bytes]) -> None:
    async def run() -> None:
        async with listening(tmp_path) as port:
            assert await port.ask(*pieces) == HTTP2_PREFACE + b"abc!"
            await until(lambda: not port.state.connections)
            assert not port.relay.connections

    asyncio.run(run())


@pytest.mark.parametrize("sent", [b"", b"P", HTTP2_PREFACE[:-1]])
def test_a_connection_that_does_not_say_what_it_is_is_closed(tmp_path: Path, sent: bytes) -> None:
    async def run() -> None:
        async with listening(tmp_path, Impatient) as port:
            assert await port.ask(sent) == b""
            assert not port.state.connections

    asyncio.run(run())


def test_gRPC_sees_the_clients_address(tmp_path: Path) -> None:  # noqa: N802 - its name
    peers: list[str] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername"))

    async def run() -> None:
        async with listening(tmp_path, upstream=note) as port:
            await port.ask(HTTP2_PREFACE)

    asyncio.run(run())
    assert address_of_peer(f"unix:{peers[0]}") == "127.0.0.1"
    assert [path.name for path in tmp_path.iterdir()] == ["grpc"]


@pytest.mark.parametrize("address", ["10.0.0.7", "::1", "fe80::a_b%eth_0", ""])
def test_any_address_comes_through_a_socket_name(tmp_path: Path, address: str) -> None:
    async def run() -> str:
        relay = Relay(tmp_path)
        async with await asyncio.start_unix_server(lambda _, writer: writer.close(), relay.socket_path):
            with relay.connect(address) as upstream:
                return str(upstream.getsockname())

    assert address_of_peer(f"unix:{asyncio.run(run())}") == address.replace("a_b", "a:b")


def test_a_client_that_sends_faster_than_gRPC_reads_is_held_back(tmp_path: Path) -> None:  # noqa: N802
    go_on = asyncio.Event()
    received = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await go_on.wait()
        while data := await reader.read(65536):
            received += len(data)

    async def run() -> None:
        async with listening(tmp_path, upstream=slow) as port:
            _, writer = await port.connect()
            writer.write(HTTP2_PREFACE)
            sent = len(HTTP2_PREFACE)
            with pytest.raises(TimeoutError):
                while True:
                    writer.write(bytes(MEGABYTE))
                    sent += MEGABYTE
                    await asyncio.wait_for(writer.drain(), 0.5)
            assert sent < 32 * MEGABYTE
            go_on.set()
            await writer.drain()
            writer.close()
            await until(lambda: received == sent)

    asyncio.run(run())


def test_a_slow_reader_is_held_back_and_cut_off_when_it_reads_nothing(tmp_path: Path) -> None:
    written = 0
    ended = asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        try:
            while written < 64 * MEGABYTE:
                writer.write(bytes(MEGABYTE))
                await writer.drain()
                written += MEGABYTE
        except ConnectionError:
            ended.set()

    async def run() -> None:
        async with listening(tmp_path, Impatient, pour) as port:
            reader, writer = await port.connect()
            writer.write(HTTP2_PREFACE)
            await asyncio.wait_for(ended.wait(), 5)
            assert written < 32 * MEGABYTE
            await until(lambda: not port.state.connections)
            writer.close()
            del reader

    asyncio.run(run())


def test_a_reader_gets_all_that_was_sent_before_the_end(tmp_path: Path) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(HTTP2_PREFACE))
        writer.write(bytes(8 * MEGABYTE))

    async def run() -> None:
        async with listening(tmp_path, upstream=pour) as port:
            assert len(await port.ask(HTTP2_PREFACE)) == 8 * MEGABYTE

    asyncio.run(run())


def test_gRPC_notices_a_client_that_is_gone(tmp_path: Path) -> None:  # noqa: N802
    gone = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()

    async def run() -> None:
        async with listening(tmp_path, upstream=wait) as port:
            _, writer = await port.connect()
            writer.write(HTTP2_PREFACE)
            await until(lambda: port.relay.extra_files == 2)
            writer.transport.abort()
            await asyncio.wait_for(gone.wait(), 5)
            await until(lambda: not port.state.connections)

    asyncio.run(run())


def test_a_relayed_connection_counts_as_the_three_files_it_takes(tmp_path: Path) -> None:
    async def run() -> None:
        async with listening(tmp_path, Few) as port:
            first = await port.connect()
            first[1].write(HTTP2_PREFACE + b"a")
            assert await first[0].readexactly(len(HTTP2_PREFACE) + 1)
            assert await port.ask(HTTP2_PREFACE) == b""  # one connection more is allowed, but not three files
            assert b"200 OK" in await port.ask(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            second = await port.connect()
            await until(lambda: len(port.state.connections) == 2)
            assert await port.ask(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n") == b""
            first[1].close()
            second[1].close()

    asyncio.run(run())


def test_without_gRPC_behind_it_a_connection_is_closed(tmp_path: Path) -> None:  # noqa: N802
    async def run() -> None:
        async with listening(tmp_path, upstream=None) as port:
            assert await port.ask(HTTP2_PREFACE) == b""
            assert not port.state.connections

    asyncio.run(run())
