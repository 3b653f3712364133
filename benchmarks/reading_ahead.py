"""How far downloads overlap with parsing: the same file read from a slow object store, downloaded only, parsed only.

::

    python -m benchmarks.reading_ahead                       # Parquet and JSON Lines, 5 MB/s for each request
    python -m benchmarks.reading_ahead --rate 40 --rows 100000

The store is moto's server behind a proxy that lets so many bytes a second through for each request. With full overlap
the wall time is that of the slower one of download and parsing; without, it is their sum.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

from benchmarks.files import write_jsonl, write_parquet
from benchmarks.machine import describe_machine
from penstock.domain.jobs import FileRange
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.readers.base import FormatSpec, ReadRequest
from penstock.readers.json.lines_reader import JSON_LINES
from penstock.readers.parquet.reader import PARQUET
from penstock.sources.base import Location
from penstock.sources.opening import open_source
from penstock.sources.roots import ImportRoots
from tests.support.faulty_store import Faults, faulty_store
from tests.support.s3 import s3_server

PAIRS = 3
BATCH = 4 << 20


def download(location: Location) -> None:
    with open_source(location).open_stream() as stream:
        while stream.read(1 << 20):
            pass


def parse(location: Location, schema: CollectionSchema, file_format: FormatSpec) -> int:
    request = ReadRequest(sources=[open_source(location)], schema=schema, batch_bytes=BATCH)
    reader = file_format.reader
    whole = cast(Sequence[FileRange], reader.plan(request, location.size))
    return sum(batch.batch.num_rows for split in whole for batch in reader.read(request, split.spec))


def seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def proxy(target: str, rate: float, pipe: Connection) -> None:
    """In a process of its own, so that it takes no time from the parser."""
    with faulty_store(target, Faults(rate=rate), seed=1) as store:
        pipe.send(store.url)
        pipe.recv()


@contextmanager
def slow_store(target: str, rate: float) -> Iterator[str]:
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=proxy, args=(target, rate, theirs))
    process.start()
    try:
        yield str(ours.recv())
    finally:
        ours.send("end")
        process.join()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    arguments.add_argument("--rows", type=int, default=8_000)
    arguments.add_argument("--dim", type=int, default=768)
    arguments.add_argument("--rate", type=float, default=5.0, help="MB/s of each request")
    given = arguments.parse_args()
    schema = CollectionSchema(
        fields=(
            Field(name="id", type=DataType.INT64, primary=True),
            Field(name="vector", type=DataType.FLOAT_VECTOR, dim=given.dim),
        )
    )
    print("| file | MB | download, s | parse, s | both, s | of the slower one |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, s3_server() as s3, slow_store(s3.endpoint, given.rate * 1e6) as url:
        bucket = s3.make_bucket()
        for name, file_format, write in (
            ("docs.parquet", PARQUET, write_parquet),
            ("docs.jsonl", JSON_LINES, write_jsonl),
        ):
            path = Path(folder) / name
            write(path, given.rows, given.dim)
            s3.put(bucket, name, path.read_bytes())
            roots = ImportRoots([f"s3://{bucket}"], {"s3": s3.settings | {"endpoint": url}})
            [remote] = roots.locate(name)
            [local] = ImportRoots([folder]).locate(name)
            runs = [
                (
                    seconds(partial(download, remote)),
                    seconds(partial(parse, local, schema, file_format)),
                    seconds(partial(parse, remote, schema, file_format)),
                )
                for _ in range(PAIRS)
            ]
            down, alone, both = (statistics.median(each) for each in zip(*runs, strict=True))
            told = f"{down:.2f} | {alone:.2f} | {both:.2f} | {both / max(down, alone):.2f}"
            print(f"| {name} | {local.size / 1e6:.0f} | {told} |")
    print(f"\nMedians of {PAIRS}; {given.rate:.0f} MB/s for each request. {describe_machine()}")


if __name__ == "__main__":
    main()
