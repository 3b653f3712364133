"""Our bulk writers beside pymilvus's, in one run: rows per second, and their ratio.

    python benchmarks/bulk_writer.py [--rows 50000] [--dim 768] [--pairs 5]

Each measurement is a process of its own; ours and theirs take turns, so that what else the machine does falls on
both. The median of each is shown, and the median of the ratios of the pairs, by the clock and by the processor time
that was used (which other work on the machine disturbs less). pymilvus runs in the pinned environment
of the client tests. Ours waits for the disk (fsync), theirs doesn't. Memory is what the process's peak grew by
while writing, with a chunk size of 128 MiB; the vectors themselves were there before.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.clients import client_python  # noqa: E402

_COMMON = """
import json, resource, sys, time
import numpy as np
way, kind, rows, dim, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
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
with LocalBulkWriter(schema, folder, chunk_size=128 << 20, file_type=BulkFileType[kind]) as writer:
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
with LocalBulkWriter(schema, folder, chunk_size=128 << 20, file_type=BulkFileType[kind]) as writer:
    if way == "append_batch":
        writer.append_batch({"id": ids, "vector": vectors})
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

_CASES = (
    ("append_batch", "PARQUET", 1.0),
    ("append_row", "PARQUET", 1.0),
    ("append_batch", "NUMPY", 1.0),
    ("append_batch", "JSON", 0.1),
    ("append_row", "JSON", 0.1),
    ("append_batch", "JSONL", 0.1),
    ("append_batch", "CSV", 0.1),
)


def measure(python: Path | str, program: str, way: str, kind: str, rows: int, dim: int) -> dict[str, float]:
    folder = tempfile.mkdtemp(prefix="bulk-writer-")
    try:
        done = subprocess.run(
            [str(python), "-c", program + _TOLD, way, kind, str(rows), str(dim), folder],
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--version", default="3.0.2", help="pymilvus release")
    given = parser.parse_args()
    theirs_python = client_python(given.version)
    print(f"{given.rows} rows x {given.dim}, {given.pairs} pairs, Python {platform.python_version()}")
    print(f"| ours | format | rows | rows/s | pymilvus {given.version}, rows/s | ratio | by CPU time | our memory |")
    print("|---|---|---|---|---|---|---|---|")
    for way, kind, share in _CASES:
        rows = int(given.rows * share)
        pairs = [
            (
                measure(sys.executable, _OURS, way, kind, rows, given.dim),
                measure(theirs_python, _THEIRS, way, kind, rows, given.dim),
            )
            for _ in range(given.pairs)
        ]
        ours, theirs = (statistics.median(pair[at]["rate"] for pair in pairs) for at in (0, 1))
        ratios = [mine["rate"] / other["rate"] for mine, other in pairs]
        work = statistics.median(mine["work"] / other["work"] for mine, other in pairs)
        memory = statistics.median(mine["memory"] for mine, _ in pairs)
        print(
            f"| {way} | {kind} | {rows:,} | {ours:,.0f} | {theirs:,.0f} | {statistics.median(ratios):.1f} "
            f"({min(ratios):.1f} to {max(ratios):.1f}) | {work:.1f} | {memory:,.0f} MiB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
