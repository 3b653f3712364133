"""The process that is a driver of the Ray cluster on behalf of a server. It ends when the server does.

Its main thread serves the server's messages and looks after tasks that shall stop; results go back from Ray's own
threads as they come; one more thread follows the cluster's size, since asking for it waits while the head is away.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import ray
from ray.exceptions import LocalRayletDiedError, OutOfMemoryError, RayError, TaskCancelledError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from penstock.runners.parent_death import die_with_parent
from penstock.runners.ray.messages import (
    Cancel,
    Ended,
    JoinRejected,
    Progress,
    Ready,
    Shutdown,
    Slots,
    Submit,
    TaskOutcome,
)
from penstock.runners.ray.worker import Board, describe, run_task, versions

__all__ = ["drive"]

_TICK = 0.1
_PROGRESS_SECONDS = 0.5
_SLOTS_SECONDS = 2.0
_KNOCK_SECONDS = 5.0
_LEAVE_SECONDS = 10.0
"""How long leaving the cluster may take after the server has ended."""
_COMPARE_SECONDS = 60.0
"""A new worker process takes seconds; what isn't compared by then is compared by each task."""


def drive(server: Connection, address: str, setup: bytes, grace: float) -> None:
    """Join the cluster at ``address`` and serve messages until the server closes the pipe.

    A task that was told to stop and still runs after ``grace`` seconds is ended by force.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server decides
    # Ray's calls wait for a head that is away, and meanwhile nobody looks at the pipe.
    die_with_parent(_LEAVE_SECONDS)
    outbox = _Outbox(server)
    try:
        _join(address)
        differing = _compare(versions())
    except Exception as error:  # noqa: BLE001 - it is the server's to tell
        outbox.send(JoinRejected(_sentence(error)))
        return
    if differing is not None:
        outbox.send(JoinRejected(differing))
        return
    outbox.send(Slots(_slots()))
    outbox.send(Ready())
    threading.Thread(target=_follow_slots, args=(outbox,), daemon=True).start()
    driver = _Driver(outbox, setup, grace)
    _serve(server, driver)
    if driver.stranded:
        # Ray never finds another node for a driver; the server starts a new one.
        outbox.send(JoinRejected("the Ray node of this machine died"))
        os._exit(1)
    ray.shutdown()


def _serve(server: Connection, driver: _Driver) -> None:
    while not driver.stranded:
        if server.poll(_TICK):
            try:
                message = server.recv()
            except (EOFError, OSError):
                return
            if isinstance(message, Shutdown):
                return
            driver.receive(message)
        driver.tick()


class _Outbox:
    """Messages to the server, from any thread; a server that is gone needs none."""

    def __init__(self, server: Connection) -> None:
        self._server = server
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        with self._lock:
            try:
                self._server.send(message)
            except OSError:
                return


def _join(address: str) -> None:
    # Without these, Ray tells its makers of each cluster, and warns of what its next version changes.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address != "auto":
        _probe_head(address)
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)


def _probe_head(address: str) -> None:
    """Raises OSError at once where Ray would go on trying for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()


def _compare(needed: Mapping[str, str]) -> str | None:
    """What some host of the cluster has installed that won't do; None where all agree."""
    hosts = {worker["NodeID"]: worker["NodeManagerHostname"] for worker in _workers()}
    probe = ray.remote(num_cpus=0, max_retries=0)(versions)
    asked = {
        probe.options(
            name="versions", scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        ).remote(): host
        for node, host in hosts.items()
    }
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_COMPARE_SECONDS) if asked else ([], [])
    for ref in answered:
        try:
            found = ray.get(ref)
        except RayError as error:
            if "No module named" in str(error) or "failed to import" in str(error):
                return f"the host {asked[ref]} can't run tasks: {_last_line(error)}. It needs {describe(needed)}"
            continue  # the host went away; tasks find others
        if found != needed:
            return f"the host {asked[ref]} has {describe(found)}, and this server {describe(needed)}"
    return None


def _workers() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]


def _slots() -> int:
    return sum(int(worker["Resources"]["CPU"]) for worker in _workers())


def _follow_slots(outbox: _Outbox) -> None:
    known = -1
    while True:
        with suppress(RayError):  # the head is away; this process ends if it stays so
            found = _slots()
            if found != known:
                known = found
                outbox.send(Slots(known))
        time.sleep(_SLOTS_SECONDS)


@dataclass(slots=True)
class _Stopping:
    """A task that was told to stop: the board's answer whether it has begun, and when it is ended by force."""

    begun: Any
    deadline: float


