"""What the shared port costs a gRPC call: calls through it beside calls to the same server on a port of its own.

    python -m benchmarks.grpc_port
    python -m benchmarks.grpc_port --pairs 20 --calls 2000 --method ListDatabases

One server process answers on both ports, with the same methods, threads and event loop; only the relay differs. A
pair is so many calls by one caller on each, one after the other, the order changing from pair to pair; the medians
of all calls are compared. ``--callers`` measures calls a second with several callers as well.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc
import uvloop
from prometheus_client import CollectorRegistry

from benchmarks.machine import describe_machine
from penstock.server.assembly import build_services
from penstock.server.calls import Calls
from penstock.server.grpc.methods import grpc_methods
from penstock.server.grpc.server import GrpcServer
from penstock.server.observability.grpc_metrics import GrpcMetrics
from penstock.server.observability.logs import configure_logs
from penstock.server.port import port_server
from tests.support.grpc import call
from tests.support.http import make_settings

TARGET_MILLIS = 0.4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--calls", type=int, default=1000, help="per port and pair")
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--method", default="GetVersion")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        uvloop.run(serve(options.serve))
        return
    print(describe_machine())
    with serving() as addresses:
        compare(addresses, options.method, pairs=options.pairs, calls=options.calls, callers=options.callers)


def compare(addresses: tuple[str, str], method: str, *, pairs: int, calls: int, callers: int) -> None:
    """Print the medians of both ports and their difference."""
    millis: dict[str, list[float]] = {address: [] for address in addresses}
    rates: dict[str, list[float]] = {address: [] for address in addresses}
    channels = {address: grpc.insecure_channel(address) for address in addresses}
    for address in addresses:
        times(channels[address], method, 200)  # warm-up
    for pair in range(pairs):
        for address in addresses if pair % 2 else reversed(addresses):
            millis[address] += times(channels[address], method, calls)
            rates[address].append(rate(channels[address], method, calls, callers))
    for channel in channels.values():
        channel.close()
    for name, address in zip(("own port", "shared port"), addresses, strict=True):
        ordered = sorted(millis[address])
        print(
            f"{name:12} median {statistics.median(ordered):.3f} ms, p99 {ordered[len(ordered) * 99 // 100]:.3f} ms, "
            f"{callers} callers {statistics.median(rates[address]):,.0f} calls/s"
        )
    own, shared = (statistics.median(millis[address]) for address in addresses)
    print(f"{method} costs {shared - own:+.3f} ms on the shared port; the aim is {TARGET_MILLIS} ms at most")


def times(channel: grpc.Channel, method: str, calls: int) -> list[float]:
    """Milliseconds of each of so many calls, one after the other."""
    measured = []
    for _ in range(calls):
        started = time.perf_counter()
        call(channel, method)
        measured.append((time.perf_counter() - started) * 1000)
    return measured


def rate(channel: grpc.Channel, method: str, calls: int, callers: int) -> float:
    """Calls a second with several callers on one connection."""

    def work(_: int) -> None:
        for _call in range(calls // callers):
            call(channel, method)

    started = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(work, range(callers)))
    return calls // callers * callers / (time.perf_counter() - started)


@contextmanager
def serving() -> Iterator[tuple[str, str]]:
    """A server process in an empty folder; gRPC's own port and the shared one."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.grpc_port", "--serve", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                own, shared = process.stdout.readline().split()
                yield own, shared
            finally:
                process.terminate()


async def serve(folder: Path) -> None:
    """Serve on both ports and print them; until the process is terminated."""
    configure_logs("json", "warning")
    services = build_services(make_settings(folder))
    settings = services.settings
    calls = Calls(services.authentication, threads=settings.request_threads, timeout=settings.request_timeout)
    with socket.create_server(("127.0.0.1", 0)) as free:
        own = f"127.0.0.1:{free.getsockname()[1]}"
    alone = GrpcServer(
        grpc_methods(services),
        calls,
        services.authentication,
        address=own,
        metrics=GrpcMetrics(CollectorRegistry(), lambda: 0),
        trace=services.trace_grpc,
        max_message_bytes=settings.max_body_bytes,
    )
    with port_server(services, calls) as server, socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, partial(setattr, server, "should_exit", True))
        await alone.start()
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        print(own, f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
        await running
        await alone.stop(0)
    calls.close()
    services.stop()


if __name__ == "__main__":
    main()
