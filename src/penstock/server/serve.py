"""Run a server: lock the data dir, open the listening socket, serve until a signal stops it."""

from __future__ import annotations

import gc
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import structlog
import uvicorn

from penstock.catalog.db.dialects import parse_catalog_url
from penstock.errors import InvalidParameter
from penstock.machine import processors
from penstock.runners.memory import limit_malloc_arenas
from penstock.server.calls import Calls
from penstock.server.observability.logs import configure_logs
from penstock.server.port import BACKLOG, port_server
from penstock.server.process.data_dir import lock_catalog, lock_data_dir, private_umask, server_info_file
from penstock.server.process.hardening import forbid_dumps
from penstock.server.services import Services
from penstock.server.storage_settings import catalog_url
from penstock.settings import Settings

# Below the default, so that computing threads (a list of jobs, a search) yield sooner to the one that answers.
SWITCH_SECONDS = 0.001
# New objects before a collection of generation 0, collections of 0 before one of 1, of 1 before one of 2.
GARBAGE_THRESHOLDS = (20_000, 20, 20)

_log = structlog.get_logger("penstock.server")


def serve(
    settings: Settings,
    build_services: Callable[[Settings], Services],
    announce: Callable[[str], None] = print,
) -> None:
    """Serve until SIGTERM or SIGINT (or :meth:`Services.stop` by other means), then shut down gracefully.

    A first signal stops accepting, lets open calls finish and calls ``Services.stop``; a second SIGINT doesn't wait.
    ``announce`` is called with one line that has the address, once clients can connect.

    Raises:
        DataFolderInUse: another server has locked the data dir, or the SQLite catalog.
        InvalidParameter: the address is in use, or certificate or key is invalid.
    """
    if not settings.core_dumps:
        forbid_dumps()
    configure_logs(settings.log_format, settings.log_level)
    sys.setswitchinterval(SWITCH_SECONDS)
    # Forty threads of calls, jobs and the engine would have a malloc arena each, up to eight per processor.
    limit_malloc_arenas(max(2, processors()))
    shared = is_shared(settings)
    with (
        private_umask(),
        lock_data_dir(settings.data_dir, shared=shared),
        lock_catalog(parse_catalog_url(catalog_url(settings))),
        _listen(settings) as listener,
    ):
        host, port = listener.getsockname()[:2]
        url = f"{settings.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        services = build_services(settings)
        calls = Calls(services.authentication, threads=settings.request_threads, timeout=settings.request_timeout)
        try:
            note = (
                nullcontext() if settings.role == "worker" else server_info_file(settings.data_dir, url, host, port)
            )
            with port_server(services, calls) as server, _signals(server), note:
                services.start()
                _freeze_gc()
                announce(f"Penstock listens on {url}")
                _log.info(
                    "server.started",
                    url=url,
                    role=settings.role,
                    data_dir=str(settings.data_dir),
                    cluster_id=settings.cluster_id,
                )
                server.run(sockets=[listener])
        finally:
            calls.close()
            services.stop()
            _log.info("server.stopped", url=url)


def _freeze_gc() -> None:
    """Exclude the objects made at startup, which live to the end, from garbage collection.

    With its defaults the collector took a fifth of the processor's time under load, in pauses of up to 0.1 s. It
    isn't run before: of 180,000 objects it found a thousand, in a tenth of a second.
    """
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    gc.enable()


def is_shared(settings: Settings) -> bool:
    """Whether other processes may share the catalog and the data dir.

    Raises:
        InvalidParameter: no such catalog; or a process of one role can't share its catalog with one of the other.
    """
    shared = (
        settings.catalog_url is not None
        and parse_catalog_url(settings.catalog_url).get_backend_name() == "postgresql"
    )
    if settings.role != "all" and not shared:
        raise InvalidParameter(
            f"--role {settings.role} needs a catalog that several processes can share: --catalog-url postgresql://… "
            "With SQLite, one process does everything: omit --role"
        )
    return shared


def _listen(settings: Settings) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise InvalidParameter(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}. "
            "Set others with --host and --port; port 0 picks a free one",
        ) from error


@contextmanager
def _signals(server: uvicorn.Server) -> Iterator[None]:
    """Stop the server on SIGTERM and SIGINT. Only a main thread can handle them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
