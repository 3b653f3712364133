"""A Penstock server that records what each stage of its jobs takes; started by :mod:`benchmarks.job_profile`.

Its workers run this module, too, as the main module of their parent. Each process appends a line of JSON per stage to
a file of its own in the folder that the variable BENCHMARK_PROFILE names.

A stage's processor time and page faults are those of the threads that run it. Lance encodes and writes in threads of
its own: "encode, write" is what the process used beside the other stages. So stages add up to the process.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

__all__ = ["FOLDER", "Usage", "process_usage"]

FOLDER = "BENCHMARK_PROFILE"
_TICKS = os.sysconf("SC_CLK_TCK")
_BLOCK_DELAY = 41
"""Field of /proc/PID/stat: ticks of waiting for block devices; 0 unless kernel.task_delayacct is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Seconds by the clock, of user and system time; minor page faults; bytes written; seconds for which runnable
    threads had no processor, and for which they waited for block devices."""

    wall: float = 0.0
    user: float = 0.0
    system: float = 0.0
    faults: int = 0
    written: int = 0
    queued: float = 0.0
    disk: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})

    def __sub__(self, other: Usage) -> Usage:
        return Usage(**{each.name: getattr(self, each.name) - getattr(other, each.name) for each in fields(self)})


def process_usage(pid: int | str = "self") -> Usage:
    """What a process has used since it began, without its children. ``wall`` is the clock."""
    folder = Path(f"/proc/{pid}")
    stat = (folder / "stat").read_text().rpartition(")")[2].split()
    io = dict(line.split(": ") for line in (folder / "io").read_text().splitlines())
    queued = 0
    for schedstat in folder.glob("task/*/schedstat"):
        try:
            queued += int(schedstat.read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):  # the thread has ended
            continue
    return Usage(
        wall=time.monotonic(),
        user=int(stat[11]) / _TICKS,
        system=int(stat[12]) / _TICKS,
        faults=int(stat[7]),
        written=int(io["wchar"]),
        queued=queued / 1e9,
        disk=int(stat[_BLOCK_DELAY - 2]) / _TICKS,
    )


class _Recorder:
    """Measures stages, which may be nested: a stage does not include those within it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = threading.local()
        self._sums: dict[str, Usage] = {}
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        stack = self._stack()
        start, inner = _thread_usage(), Usage()
        stack.append(inner)
        try:
            yield
        finally:
            total = _thread_usage() - start
            own = total - stack.pop()
            if stack:
                stack[-1] += total
            with self._lock:
                self._sums[name] = self._sums.get(name, Usage()) + own

    def _stack(self) -> list[Usage]:
        if not hasattr(self._open, "stack"):
            self._open.stack = []
        stack: list[Usage] = self._open.stack
        return stack

    @contextmanager
    def task(self, name: str, rest: str) -> Iterator[None]:
        """A task of a worker: what the process used beside its stages is that of the stage ``rest``."""
        self._sums.clear()
        start = process_usage()
        begun = time.monotonic()
        try:
            yield
        finally:
            total = process_usage() - start
            stages = dict(self._sums)
            other = total - sum(stages.values(), Usage())
            stages[rest] = stages.get(rest, Usage()) + other
            self.write({"task": name, "start": begun, "end": time.monotonic(), "stages": stages, "total": total})

    def write(self, record: dict[str, Any]) -> None:
        line = json.dumps({"pid": os.getpid(), **record}, default=asdict)
        with (self._folder / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(line + "\n")


def _thread_usage() -> Usage:
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return Usage(wall=time.monotonic(), user=used.ru_utime, system=used.ru_stime, faults=used.ru_minflt)


def _task(recorder: _Recorder, function: Callable[..., Any], name: str, rest: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def task(*arguments: Any) -> Any:
        with recorder.task(name, rest):
            return function(*arguments)

    return task


def _staged(recorder: _Recorder, function: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def stage(*arguments: Any, **named: Any) -> Any:
        with recorder.stage(name):
            return function(*arguments, **named)

    return stage


def _pulled(recorder: _Recorder, function: Callable[..., Iterator[Any]], name: str) -> Callable[..., Iterator[Any]]:
    """Measure the steps of a generator, and not what its consumer does between them."""

    @functools.wraps(function)
    def pull(*arguments: Any, **named: Any) -> Iterator[Any]:
        items = function(*arguments, **named)
        while True:
            with recorder.stage(name):
                item = next(items, None)
            if item is None:
                return
            yield item

    return pull


def _install(folder: Path) -> None:
    """Before anything has imported the functions by name."""
    recorder = _Recorder(folder)
    from penstock.engines.lance.layout.files import LocalFiles
    from penstock.imports import good_rows, tasks
    from penstock.readers.formats import FORMATS

    for reader in {type(spec.reader) for spec in FORMATS}:
        reader.read = _pulled(recorder, reader.read, "read, decode")  # type: ignore[method-assign]
    good_rows.BatchConformer.batches = _pulled(recorder, good_rows.BatchConformer.batches, "validate")  # type: ignore[method-assign]
    LocalFiles.sync = _staged(recorder, LocalFiles.sync, "fsync")  # type: ignore[method-assign]
    tasks.plan_files = _task(recorder, tasks.plan_files, "plan files", "plan")
    tasks.scan_range = _task(recorder, tasks.scan_range, "boundary scan", "plan")
    tasks.stage_split = _task(recorder, tasks.stage_split, "split", "encode, write")
    from penstock.imports.executor import JobRun

    for name, method in (("plan", "_make_plan"), ("stage", "_stage"), ("publish", "_commit"), ("index", "_index")):
        setattr(JobRun, method, _task(recorder, getattr(JobRun, method), name, name))


if folder_name := os.environ.get(FOLDER):
    _install(Path(folder_name))

if __name__ == "__main__":
    from penstock_import import main

    main()
