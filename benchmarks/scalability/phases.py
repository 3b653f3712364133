"""What is measured at each size: each phase begins in an empty folder, and returns its figures by name."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import lance
import numpy as np
import psutil
import pyarrow as pa
import requests

from benchmarks.files import write_blocks
from benchmarks.imports import schema_of
from benchmarks.job_list import KEY, WAITING, fill
from benchmarks.nearest import Nearest
from benchmarks.peers.base import Step, measure_step
from benchmarks.peers.vector_sets import Floats
from benchmarks.processes import ProcessorTime, Usage
from benchmarks.scalability.rows import RowFiles, Rows
from penstock import Client, ImportJob
from penstock.catalog import open_catalog
from penstock.domain.arrow_schema import canonical_schema
from penstock.domain.ids import new_id
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.lance import LanceEngine
from penstock.engines.values import Table
from tests.support.catalogs import CLUSTER
from tests.support.servers import RunningServer, running_server
from tests.support.tables import fixed_lists, new_table

__all__ = ["PHASES", "Phase", "Task", "measure_parts"]

QUERIES, NEAREST = 200, 10
CALLS, WARM_CALLS = 200, 50
TURNS, TURN_ROWS = 3, 1_000_000
"""Imports and index builds of small sizes are repeated, in as many turns as give so many rows; the median counts."""
WARM_ROWS = 1_000
JOB_ROWS, ROUND_ROWS = 5_000, 100_000
"""Rows of a small job (2.6 MB), and of those that are waited for together."""
PARTS = 1_000
ROWS_PER_JOB, COLLECTIONS, PAGE = 100, 100, 100
"""Of the lists: a finished job in the history for so many rows, collections, and jobs on a page."""

_MAINTENANCE_SECONDS = 24 * 3600.0
_LARGE_BYTES = 1 << 30

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Task:
    """``count`` of the ``rows``, their files, and an empty folder for the phase; ``tell`` shows its progress.

    The files are deleted once they are imported unless ``keep_files``: the phase needs the room.
    """

    rows: Rows
    count: int
    files: RowFiles
    keep_files: bool
    folder: Path
    tell: Callable[[str], None]

    @property
    def bytes(self) -> int:
        return self.count * self.rows.dim * 4


Phase = Callable[[Task], Figures]


def measure_table(task: Task) -> Figures:
    """Import the rows by one job, build an index, then search and count."""
    paths = task.files.make(task.count)
    task.tell(f"{len(paths)} files are there")
    turns = max(1, min(TURNS, TURN_ROWS // task.count))
    with (
        running_server(task.folder, "--import-root", str(task.files.folder), workers=None) as server,
        server.client(timeout=600) as client,
    ):
        _warm_up(server, client, task)
        steps: list[tuple[Step, Step, Step]] = []
        for turn in range(turns):
            name = f"rows_{turn}"
            _create(client, name, task.rows.dim)
            imported = measure_step(partial(_import, client, name, paths), task.count, server.process.pid)
            task.tell(f"imported in {_described(imported)}")
            if turn == turns - 1 and not task.keep_files:
                task.files.delete()
            steps.append((imported, *_maintain_and_index(server, client, name, task)))
            if turn < turns - 1:
                client.collections.drop(name)
        return _figures_of(steps) | _searches(server, client, name, task)


def _maintain_and_index(server: RunningServer, client: Client, name: str, task: Task) -> tuple[Step, Step]:
    def maintain() -> int:
        server.wait_until_maintained(_MAINTENANCE_SECONDS)
        if task.bytes > _LARGE_BYTES:
            # Compaction may have written all of it again, and an index build keeps the old files from expiring.
            while _bytes_below(server.data_dir / "collections") > 1.5 * task.bytes:
                time.sleep(1)
        return client.count(name)

    def index() -> int:
        client.indexes.create(name, "vector", metric="L2")
        _poll_until(lambda: client.indexes.describe(name, "vector").pending_rows == 0)
        return client.count(name)

    maintained = measure_step(maintain, task.count, server.process.pid)
    task.tell(f"maintained in {_described(maintained)}")
    indexed = measure_step(index, task.count, server.process.pid)
    task.tell(f"indexed in {_described(indexed)}")
    server.wait_until_maintained(_MAINTENANCE_SECONDS)
    return maintained, indexed


def _bytes_below(folder: Path) -> int:
    """The size of all files, some of which may be deleted meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _described(step: Step) -> str:
    return f"{step.seconds:.1f} s, {step.cpu_seconds:.1f} s of processor time"


