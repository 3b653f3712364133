"""What each index type costs to build, and how well and how quickly it answers.

    python -m benchmarks.indexes --rows 12000 100000
    python -m benchmarks.indexes --rows 20000 --types AUTOINDEX HNSW

The vectors are drawn around a thousand centres. Recall is the share of the ten nearest rows, by an exact search, that
a search finds. A query's time is that of one search by one thread through the engine, files in the page cache.
``later`` is the time that adding 12,000 more rows to the index takes. Prints Markdown, as in ``docs/indexes.md``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.machine import describe_machine
from penstock.domain.arrow_schema import canonical_schema
from penstock.domain.ids import new_id
from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.lance import LanceEngine
from penstock.engines.values import SearchRequest, Table

CENTRES = 1000
CHUNK = 10_000
QUERIES = 100
LATER = 12_000
NEAREST = 10

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Kind:
    """An index as a user asks for it, and the search parameters to try with it."""

    type: str
    params: Mapping[str, int]
    searches: Sequence[Mapping[str, int]]


KINDS = (
    Kind("FLAT", {}, [{}]),
    Kind("AUTOINDEX", {}, [{}, {"level": 3}]),
    Kind("IVF_FLAT", {"nlist": 128}, [{"nprobe": 8}, {"nprobe": 32}]),
    Kind("IVF_SQ8", {"nlist": 128}, [{"nprobe": 8}, {"nprobe": 32}]),
    Kind("IVF_RABITQ", {"nlist": 128}, [{"nprobe": 8}, {"nprobe": 32}]),
    Kind("HNSW_SQ", {"M": 16, "efConstruction": 150}, [{"ef": 64}, {"ef": 200}]),
    Kind("HNSW", {"M": 16, "efConstruction": 150}, [{"ef": 64}, {"ef": 200}]),
    Kind("IVF_PQ", {"nlist": 128, "m": 48}, [{"nprobe": 8}, {"nprobe": 32}]),
)


def data(rows: int, dim: int, seed: int) -> Floats:
    """Rows, later rows and queries, all around the same centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CENTRES, dim)).astype(np.float32)
    made = np.empty((rows + LATER + QUERIES, dim), np.float32)
    for start in range(0, len(made), CHUNK):
        part = made[start : start + CHUNK]
        part[:] = centres[rng.integers(0, CENTRES, len(part))]
        part += rng.normal(size=part.shape).astype(np.float32) * np.float32(0.7)
    return made


def exact(rows: Floats, queries: Floats) -> list[set[int]]:
    squares = np.einsum("ij,ij->i", rows, rows)
    return [set(np.argpartition(squares - 2 * (rows @ query), NEAREST)[:NEAREST].tolist()) for query in queries]


def batches(values: Floats, first: int, schema: CollectionSchema) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(values), CHUNK):
        part = values[start : start + CHUNK]
        column = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), part.shape[1])
        keys = pa.array(range(first + start, first + start + len(part)), pa.int64())
        parts = pa.array(np.zeros(len(part), np.int64))
        yield pa.RecordBatch.from_arrays([keys, column, parts], schema=canonical_schema(schema))


def imported(engine: LanceEngine, table: Table, values: Floats, first: int = 0) -> Table:
    job = new_id()
    staged = engine.stage(table, job, batches(values, first, table.schema))
    return replace(table, version=engine.publish(table, job, 1, [staged]).version)


def timed_search(
    engine: LanceEngine, table: Table, queries: Floats, params: Mapping[str, Any], best: Sequence[set[int]]
) -> tuple[float, float, float]:
    """Recall, and the 50th and 99th percentile of a query's milliseconds."""
    times, shares = [], []
    for query, expected in zip(queries, best, strict=True):
        request = SearchRequest(
            field_name="vector", queries=query[None, :], metric=Metric.L2, limit=NEAREST, params=params
        )
        begun = time.perf_counter()
        [hits] = engine.search(table, request)
        times.append((time.perf_counter() - begun) * 1000)
        shares.append(len(expected & set(hits.rows["id"].to_pylist())) / NEAREST)
    quantiles = statistics.quantiles(times, n=100)
    return statistics.mean(shares), quantiles[49], quantiles[98]


def measure(rows: int, dim: int, wanted: Sequence[str]) -> None:
    schema = CollectionSchema(
        fields=(
            Field(name="id", type=DataType.INT64, primary=True),
            Field(name="vector", type=DataType.FLOAT_VECTOR, dim=dim),
        )
    )
    made = data(rows, dim, seed=7)
    values, later, queries = made[:rows], made[rows:-QUERIES], made[-QUERIES:]
    best = exact(values, queries)
    print(f"\n**{rows:,} x {dim}**\n")
    print("| index | built in s (CPU s) | later s | searched with | recall@10 | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|---|")
    for kind in KINDS:
        if wanted and kind.type not in wanted:
            continue
        with tempfile.TemporaryDirectory(prefix="penstock-indexes-") as folder:
            engine = LanceEngine(folder)
            table = Table(id=str(uuid4()), schema=schema)
            table = imported(engine, replace(table, version=engine.create(table)), values)
            spec = IndexSpec(name="v", field_name="vector", type=kind.type, metric=Metric.L2, params=kind.params)
            begun, cpu = time.perf_counter(), time.process_time()
            table = replace(table, version=engine.index(table, [spec]))
            built, cpu = time.perf_counter() - begun, time.process_time() - cpu
            found = []
            for params in kind.searches:
                engine.search(
                    table, SearchRequest(field_name="vector", queries=queries, metric=Metric.L2, limit=1)
                )  # reads the index
                found.append((params, timed_search(engine, table, queries, params, best)))
            table = imported(engine, table, later, rows)
            begun = time.perf_counter()
            engine.index(table, [spec])
            added = time.perf_counter() - begun
            for params, (recall, half, slow) in found:
                print(
                    f"| {kind.type} {shown(kind.params)} | {built:.1f} ({cpu:.1f}) | {added:.1f} | "
                    f"{shown(params) or 'nothing'} | {recall:.3f} | {half:.1f} | {slow:.1f} |",
                    flush=True,
                )


def shown(params: Mapping[str, int]) -> str:
    return ", ".join(f"{key}={value}" for key, value in params.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--types", nargs="*", default=[], choices=[each.type for each in KINDS])
    options = parser.parse_args()
    for rows in options.rows:
        measure(rows, options.dim, options.types)
    print(f"\nMeasured on {describe_machine()}.")


if __name__ == "__main__":
    main()
