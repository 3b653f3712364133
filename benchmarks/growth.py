"""What a growing collection costs: for each import, and for each search after it.

    python -m benchmarks.growth
    python -m benchmarks.growth --imports 9 --rows 200000 --dim 768

Imports go to the engine one after the other, each followed by what a server does: the index is extended, as the job
waits for it; then the table is compacted, old versions expire, and indexes are optimized. At the end an index
is built from nothing over the same rows, for comparison. Searches are for the 10 nearest rows, one at a time, in a
process that keeps the table open; their median is of processor time, of all threads, and of wall time.

With ``--parts`` a table of so many fragments is opened, and searched for the first time and again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import lance
import numpy as np
import numpy.typing as npt

from benchmarks.machine import describe_machine
from benchmarks.nearest import Nearest
from penstock.domain.ids import new_id
from penstock.domain.index import IndexSpec, Metric
from penstock.engines.lance import LanceEngine
from penstock.engines.values import SearchRequest, Table
from penstock.server.engine_factory import engine_of
from penstock.settings import Settings
from tests.support.tables import import_rows, new_table, plain, plain_batch

SPEC = IndexSpec(name="v", field_name="vector", metric=Metric.L2)
LIMIT = 10
LATENT = 24
"""Dimensions of the space in which the rows really lie; noise is added in all others."""


@dataclass(frozen=True)
class Searches:
    """Medians in milliseconds, and the share of the nearest rows that were found."""

    cpu: float
    wall: float
    recall: float


class Source:
    """Rows around centres in a space of :data:`LATENT` dimensions."""

    def __init__(self, dim: int) -> None:
        rng = np.random.default_rng(0)
        self._axes = rng.normal(size=(LATENT, dim)).astype(np.float32)
        self._centres = rng.normal(size=(1000, LATENT)).astype(np.float32) * 2

    def rows(self, count: int, seed: int) -> npt.NDArray[np.float32]:
        rng = np.random.default_rng(seed + 1)
        latent = self._centres[rng.integers(0, 1000, count)] + rng.normal(size=(count, LATENT)).astype(np.float32)
        dim = self._axes.shape[1]
        return latent @ self._axes + rng.normal(size=(count, dim)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--imports", type=int, default=12)
    parser.add_argument("--rows", type=int, default=20_000, help="of each import")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--parts", type=int, default=0, help="measure a table of so many fragments instead")
    args = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        if args.parts:
            open_parts(Path(folder), args.parts, args.dim)
        else:
            grow(Path(folder), args)


def grow(folder: Path, args: argparse.Namespace) -> None:
    engine, source = engine_of(Settings(data_dir=folder)), Source(args.dim)
    (folder / "collections").mkdir()
    table = new_table(engine, plain(args.dim))
    home = folder / "collections" / f"{table.id}.lance"
    queries = source.rows(args.queries, 10**6)
    nearest = Nearest(queries, LIMIT)
    print("|     rows | import s | background s | segments | search ms | after it | wall ms | recall | disk |")
    print("|----------|----------|--------------|----------|-----------|----------|---------|--------|------|")
    for number in range(args.imports):
        rows = source.rows(args.rows, number)
        nearest.add(rows, number * args.rows)
        batch = plain_batch(rows, number * args.rows, schema=table.schema)
        began = time.process_time()
        table, _ = import_rows(engine, table, batch)
        table = replace(table, version=engine.index(table, [SPEC]))
        imported = time.process_time() - began
        before = search(engine, table, nearest)
        appended = segments_of(home)
        began = time.process_time()
        table = maintain(engine, table)
        background = time.process_time() - began
        after, segments = search(engine, table, nearest), segments_of(home)
        print(
            f"| {args.rows * (number + 1):8,} | {imported:8.2f} | {background:12.2f} | {appended:2} to {segments:2} "
            f"| {before.cpu:9.2f} | {after.cpu:8.2f} | {after.wall:7.2f} | {after.recall:6.3f} "
            f"| {size_of(home) / live_bytes(home):3.1f}x |"
        )
    grown = search(engine, table, nearest)
    table = replace(table, version=engine.index(table, []))
    began = time.process_time()
    table = replace(table, version=engine.index(table, [SPEC]))
    built = time.process_time() - began
    fresh = search(engine, table, nearest)
    print(f"a new index: {built:.2f} s; {fresh.cpu:.2f} ms processor, {fresh.wall:.2f} ms, recall {fresh.recall:.3f}")
    print(f"the grown one, times that: {grown.cpu / fresh.cpu:.2f} processor, {grown.wall / fresh.wall:.2f} wall")


def maintain(engine: LanceEngine, table: Table) -> Table:
    """What a server does in the background, a minute later for the versions that expire."""
    engine.expire_versions(table, 3600.0, 0.5, 0.0)
    table = replace(table, version=engine.compact(table))
    table = replace(table, version=engine.optimize(table, [SPEC]))
    engine.expire_versions(table, 3600.0, 0.5, 0.0)
    return table


def search(engine: LanceEngine, table: Table, nearest: Nearest) -> Searches:
    """All queries twice; the first time fills the caches."""
    cpu, wall, shares = [], [], []
    for turn in range(2):
        for place, query in enumerate(nearest.queries):
            request = SearchRequest(field_name="vector", queries=query[None, :], metric=Metric.L2, limit=LIMIT)
            began, processor = time.perf_counter(), time.process_time()
            [hits] = engine.search(table, request)
            if turn:
                cpu.append(time.process_time() - processor)
                wall.append(time.perf_counter() - began)
                shares.append(nearest.recall(place, hits.rows["id"].to_pylist()))
    return Searches(median(cpu) * 1e3, median(wall) * 1e3, float(np.mean(shares)))


def segments_of(home: Path) -> int:
    return sum(len(index.segments) for index in lance.dataset(str(home)).describe_indices())


def live_bytes(home: Path) -> int:
    """Bytes of the data files and indexes that the newest version names."""
    dataset = lance.dataset(str(home))
    files = [home / "data" / file.path for fragment in dataset.get_fragments() for file in fragment.data_files()]
    segments = [segment for index in dataset.describe_indices() for segment in index.segments]
    return sum(path.stat().st_size for path in files) + sum(segment.size_bytes or 0 for segment in segments)


def size_of(home: Path) -> int:
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file())


def open_parts(folder: Path, parts: int, dim: int) -> None:
    """Time what opens each fragment: counting, a query, searches; compacted then, for comparison."""
    writer, source = LanceEngine(str(folder)), Source(dim)
    table, job = new_table(writer, plain(dim)), new_id()
    batches = (plain_batch(source.rows(10, part), part * 10, schema=table.schema) for part in range(parts))
    staged = [writer.stage(table, job, iter([batch])) for batch in batches]
    table = replace(table, version=writer.publish(table, job, 1, staged).version)
    describe_reads(folder, table, source)
    began = time.process_time()
    table = replace(table, version=writer.compact(table))
    print(f"compaction: {time.process_time() - began:.2f} s")
    describe_reads(folder, table, source)


def describe_reads(folder: Path, table: Table, source: Source) -> None:
    engine = LanceEngine(str(folder))
    request = SearchRequest(field_name="vector", queries=source.rows(1, 10**6), metric=Metric.L2, limit=LIMIT)
    reads: dict[str, Callable[[], object]] = {
        "open and count": lambda: engine.count(table),
        "what is due": lambda: engine.due(table, [SPEC]),
        "first search": lambda: engine.search(table, request),
        "later search": lambda: engine.search(table, request),
        "query of one row": lambda: engine.query(table, columns=["id"], limit=1),
    }
    print(f"{len(lance.dataset(str(folder / f'{table.id}.lance')).get_fragments()):,} fragments")
    for name, read in reads.items():
        began, processor = time.perf_counter(), time.process_time()
        read()
        wall, cpu = time.perf_counter() - began, time.process_time() - processor
        print(f"  {name:18} {cpu * 1e3:8.1f} ms processor, {wall * 1e3:8.1f} ms")


if __name__ == "__main__":
    main()
