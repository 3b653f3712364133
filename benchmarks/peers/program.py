"""Contenders whose client is a program in an environment of its own: ``benchmarks/peers/programs``."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from benchmarks.peers.base import (
    Outcome,
    Searches,
    SearchOutcome,
    SearchTask,
    Task,
    measure_step,
    partitions_of,
)
from benchmarks.peers.data import CACHE
from benchmarks.peers.programs.searching import CALLERS, WARM_UP
from benchmarks.peers.programs.steps import Order
from benchmarks.peers.vector_sets import PERCENTS
from benchmarks.processes import Usage
from tests.support.environments import environment_python

__all__ = ["Program", "RunningProgram", "installed_versions", "measure_searches", "python_of", "running_program"]

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "benchmarks" / "environments"
OWN = ""  # this project's own environment


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProgram:
    """A program that has said that it is ready."""

    process: subprocess.Popen[bytes]
    log: Path

    def run(self, step: str) -> int:
        """Have it do a step; the number of rows it counted. RuntimeError when it failed."""
        return int(self.ask(step)["rows"])

    def ask(self, step: str) -> Mapping[str, Any]:
        """Have it do a step; its answer. RuntimeError when it failed."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{step}\n".encode())
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Mapping[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended early:\n{self.log.read_text(errors='replace')[-4000:]}")
        told: Mapping[str, Any] = json.loads(line)
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A contender that one program is, with all its processes below it.

    Attributes:
        module: in ``benchmarks.peers.programs``.
        environment: the lock file in ``benchmarks/environments``; none for this project's own environment.
        packages: whose versions are noted.
        extra: for the program.
    """

    title: str
    does: str
    formats: frozenset[str]
    module: str
    packages: tuple[str, ...]
    environment: str = OWN
    indexes: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def versions(self) -> Mapping[str, str]:
        return installed_versions(self.environment, self.packages)

    def measure(self, task: Task) -> Outcome:
        with running_program(self.module, self.environment, task, self.extra) as program:
            pid = program.process.pid
            load = measure_step(lambda: program.run("load"), task.data.rows, pid)
            if not (task.index and self.indexes):
                return Outcome(load=load)
            return Outcome(load=load, index=measure_step(lambda: program.run("index"), task.data.rows, pid))

    def measure_searches(self, task: SearchTask) -> SearchOutcome:
        with running_program(self.module, self.environment, task, self.extra) as program:
            return measure_searches(program, task, program.process.pid)


def measure_searches(program: RunningProgram, task: SearchTask, *pids: int) -> SearchOutcome:
    """Load, index and search with a program; the processes ``pids`` and their children work."""
    rows = task.data.rows
    load = measure_step(lambda: program.run("load"), rows, *pids)
    index = measure_step(lambda: program.run("searchable"), rows, *pids)
    built = str(program.ask("built")["index"])
    searches = []
    for callers, percent in (
        *((callers, 100) for callers in CALLERS),
        *((1, part) for part in PERCENTS if part < 100),
    ):
        with Usage(*pids) as usage:
            answer = program.ask(f"search {callers} {percent}")
        quantiles = statistics.quantiles(answer["millis"], n=100, method="inclusive")
        searches.append(
            Searches(
                callers=callers,
                percent=percent,
                count=answer["rows"],
                per_second=answer["rows"] / answer["seconds"],
                p50_ms=quantiles[49],
                p99_ms=quantiles[98],
                cpu_ms=1000 * usage.cpu_seconds / (answer["rows"] + WARM_UP * callers),
                recall=task.data.recall(percent, answer["found"]),
            )
        )
    return SearchOutcome(load=load, index=index, built=built, searches=tuple(searches))


@contextmanager
def running_program(
    module: str, environment: str, task: Task | SearchTask, extra: Mapping[str, Any]
) -> Iterator[RunningProgram]:
    """Start a program and wait until it is ready; it ends with this context.

    Raises:
        RuntimeError: it failed; the message holds the end of what it printed.
    """
    work = task.folder / "work"
    work.mkdir()
    order = Order(
        data=task.data.path,
        warm=task.data.warm.path,
        format=task.data.format,
        rows=task.data.rows,
        dim=task.data.dim,
        folder=work,
        partitions=partitions_of(task.data.rows),
        extra=extra,
    )
    if isinstance(task, SearchTask):
        order = replace(
            order,
            queries=task.data.queries,
            percents=PERCENTS,
            metric=task.data.metric,
            index=task.index,
            seconds=task.seconds,
        )
    log = task.folder / f"{module}.log"
    # Leaving Popen's context closes the pipes.
    with log.open("wb") as errors, _start(module, environment, order, errors) as process:
        try:
            program = RunningProgram(process=process, log=log)
            program.answer()
            yield program
            assert process.stdin is not None
            process.stdin.close()
            if process.wait(60):
                raise RuntimeError(f"{module}: exit code {process.returncode}\n{log.read_text(errors='replace')}")
        finally:
            if process.poll() is None:
                _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With its children, such as the server that it had started."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait(60)


def _start(module: str, environment: str, order: Order, errors: BinaryIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(python_of(environment)), "-m", f"benchmarks.peers.programs.{module}", order.to_json()],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MILVUS_"))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
    )


@cache
def python_of(environment: str) -> Path:
    if environment == OWN:
        return Path(sys.executable)
    return environment_python(LOCKS / f"{environment}.txt", CACHE / "environments" / environment)


def installed_versions(environment: str, packages: tuple[str, ...]) -> Mapping[str, str]:
    program = "import sys, importlib.metadata as m; print(*(m.version(name) for name in sys.argv[1:]))"
    done = subprocess.run(
        [str(python_of(environment)), "-c", program, *packages], capture_output=True, text=True, check=True
    )
    return dict(zip(packages, done.stdout.split(), strict=True))
