"""Our bulk writers beside pymilvus's, in one run: rows per second, their ratio, and our memory.

    python -m benchmarks.bulk_writer [--rows 50000] [--dim 768] [--pairs 5] [--version 3.0.2]

Each measurement is a process of its own; ours and theirs take turns, so that what else the machine does falls on
both. The median of each is shown, and the median of the ratios of the pairs, by the clock and by the processor time
that was used (which other work on the machine disturbs less). pymilvus runs in the pinned environment
of the client tests. Ours waits for the disk (fsync), theirs doesn't.

Memory is what the process's peak grew by while writing, with chunks of 128 MiB and of 16 MiB; the vectors themselves
were there before. It is measured for one large batch, for many of 100 rows, and for single rows. The aim is the size
of a chunk and 64 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.clients import client_python  # noqa: E402

_COMMON = """
import json, resource, sys, time
import numpy as np
way, kind, folder = sys.argv[1:4]
rows, dim, chunk = map(int, sys.argv[4:7])
vectors = np.random.default_rng(1).random((rows, dim), dtype=np.float32)
ids = np.arange(rows)
keys = ids.tolist()

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
"""

_THEIRS = (
    _COMMON
    + """
from pymilvus import CollectionSchema, DataType, FieldSchema
from pymilvus.bulk_writer import BulkFileType, LocalBulkWriter
schema = CollectionSchema([
    FieldSchema("id", DataType.INT64, is_primary=True),
    FieldSchema("vector", DataType.FLOAT_VECTOR, dim=dim),
])
before, worked, started = peak(), time.process_time(), time.perf_counter()
with LocalBulkWriter(schema, folder, chunk_size=chunk, file_type=BulkFileType[kind]) as writer:
    for key, vector in zip(keys, vectors):
        writer.append_row({"id": key, "vector": vector})
    writer.commit()
seconds = time.perf_counter() - started
"""
)

_OURS = (
    _COMMON
    + """
from penstock.bulk_writer import BulkFileType, LocalBulkWriter
schema = {"fields": [
    {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
    {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": dim}},
]}
before, worked, started = peak(), time.process_time(), time.perf_counter()
with LocalBulkWriter(schema, folder, chunk_size=chunk, file_type=BulkFileType[kind]) as writer:
    if way == "append_batch":
        writer.append_batch({"id": ids, "vector": vectors})
    elif way == "small batches":
        for at in range(0, rows, 100):
            writer.append_batch({"id": ids[at:at + 100], "vector": vectors[at:at + 100]})
    else:
        for key, vector in zip(keys, vectors):
            writer.append_row({"id": key, "vector": vector})
    writer.commit()
seconds = time.perf_counter() - started
"""
)

_TOLD = """
print(json.dumps({"rate": rows / seconds, "work": rows / (time.process_time() - worked), "memory": peak() - before}))
"""

_MB = 1 << 20
_CHUNKS = (128 * _MB, 16 * _MB)
_FORMATS = ("PARQUET", "NUMPY", "JSON", "JSONL", "CSV")


@dataclass(frozen=True, slots=True)
class Case:
    """A way to write beside pymilvus's ``append_row`` in one format, for a share of the rows and of the pairs."""

    way: str
    kind: str
    share: float = 1.0
    pairs: float = 1.0


# Text takes pymilvus so long that there are fewer rows and pairs; with fewer than 20,000 rows our start would count.
_CASES = (
    Case("append_batch", "PARQUET"),
    Case("append_row", "PARQUET", pairs=0.6),
    Case("append_batch", "NUMPY", pairs=0.6),
    Case("append_batch", "JSON", 0.4, 0.4),
    Case("append_row", "JSON", 0.4, 0.4),
    Case("append_batch", "JSONL", 0.4, 0.2),
    Case("append_batch", "CSV", 0.4, 0.2),
)


def measure(
    python: Path | str, program: str, way: str, kind: str, rows: int, dim: int, chunk: int = _CHUNKS[0]
) -> dict[str, float]:
    folder = tempfile.mkdtemp(prefix="bulk-writer-")
    try:
        done = subprocess.run(
            [str(python), "-c", program + _TOLD, way, kind, folder, str(rows), str(dim), str(chunk)],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(folder)
    if done.returncode:
        raise SystemExit(done.stderr)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def compare(cases: Sequence[Case], given: argparse.Namespace) -> None:
    theirs_python = client_python(given.version)
    print(f"| ours | format | rows | rows/s | pymilvus {given.version}, rows/s | ratio | by CPU time |")
    print("|---|---|---|---|---|---|---|")
    for case in cases:
        rows = int(given.rows * case.share)
        pairs = [
            (
                measure(sys.executable, _OURS, case.way, case.kind, rows, given.dim),
                measure(theirs_python, _THEIRS, case.way, case.kind, rows, given.dim),
            )
            for _ in range(max(1, round(given.pairs * case.pairs)))
        ]
        ours, theirs = (statistics.median(pair[at]["rate"] for pair in pairs) for at in (0, 1))
        ratios = [mine["rate"] / other["rate"] for mine, other in pairs]
        work = statistics.median(mine["work"] / other["work"] for mine, other in pairs)
        print(
            f"| {case.way} | {case.kind} | {rows:,} | {ours:,.0f} | {theirs:,.0f} | {statistics.median(ratios):.1f} "
            f"({min(ratios):.1f} to {max(ratios):.1f}, {len(pairs)} pairs) | {work:.1f} |",
            flush=True,
        )


def show_memory(given: argparse.Namespace) -> None:
    """Text is written for fewer rows, which are several of the small chunks all the same."""
    print("\n| memory beyond the data, MiB: format | chunk | append_batch | batches of 100 rows | append_row |")
    print("|---|---|---|---|---|")
    for chunk in _CHUNKS:
        for kind in _FORMATS:
            rows = int(given.rows * (1.0 if kind in ("PARQUET", "NUMPY") else 0.4))
            found = [
                measure(sys.executable, _OURS, way, kind, rows, given.dim, chunk)["memory"]
                for way in ("append_batch", "small batches", "append_row")
            ]
            print(f"| {kind} | {chunk // _MB} | " + " | ".join(f"{each:,.0f}" for each in found) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--version", default="3.0.2", help="pymilvus release")
    parser.add_argument("--only", choices=("speed", "memory"), help="half of it")
    given = parser.parse_args()
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{given.rows} rows x {given.dim}, {machine}")
    if given.only != "memory":
        compare(_CASES, given)
    if given.only != "speed":
        show_memory(given)


if __name__ == "__main__":
    main()
