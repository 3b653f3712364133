"""The process that drives the Ray cluster on behalf of a server. It ends when the server does.

Its main thread handles the server's messages and cancelled tasks; results are sent from Ray's own threads; one more
thread polls the cluster's size, since that call blocks while the head is unavailable.
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

_TICK = 0.1
_PROGRESS_SECONDS = 0.5
_SLOTS_SECONDS = 2.0
_CONNECT_SECONDS = 5.0
_LEAVE_SECONDS = 10.0
"""Time for leaving the cluster after the server has ended."""
_COMPARE_SECONDS = 60.0
"""A new worker process takes seconds; hosts that aren't compared by then are compared by each task."""


def drive(server: Connection, address: str, setup: bytes, grace: float) -> None:
    """Join the cluster at ``address`` and serve messages until the server closes the pipe.

    A cancelled task that still runs after ``grace`` seconds is killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the server decides
    # Ray's calls block while the head is unavailable, and the pipe isn't read meanwhile.
    die_with_parent(_LEAVE_SECONDS)
    outbox = _Outbox(server)
    try:
        _join(address)
        difference = _compare(versions())
    except Exception as error:  # noqa: BLE001 - the server reports it
        outbox.send(JoinRejected(_sentence(error)))
        return
    if difference is not None:
        outbox.send(JoinRejected(difference))
        return
    outbox.send(Slots(_slots()))
    outbox.send(Ready())
    threading.Thread(target=_poll_slots, args=(outbox,), daemon=True).start()
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
    """Sends messages to the server, from any thread; ignores a closed pipe."""

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
    # Without these, Ray sends usage statistics, and warns of changes in its next version.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address != "auto":
        _probe_head(address)
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)


def _probe_head(address: str) -> None:
    """Raises OSError at once where Ray would retry for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()


def _compare(needed: Mapping[str, str]) -> str | None:
    """Compare the versions on all hosts; return the first difference, or None."""
    hosts = {worker["NodeID"]: worker["NodeManagerHostname"] for worker in _workers()}
    probe = ray.remote(num_cpus=0, max_retries=0)(versions)
    probes = {
        probe.options(
            name="versions", scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        ).remote(): host
        for node, host in hosts.items()
    }
    replies, _ = ray.wait(list(probes), num_returns=len(probes), timeout=_COMPARE_SECONDS) if probes else ([], [])
    for ref in replies:
        try:
            installed = ray.get(ref)
        except RayError as error:
            if "No module named" in str(error) or "failed to import" in str(error):
                return f"the host {probes[ref]} cannot run tasks: {_last_line(error)}. It needs {describe(needed)}"
            continue  # the host is gone; tasks run on others
        if installed != needed:
            return f"the host {probes[ref]} has {describe(installed)}, but this server has {describe(needed)}"
    return None


def _workers() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]


def _slots() -> list[int]:
    """The processors of each host."""
    return sorted(int(worker["Resources"]["CPU"]) for worker in _workers())


def _poll_slots(outbox: _Outbox) -> None:
    last: list[int] | None = None
    while True:
        with suppress(RayError):  # the head is unavailable; this process ends if that lasts
            hosts = _slots()
            if hosts != last:
                last = hosts
                outbox.send(Slots(hosts))
        time.sleep(_SLOTS_SECONDS)


@dataclass(slots=True)
class _Stopping:
    """A cancelled task: the board's reply whether it has started, and when it is killed."""

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
        # On the driver's host, so that the loss of another host doesn't lose the board.
        board: Any = ray.remote(num_cpus=0, max_restarts=-1)(Board)
        self._board = board.options(scheduling_strategy=here).remote()
        # The server decides on retries.
        self._run = ray.remote(num_cpus=1, max_retries=0)(run_task)
        self._tasks: dict[int, Any] = {}
        self._stopping: dict[int, _Stopping] = {}
        self._cancelled: set[int] = set()
        self._ended: list[int] = []
        self._pending_progress: Any = None
        self._last_progress = 0.0
        self.stranded = False
        """This process's node is gone."""
        self._lock = threading.Lock()

    def receive(self, message: Submit | Cancel) -> None:
        if isinstance(message, Submit):
            self._submit(message)
        elif message.number in self._tasks and message.number not in self._cancelled:
            self._cancelled.add(message.number)
            has_started = self._board.stop.remote(message.number)
            grace = self._grace if message.grace is None else message.grace
            self._stopping[message.number] = _Stopping(has_started, time.monotonic() + grace)

    def tick(self) -> None:
        """Kill cancelled tasks that are overdue, and send progress."""
        for number in list(self._stopping):
            self._force_stop(number)
        now = time.monotonic()
        if self._tasks and now - self._last_progress >= _PROGRESS_SECONDS:
            self._last_progress = now
            self._send_progress()

    def _submit(self, message: Submit) -> None:
        task = self._run.options(name=message.name, num_cpus=message.slots).remote(
            self._needed, self._setup, message.work, self._board, message.number
        )
        self._tasks[message.number] = task
        task.future().add_done_callback(lambda future: self._end(message.number, future))

    def _force_stop(self, number: int) -> None:
        """Cancel a task that has not started; kill one that didn't stop in time."""
        task, stopping = self._tasks.get(number), self._stopping[number]
        if task is None:
            self._stopping.pop(number, None)
        elif stopping.begun is not None and ray.wait([stopping.begun], timeout=0)[0]:
            has_started, stopping.begun = _value(stopping.begun, otherwise=True), None
            if not has_started:
                ray.cancel(task)
        elif time.monotonic() > stopping.deadline:
            self._stopping.pop(number, None)
            ray.cancel(task, force=True)

    def _send_progress(self) -> None:
        if self._pending_progress is not None:
            if not ray.wait([self._pending_progress], timeout=0)[0]:
                return
            self._outbox.send(Progress(_value(self._pending_progress, otherwise={})))
        with self._lock:
            ended, self._ended = self._ended, []
        self._pending_progress = self._board.progress.remote(ended)

    def _end(self, number: int, future: Any) -> None:
        """Report the end of a task; called in one of Ray's threads."""
        try:
            message = Ended(number, TaskOutcome.RETURNED, outcome=future.result())
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
        """Query whether a lost task's worker ended for its memory; asynchronous, as this thread gets the reply."""

        def on_reply(future: Any) -> None:
            try:
                excess = int(future.result())
            except Exception:  # noqa: BLE001 - a lost board reports nothing either
                excess = 0
            self._finish(Ended(number, TaskOutcome.LOST, reason=_reason(error), excess=excess))

        self._board.excess.remote(number).future().add_done_callback(on_reply)

    def _finish(self, message: Ended) -> None:
        number = message.number
        self._tasks.pop(number, None)
        with self._lock:
            self._ended.append(number)
        self._cancelled.discard(number)
        self._outbox.send(message)


def _value(ref: Any, otherwise: Any) -> Any:
    """The board's reply; ``otherwise`` while the board is being restarted."""
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
