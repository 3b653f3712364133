"""The server's side of the Ray runner: submits tasks to a driver process, which is restarted when lost."""

from __future__ import annotations

import multiprocessing
import pickle  # nosec B403
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

import structlog

from penstock.errors import InvalidParameter, PenstockError, TaskCancelled, WorkerLost
from penstock.extras import require_extra
from penstock.runners.base import TaskContext, slots_of
from penstock.runners.memory import memory_exceeded
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

log = structlog.get_logger(__name__)

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:/\s]+):\d{1,5}")
CANCEL_GRACE = 30.0
_JOIN_SECONDS = 240.0
_CLOSE_SECONDS = 10.0


class RayRunner:
    """Runs tasks on the Ray cluster at ``address``; ``setup`` runs once in each of its workers.

    A task's function and argument are pickled here and unpickled in the worker, so neither Ray's names nor its logs
    contain them. When the cluster is unavailable, tasks end with ``WorkerLost`` and a later submit joins it again.

    Args:
        address: ``host:port`` of the cluster's head; None or ``"auto"`` for the cluster this machine belongs to.
        grace: seconds after which a cancelled task is killed.

    Raises:
        MissingExtra: Ray isn't installed.
        InvalidParameter: the address is malformed.
    """

    def __init__(
        self, address: str | None = None, setup: Callable[[], None] | None = None, *, grace: float = CANCEL_GRACE
    ) -> None:
        require_extra("ray", "ray", reason="--runner ray needs Ray", otherwise="use --runner local")
        if address not in (None, "auto") and not _ADDRESS.fullmatch(address or ""):
            raise InvalidParameter(
                f"--ray-address {address} is not valid: set HOST:PORT of the cluster's head (default port 6379), "
                "and make this machine a node of the cluster: "
                "ray start --address HOST:PORT --num-cpus 0"
            )
        self._address = address or "auto"
        self._setup = pickle.dumps(setup)
        self._grace = grace
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._link: _Link | None = None
        self._lost_tasks = 0
        self._closed = False

    @property
    def slots(self) -> int:
        """The cluster's current number of processors; 1 while it is unknown or 0."""
        link = self._link
        return max(1, link.slots) if link is not None else 1

    @property
    def slots_per_task(self) -> int:
        link = self._link
        return max(link.hosts) if link is not None and link.hosts else 1

    @property
    def restarts(self) -> int:
        """Number of tasks lost with their worker, host or cluster."""
        return self._lost_tasks

    @property
    def driver_pid(self) -> int | None:
        """The process id of the current driver."""
        link = self._link
        return None if link is None or link.broken else link.pid

    def warm(self) -> None:
        """Join the cluster now, and wait for it.

        Raises:
            InvalidParameter: it can't be reached, or runs other versions of Python, Ray or Penstock.
        """
        link = self._connect()
        link.joined.wait()
        if link.broken:
            raise InvalidParameter(f"--runner ray cannot use the Ray cluster at {self._address}: {link.reason}")

    def submit(self, function: Callable[[Any, TaskContext], Any], argument: Any) -> _Handle:
        work = pickle.dumps((function, argument))
        link = self._connect()
        # Never more than any host has, even if the largest has just left: Ray would wait for another one for ever.
        slots = min(slots_of(argument), self.slots_per_task)
        handle = _Handle(link, next(self._numbers))
        link.begin(handle, Submit(handle.number, getattr(function, "__name__", "task"), work, slots))
        return handle

    def close(self) -> None:
        with self._lock:
            self._closed = True
            link = self._link
        if link is not None:
            link.close()

    def _connect(self) -> _Link:
        with self._lock:
            if self._closed:
                raise TaskCancelled("the server is stopping")
            if self._link is None or self._link.broken:
                self._link = _Link(self._address, self._setup, self._grace, self._count_lost)
            return self._link

    def _count_lost(self) -> None:
        with self._lock:
            self._lost_tasks += 1


class _Handle:
    def __init__(self, link: _Link, number: int) -> None:
        self._link = link
        self.number = number
        self._future: Future[Any] = Future()
        self.last = (0, 0)

    @property
    def future(self) -> Future[Any]:
        return self._future

    def progress(self) -> tuple[int, int]:
        return self.last

    def cancel(self, grace: float | None = None) -> None:
        self._link.send(Cancel(self.number, grace))