def _figures_of(turns: Sequence[tuple[Step, Step, Step]]) -> Figures:
    figures: Figures = {"turns": len(turns)}
    for name, steps in zip(("import", "maintenance", "index"), zip(*turns, strict=True), strict=True):
        figures |= {
            f"{name}_s": statistics.median(step.seconds for step in steps),
            f"{name}_cpu_s": statistics.median(step.cpu_seconds for step in steps),
            f"{name}_peak_mib": max(step.peak_bytes for step in steps) / 2**20,
        }
    return figures


def _searches(server: RunningServer, client: Client, name: str, task: Task) -> Figures:
    queries = task.rows.queries(QUERIES + WARM_CALLS)
    nearest = Nearest(queries[:QUERIES], NEAREST)
    for first, block in task.rows.blocks(0, task.count):
        nearest.add(block, first)
    task.tell(f"the nearest rows of {QUERIES} queries are known")
    schema = client.collections.describe(name)
    answers: dict[int, list[object]] = {}

    def search(number: int) -> None:
        [hits] = client.search(name, [queries[number]], limit=NEAREST, schema=schema)
        answers[number] = [hit.id for hit in hits]

    warm = range(QUERIES, QUERIES + WARM_CALLS)
    figures = _calls("search", server, search, range(QUERIES), warm)
    recall = np.mean([nearest.recall(number, answers[number]) for number in range(QUERIES)])
    return (
        figures
        | _calls("count", server, lambda _: client.count(name), range(CALLS), range(WARM_CALLS))
        | {"recall": float(recall)}
    )


def _calls(
    name: str, server: RunningServer, call: Callable[[int], object], numbers: Sequence[int], warm: Sequence[int]
) -> Figures:
    """Make calls one after the other: their median, and the server's processor time for each."""
    for number in warm:
        call(number)
    processor, took = ProcessorTime([psutil.Process(server.process.pid)]), []
    for number in numbers:
        began = time.perf_counter()
        call(number)
        took.append(time.perf_counter() - began)
    return {
        f"{name}_p50_ms": statistics.median(took) * 1e3,
        f"{name}_cpu_ms": processor.seconds() / len(numbers) * 1e3,
    }


