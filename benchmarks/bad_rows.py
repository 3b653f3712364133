"""User and system time of an import that leaves out bad rows (on_error=skip_row), as a share of that of a clean file.

``python -m benchmarks.bad_rows [PAIRS]``: 1 % of the rows are bad, spread evenly. Runs alternate between the clean
file and the one with bad rows, in one process each, from the reader to the staged file of the engine.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from penstock.domain.jobs import Split
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.lance.engine import LanceEngine
from penstock.engines.values import Table
from penstock.imports.reject_files import RejectLimits
from penstock.imports.tasks import StageTask, init_worker, stage_split
from penstock.readers.base import ReadRequest, plan_at_once
from penstock.readers.formats import format_of
from penstock.sources.base import Location
from penstock.sources.opening import open_source

DIM = 768
ROWS = {"parquet": 60_000, "jsonl": 20_000}
SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=DIM),
        Field(name="title", type=DataType.VARCHAR, max_length=64),
    )
)


def write(path: Path, rows: int, *, bad: bool) -> None:
    """Half of the bad rows have a vector that isn't finite (or, in JSON, too short), the others a text too long."""
    vectors = np.random.default_rng(1).normal(size=(rows, DIM)).astype("float32")
    titles = [f"title {number}" for number in range(rows)]
    wrong = range(50, rows, 100) if bad else range(0)
    for place in wrong[::2]:
        titles[place] = "x" * 100
    if path.suffix == ".parquet":
        vectors[list(wrong[1::2]), 5] = np.nan
        lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIM)
        pq.write_table(pa.table({"id": pa.array(range(rows)), "vector": lists, "title": titles}), path)
        return
    short = set(wrong[1::2])
    with path.open("wb") as file:
        for number in range(rows):
            row = {"id": number, "vector": vectors[number, : DIM - (number in short)], "title": titles[number]}
            file.write(orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")


class _Context:
    def report(self, done_bytes: int, done_rows: int) -> None:
        pass

    def check(self) -> None:
        pass


def stage(path: Path, folder: Path) -> tuple[float, int, int]:
    """The user and system time of staging a file, its rows, and the rejected ones."""
    init_worker()
    engine = LanceEngine(str(folder))
    engine.check()
    table = Table(id=path.stem, schema=SCHEMA)
    engine.create(table)
    location = Location(uri=path.as_uri(), name=path.name, size=path.stat().st_size)
    options = {"on_error": "skip_row"}
    spec = format_of(path.name)
    assert spec is not None
    request = ReadRequest(sources=[open_source(location)], schema=SCHEMA, batch_bytes=8 << 20, options=options)
    ranges = tuple(plan_at_once(spec.reader, request, 1 << 40))
    task = StageTask(
        engine=engine,
        table=table,
        job_id=1,
        split=Split(
            ordinal=0, ranges=tuple(replace(file_range, format=spec.name, partition=1) for file_range in ranges)
        ),
        locations={0: [location]},
        partitions=[1],
        batch_bytes=8 << 20,
        options=options,
        reject_limits=RejectLimits(rows=100_000, bytes=64 << 20),
    )
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = stage_split(task, _Context())
    after = resource.getrusage(resource.RUSAGE_SELF)
    rejected = 0 if result.rejects is None else sum(result.rejects.rows)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, sum(result.rows), rejected


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for suffix, rows in ROWS.items():
            paths = [folder / f"{kind}.{suffix}" for kind in ("clean", "bad")]
            for path in paths:
                write(path, rows, bad=path.stem == "bad")
            times: dict[str, list[float]] = {"clean": [], "bad": []}
            for number in range(pairs):
                for path in paths:
                    store = folder / f"{suffix}-{path.stem}-{number}"
                    store.mkdir()
                    code = "import sys; from benchmarks.bad_rows import stage; from pathlib import Path; import json;"
                    code += "print(json.dumps(stage(Path(sys.argv[1]), Path(sys.argv[2]))))"
                    out = subprocess.run(
                        [sys.executable, "-c", code, str(path), str(store)],
                        capture_output=True,
                        check=True,
                        text=True,
                        env=os.environ,
                    )
                    seconds, kept, rejected = json.loads(out.stdout)
                    assert kept + rejected == rows
                    times[path.stem].append(seconds)
            ratios = sorted(bad / clean for bad, clean in zip(times["bad"], times["clean"], strict=True))
            clean, bad = min(times["clean"]), min(times["bad"])
            print(
                f"{suffix:8} clean {clean:.2f} s, 1 % bad {bad:.2f} s: {100 * (bad / clean - 1):+.0f} % "
                f"(median of pairs {100 * (ratios[len(ratios) // 2] - 1):+.0f} %)"
            )


if __name__ == "__main__":
    main()