class _Driver:
    """The tasks in flight."""

    def __init__(self, outbox: _Outbox, setup: bytes, grace: float) -> None:
        self._outbox = outbox
        self._setup = setup
        self._grace = grace
        self._needed = versions()
        here = NodeAffinitySchedulingStrategy(node_id=ray.get_runtime_context().get_node_id(), soft=False)
        # Beside the driver: a host that is lost takes no board with it.
        board: Any = ray.remote(num_cpus=0, max_restarts=-1)(Board)
        self._board = board.options(scheduling_strategy=here).remote()
        # Whether and how often a task is done again is the server's to count.
        self._run = ray.remote(num_cpus=1, max_retries=0)(run_task)
        self._tasks: dict[int, Any] = {}
        self._stopping: dict[int, _Stopping] = {}
        self._cancelled: set[int] = set()
        self._ended: list[int] = []
        self._asked: Any = None
        self._told = 0.0
        self.stranded = False
        """The node that this process belongs to is gone."""
        self._lock = threading.Lock()

    def receive(self, message: Submit | Cancel) -> None:
        if isinstance(message, Submit):
            self._submit(message)
        elif message.number in self._tasks and message.number not in self._cancelled:
            self._cancelled.add(message.number)
            begun = self._board.stop.remote(message.number)
            grace = self._grace if message.grace is None else message.grace
            self._stopping[message.number] = _Stopping(begun, time.monotonic() + grace)

    def tick(self) -> None:
        """Do what is due."""
        for number in list(self._stopping):
            self._force_stop(number)
        now = time.monotonic()
        if self._tasks and now - self._told >= _PROGRESS_SECONDS:
            self._told = now
            self._tell_progress()

    def _submit(self, message: Submit) -> None:
        task = self._run.options(name=message.name).remote(
            self._needed, self._setup, message.work, self._board, message.number
        )
        self._tasks[message.number] = task
        task.future().add_done_callback(lambda done: self._end(message.number, done))

    def _force_stop(self, number: int) -> None:
        """Cancel a task that has not begun; end one that was asked in vain."""
        task, stopping = self._tasks.get(number), self._stopping[number]
        if task is None:
            self._stopping.pop(number, None)
        elif stopping.begun is not None and ray.wait([stopping.begun], timeout=0)[0]:
            begun, stopping.begun = _value(stopping.begun, otherwise=True), None
            if not begun:
                ray.cancel(task)
        elif time.monotonic() > stopping.deadline:
            self._stopping.pop(number, None)
            ray.cancel(task, force=True)

    def _tell_progress(self) -> None:
        if self._asked is not None:
            if not ray.wait([self._asked], timeout=0)[0]:
                return
            self._outbox.send(Progress(_value(self._asked, otherwise={})))
        with self._lock:
            ended, self._ended = self._ended, []
        self._asked = self._board.progress.remote(ended)

    def _end(self, number: int, done: Any) -> None:
        """In a thread of Ray's."""
        try:
            message = Ended(number, TaskOutcome.RETURNED, outcome=done.result())
        except TaskCancelledError:
            message = Ended(number, TaskOutcome.CANCELLED)
        except Exception as error:  # noqa: BLE001 - the function's own errors are results; this is Ray's trouble
            self.stranded = self.stranded or isinstance(error, LocalRayletDiedError)
            if number not in self._cancelled:
                self._query_cause(number, error)
                return
            message = Ended(number, TaskOutcome.CANCELLED)
        self._finish(message)

    def _query_cause(self, number: int, error: Exception) -> None:
        """Whether a lost task's worker ended for its memory. Not waited for: this thread brings the answer, too."""

        def answered(done: Any) -> None:
            try:
                excess = int(done.result())
            except Exception:  # noqa: BLE001 - a board that is lost as well doesn't tell
                excess = 0
            self._finish(Ended(number, TaskOutcome.LOST, reason=_reason(error), excess=excess))

        self._board.excess.remote(number).future().add_done_callback(answered)

    def _finish(self, message: Ended) -> None:
        number = message.number
        self._tasks.pop(number, None)
        with self._lock:
            self._ended.append(number)
        self._cancelled.discard(number)
        self._outbox.send(message)


def _value(ref: Any, otherwise: Any) -> Any:
    """The board's answer; while the board is started again there is none."""
    try:
        return ray.get(ref)
    except RayError:
        return otherwise


def _reason(error: Exception) -> str:
    if isinstance(error, OutOfMemoryError):
        return "its host ran out of memory"
    return f"{type(error).__name__}: {_last_line(error) if isinstance(error, ray.exceptions.RayTaskError) else error}"


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