def measure_small_jobs(task: Task) -> Figures:
    """Import the same rows by many small jobs, and wait until compaction is done."""
    with running_server(task.folder, workers=None) as server, server.client(timeout=600) as client:
        _warm_up(server, client, task)
        tables = server.data_dir / "collections"
        others = set(tables.glob("*.lance"))
        _create(client, "small", task.rows.dim)
        seconds = 0.0

        def import_all() -> int:
            nonlocal seconds
            for first in range(0, task.count, ROUND_ROWS):
                paths = _small_files(server.import_root, task.rows, first, min(task.count, first + ROUND_ROWS))
                began = time.perf_counter()
                jobs = [client.imports.create("small", [path]) for path in paths]
                _poll_until(partial(_is_finished, client, jobs[-1]))
                for job in jobs:
                    client.imports.wait(job)  # raises if it failed
                seconds += time.perf_counter() - began
                for path in paths:
                    path.unlink()
                if first % (10 * ROUND_ROWS) == 0:
                    task.tell(f"{first + ROUND_ROWS:,} rows imported by small jobs")
            server.wait_until_maintained(_MAINTENANCE_SECONDS)
            return client.count("small")

        step = measure_step(import_all, task.count, server.process.pid)
        [table] = set(tables.glob("*.lance")) - others
        return {
            "cpu_s": step.cpu_seconds,
            "import_s": seconds,
            "peak_mib": step.peak_bytes / 2**20,
            "jobs": -(-task.count // JOB_ROWS),
            "fragments": len(lance.dataset(str(table)).get_fragments()),
        }


def _small_files(folder: Path, rows: Rows, start: int, stop: int) -> list[Path]:
    paths = []
    for first in range(start, stop, JOB_ROWS):
        path = folder / f"{first}.parquet"
        blocks = rows.blocks(first, min(stop, first + JOB_ROWS))
        write_blocks(path, (block for _, block in blocks), first)
        paths.append(path)
    return paths


def measure_parts(task: Task) -> Figures:
    """Open a table of :data:`PARTS` fragments, and compact it; by the engine, since a server compacts at once."""
    vector = Field(name="vector", type=DataType.FLOAT_VECTOR, dim=task.rows.dim)
    schema = CollectionSchema(fields=(Field(name="id", type=DataType.INT64, primary=True), vector))
    engine, job, parts = LanceEngine(str(task.folder)), new_id(), min(PARTS, task.count)
    table = new_table(engine, schema)
    bounds = [task.count * part // parts for part in range(parts + 1)]
    staged = [
        engine.stage(table, job, (_batch(table, *block) for block in task.rows.blocks(start, stop)))
        for start, stop in pairwise(bounds)
    ]
    table = replace(table, version=engine.publish(table, job, 1, staged).version)
    task.tell(f"{parts:,} parts are there")
    opened = [_open(task.folder, table, task.count) for _ in range(5)]
    began, processor = time.perf_counter(), time.process_time()
    version = engine.compact(table)
    figures = {"compaction_s": time.perf_counter() - began, "compaction_cpu_s": time.process_time() - processor}
    assert engine.count(replace(table, version=version)) == task.count
    return figures | {
        "parts": parts,
        "open_ms": statistics.median(wall for wall, _ in opened) * 1e3,
        "open_cpu_ms": statistics.median(cpu for _, cpu in opened) * 1e3,
    }


def _batch(table: Table, first: int, vectors: Floats) -> pa.RecordBatch:
    ids = np.arange(first, first + len(vectors))
    columns = [pa.array(ids), fixed_lists(vectors), pa.array(np.zeros(len(vectors), np.int64))]
    return pa.RecordBatch.from_arrays(columns, schema=canonical_schema(table.schema))


def _open(folder: Path, table: Table, count: int) -> tuple[float, float]:
    """Wall and processor seconds of opening a table, and counting its rows."""
    began, processor = time.perf_counter(), time.process_time()
    assert LanceEngine(str(folder)).count(table) == count
    return time.perf_counter() - began, time.process_time() - processor


def measure_lists(task: Task) -> Figures:
    """A page of the job list, with a history that grows with the rows; and the list of collections."""
    with running_server(task.folder, "--workers", "1") as server, server.client() as client:
        for number in range(COLLECTIONS):
            client.collections.create(f"c{number}", dimension=4)
    catalog = open_catalog(f"sqlite:///{server.data_dir / 'catalog.db'}", KEY)
    jobs = max(2 * WAITING, task.count // ROWS_PER_JOB)
    fill(catalog, jobs)
    catalog.close()
    task.tell(f"{jobs:,} jobs are in the history")
    with (
        running_server(task.folder, "--workers", "1", name="again") as server,
        server.client() as client,
        requests.Session() as session,
    ):
        server.wait_until_maintained(_MAINTENANCE_SECONDS)  # each start looks at every collection

        def page_of_jobs(_: int) -> None:
            body = {"clusterId": CLUSTER, "pageSize": PAGE, "currentPage": 1}
            answer = session.post(f"{server.url}/v2/vectordb/jobs/import/list", json=body, timeout=60).json()
            assert len(answer["data"]["records"]) == PAGE, answer

        def collections(_: int) -> None:
            assert len(client.collections.list()) == COLLECTIONS

        return {
            "jobs": jobs,
            **_calls("jobs", server, page_of_jobs, range(CALLS), range(WARM_CALLS)),
            **_calls("collections", server, collections, range(CALLS), range(WARM_CALLS)),
        }


def _create(client: Client, name: str, dim: int) -> None:
    client.collections.create(name, schema=schema_of(dim))


def _warm_up(server: RunningServer, client: Client, task: Task) -> None:
    """Import a few rows, and wait until workers that have just started are idle."""
    path = server.import_root / "warm.parquet"
    write_blocks(path, (block for _, block in task.rows.blocks(0, WARM_ROWS)))
    _create(client, "warm", task.rows.dim)
    _import(client, "warm", [path])
    used = 1.0
    while used > 0.1:
        with Usage(server.process.pid) as usage:
            time.sleep(1)
        used = usage.cpu_seconds


def _import(client: Client, name: str, paths: Sequence[Path]) -> int:
    """From the create call until the job is Completed and the collection counts its rows."""
    job = client.imports.create(name, list(paths))
    _poll_until(partial(_is_finished, client, job))
    client.imports.wait(job)  # raises if it failed
    return client.count(name)


def _is_finished(client: Client, job: ImportJob) -> bool:
    return client.imports.get(job).is_finished


def _poll_until(is_done: Callable[[], bool]) -> None:
    """Ask less often the longer it takes: each question costs the server some processor time."""
    began = time.perf_counter()
    while not is_done():
        time.sleep(min(2.0, max(0.05, (time.perf_counter() - began) / 20)))


PHASES: dict[str, Phase] = {
    "table": measure_table,
    "small jobs": measure_small_jobs,
    "parts": measure_parts,
    "lists": measure_lists,
}
