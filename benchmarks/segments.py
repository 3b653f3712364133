"""What the segments of a distributed index build cost each search, and what their build takes.

    python -m benchmarks.segments
    python -m benchmarks.segments --rows 600000 --dim 768 --groups 1 2 4 8

The same rows are indexed several times: by one task, and in groups of fragments, one task after the other in this
process. Each query is then made of all tables in turn, one at a time, in a process that keeps them open; medians of
processor time, of all threads, for the 10 nearest rows.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.growth import LIMIT, Source, segments_of
from benchmarks.machine import describe_machine
from benchmarks.nearest import Nearest
from penstock.domain.index import IndexSpec, Metric
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.index import distributed
from penstock.engines.values import SearchRequest, Table
from penstock.server.engine_factory import engine_of
from penstock.settings import Settings
from tests.support.tables import import_rows, new_table, plain, plain_batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--fragments", type=int, default=16)
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--type", default="AUTOINDEX")
    parser.add_argument("--nlist", type=int, default=0)
    parser.add_argument("--queries", type=int, default=100)
    args = parser.parse_args()
    print(describe_machine())
    spec = IndexSpec(
        name="v",
        field_name="vector",
        type=args.type,
        metric=Metric.L2,
        params={"nlist": args.nlist} if args.nlist else {},
    )
    distributed.MAX_GROUPS, distributed.LEAST_GROUP_BYTES = max(args.groups), 1
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), spec, args)


def measure(folder: Path, spec: IndexSpec, args: argparse.Namespace) -> None:
    engine, source = engine_of(Settings(data_dir=folder)), Source(args.dim)
    (folder / "collections").mkdir()
    nearest = Nearest(source.rows(args.queries, 10**6), LIMIT)
    tables = {groups: new_table(engine, plain(args.dim)) for groups in args.groups}
    each = args.rows // args.fragments
    for number in range(args.fragments):
        rows = source.rows(each, number)
        nearest.add(rows, number * each)
        for groups, table in tables.items():
            tables[groups], _ = import_rows(engine, table, plain_batch(rows, number * each, schema=table.schema))
    built: dict[int, str] = {}
    for groups, table in tables.items():
        tables[groups], built[groups] = build(engine, table, spec, groups)
    cpu: dict[int, list[float]] = {groups: [] for groups in tables}
    recall: dict[int, list[float]] = {groups: [] for groups in tables}
    for turn in range(3):
        for place, query in enumerate(nearest.queries):
            request = SearchRequest(field_name="vector", queries=query[None, :], metric=Metric.L2, limit=LIMIT)
            for groups, table in tables.items():
                began = time.process_time()
                [hits] = engine.search(table, request)
                if turn:  # the first one fills the caches
                    cpu[groups].append(time.process_time() - began)
                    recall[groups].append(nearest.recall(place, hits.rows["id"].to_pylist()))
    first = median(cpu[args.groups[0]])
    print("| groups | segments | build CPU s | search CPU ms | times the first | recall@10 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for groups, table in tables.items():
        segments = segments_of(folder / "collections" / f"{table.id}.lance")
        cost = median(cpu[groups])
        print(
            f"| {groups} | {segments} | {built[groups]} | {cost * 1e3:.2f} | {cost / first:.2f} "
            f"| {np.mean(recall[groups]):.3f} |"
        )


def build(engine: LanceEngine, table: Table, spec: IndexSpec, groups: int) -> tuple[Table, str]:
    """The table with its index, and the processor seconds: of the training, and of the longest group."""
    began = time.process_time()
    if groups == 1:
        table = replace(table, version=engine.index(table, [spec]))
        return table, f"{time.process_time() - began:.1f}"
    planned = engine.plan_distributed(table, spec, groups)
    assert planned is not None, "more fragments are needed"
    engine.train_partitions(table, planned)
    trained, seconds, parts = time.process_time() - began, [], []
    for number in range(planned.groups):
        began = time.process_time()
        parts.append(engine.build_group(table, planned, number))
        seconds.append(time.process_time() - began)
    table = replace(table, version=engine.commit_groups(table, planned, parts))
    return table, f"{trained:.1f} + {max(seconds):.1f} for each of {planned.groups}"


if __name__ == "__main__":
    main()