class _Link:
    """One driver process, from its start to its end, and its tasks in flight."""

    def __init__(self, address: str, setup: bytes, grace: float, count_lost: Callable[[], None]) -> None:
        self._address = address
        self._count_lost = count_lost
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._handles: dict[int, _Handle] = {}
        self._closing = False
        self.hosts: Sequence[int] = ()
        self.refused: JoinRejected | None = None
        self.broken = False
        self.joined = threading.Event()
        """The driver has joined the cluster, or failed to."""
        context = multiprocessing.get_context("spawn")
        self._pipe, driver_end = context.Pipe()
        self._process = context.Process(
            target=_drive, args=(driver_end, address, setup, grace), name="penstock-ray", daemon=True
        )
        self._process.start()
        driver_end.close()
        threading.Thread(target=self._listen, name="ray", daemon=True).start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def begin(self, handle: _Handle, message: Submit) -> None:
        with self._lock:
            is_broken = self.broken
            if not is_broken:
                self._handles[handle.number] = handle
        if is_broken:
            self._lose([handle])
        else:
            self.send(message)

    def send(self, message: Submit | Cancel | Shutdown) -> None:
        with self._sending:
            try:
                self._pipe.send(message)
            except OSError:
                return  # the listener gets the same error, and fails all tasks

    def close(self) -> None:
        """Cancel the tasks, and leave the cluster, which kills those that don't stop."""
        self._closing = True
        with self._lock:
            handles = list(self._handles.values())
        for handle in handles:
            handle.cancel()
        wait([handle.future for handle in handles], timeout=_CLOSE_SECONDS)
        self.send(Shutdown())
        self._process.join(_CLOSE_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _listen(self) -> None:
        try:
            if not self._pipe.poll(_JOIN_SECONDS):
                self.refused = JoinRejected(f"no response within {_JOIN_SECONDS:.0f} s")
                self._process.kill()
            while True:
                self._receive(self._pipe.recv())
        except (EOFError, OSError):
            pass
        with self._lock:
            self.broken = True
            handles = list(self._handles.values())
            self._handles.clear()
        self._lose(handles)
        self.joined.set()
        if not self._closing:
            log.warning("ray.disconnected", address=self._address, tasks=len(handles), reason=self.reason)

    def _receive(self, message: Ready | JoinRejected | Slots | Progress | Ended) -> None:
        match message:
            case Ready():
                self.joined.set()
                log.info("ray.connected", address=self._address, slots=self.slots)
            case JoinRejected():
                self.refused = message
            case Slots():
                self.hosts = message.hosts
            case Progress():
                self._save_progress(message)
            case Ended():
                self._settle(message)

    def _save_progress(self, message: Progress) -> None:
        with self._lock:
            for number, done in message.tasks.items():
                if (handle := self._handles.get(number)) is not None:
                    handle.last = done

    def _settle(self, ended: Ended) -> None:
        with self._lock:
            handle = self._handles.pop(ended.number)
        match ended.fate:
            case TaskOutcome.CANCELLED:
                handle.future.set_exception(TaskCancelled("the task was cancelled"))
            case TaskOutcome.LOST:
                self._count_lost()
                handle.future.set_exception(_why_lost(ended))
            case TaskOutcome.RETURNED:
                _fulfil(handle.future, ended.outcome)

    def _lose(self, handles: Sequence[_Handle]) -> None:
        for handle in handles:
            error: PenstockError
            if self._closing:
                error = TaskCancelled("the server is stopping")
            else:
                self._count_lost()
                error = WorkerLost(f"the Ray cluster at {self._address} is unavailable: {self.reason}")
            handle.future.set_exception(error)

    @property
    def slots(self) -> int:
        return sum(self.hosts)

    @property
    def reason(self) -> str:
        """The reason why the link is broken."""
        return self.refused.reason if self.refused is not None else "the connection was closed"


def _why_lost(ended: Ended) -> PenstockError:
    if ended.excess:
        return memory_exceeded(ended.excess)
    return WorkerLost(f"a worker in the Ray cluster was lost while it worked on this task: {ended.reason}")


def _fulfil(future: Future[Any], outcome: bytes) -> None:
    try:
        is_success, value = pickle.loads(outcome)  # nosec B301
    except Exception as error:  # noqa: BLE001 - whatever unpickling raises, a caller waits for it
        is_success, value = False, error
    if is_success:
        future.set_result(value)
    else:
        future.set_exception(value)


def _drive(server: Connection, address: str, setup: bytes, grace: float) -> None:
    """Entry point of the driver process. Ray is imported only here, never in the server."""
    from penstock.runners.ray.driver import drive

    drive(server, address, setup, grace)
