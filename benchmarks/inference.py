"""How long inferring a schema takes, for files of growing size.

    python -m benchmarks.inference
    python -m benchmarks.inference --sizes 0.01 1 10

Each file has ids, texts and vectors of 768 dimensions; a format's first block is written again until the file has the
size. Times are seconds of sampling and inferring in this process, best of three.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import describe_machine
from penstock.inference.infer import infer_schema
from penstock.inference.sampling import sample_file
from penstock.readers.input_files import expand
from penstock.sources.roots import ImportRoots

DIM = 768
ROWS = 2000
TIMES = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.05, 0.5], metavar="GB")
    options = parser.parse_args()
    print("| Format | GB | Seconds |\n|---|---|---|")
    for name, write in WRITERS.items():
        for size in options.sizes:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / name
                write(path, int(size * 1e9))
                print(f"| {name} | {path.stat().st_size / 1e9:.2f} | {best_seconds(path):.2f} |", flush=True)
    print(describe_machine())


def best_seconds(path: Path) -> float:
    roots = ImportRoots([str(path.parent)])
    (file,) = expand([roots.scan(path.name)])
    seconds = []
    for _ in range(TIMES):
        started = time.perf_counter()
        infer_schema({file.name: sample_file(file, {})})
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def vectors() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(1).normal(size=(ROWS, DIM)).astype(np.float32)


def write_parquet(path: Path, size: int) -> None:
    """Few row groups, as large as the file allows: the first one must not be read as a whole."""
    flat = pa.array(vectors().reshape(-1))
    columns: dict[str, pa.Array[Any]] = {
        "id": pa.array(range(ROWS)),
        "text": pa.array([f"text {number}" for number in range(ROWS)]),
        "embedding": pa.FixedSizeListArray.from_arrays(flat, DIM),
    }
    block = pa.table(columns)
    count = max(1, size // block.nbytes)
    table = pa.concat_tables([block] * count)
    pq.write_table(table, path, row_group_size=1_000_000, use_dictionary=False)


def write_text(block: Callable[[], bytes], head: bytes = b"", end: bytes = b"", between: bytes = b"") -> Writer:
    def write(path: Path, size: int) -> None:
        with path.open("wb") as stream:
            stream.write(head)
            text = block()
            stream.write(text)
            while stream.tell() < size:
                stream.write(between)
                stream.write(text)
            stream.write(end)

    return write


def json_rows() -> list[str]:
    return [
        json.dumps({"id": number, "text": f"text {number}", "embedding": vector})
        for number, vector in enumerate(vectors().tolist())
    ]


def csv_rows() -> bytes:
    text = io.StringIO()
    for number, vector in enumerate(vectors().tolist()):
        text.write(f'{number},text {number},"{json.dumps(vector)}"\n')
    return text.getvalue().encode()


def write_numpy(path: Path, size: int) -> None:
    np.save(path, np.resize(vectors(), (max(ROWS, size // (4 * DIM)), DIM)))


Writer = Callable[[Path, int], None]
WRITERS: Mapping[str, Writer] = {
    "embedding.parquet": write_parquet,
    "embedding.jsonl": write_text(lambda: ("\n".join(json_rows()) + "\n").encode()),
    "embedding.json": write_text(lambda: ",\n".join(json_rows()).encode(), b"[", b"]", b",\n"),
    "embedding.csv": write_text(csv_rows, b"id,text,embedding\n"),
    "embedding.npy": write_numpy,
}

if __name__ == "__main__":
    main()
