"""What many small jobs cost a table: bytes on disk, live bytes, bytes that compaction wrote again.

    python -m benchmarks.compaction
    python -m benchmarks.compaction --jobs 1000 --rows 100 --least-age 0

Jobs go to the engine one after the other, and after each one compaction and the expiry of old versions do what is
due, as a server's maintenance does. All bytes are of files in the table's folder, manifests and transactions too.
With ``--least-age 0`` old versions expire as they do on a server a minute later.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import lance

from benchmarks.machine import describe_machine
from penstock.engines.lance import LanceEngine
from penstock.engines.values import Table
from tests.support.tables import import_rows, new_table, plain, plain_batch, vectors
from tests.support.worlds import job_settings

MIB = 1 << 20


@dataclass
class Costs:
    """Bytes; ``peak`` is the largest quotient of bytes on disk and live bytes after a job, from the tenth on."""

    imported: int = 0
    rewritten: int = 0
    compactions: int = 0
    peak: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    settings = job_settings()
    parser.add_argument("--jobs", type=int, default=96)
    parser.add_argument("--rows", type=int, default=1000, help="of each job")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument(
        "--age", type=float, default=settings.old_version_retention, help="seconds after which versions expire"
    )
    parser.add_argument("--share", type=float, default=settings.old_version_share, help="of the live bytes")
    parser.add_argument("--least-age", type=float, default=settings.old_version_min_age, help="seconds; see --share")
    args = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), args)


def run(folder: Path, args: argparse.Namespace) -> None:
    engine = LanceEngine(str(folder))
    table = new_table(engine, plain(args.dim))
    home = folder / f"{table.id}.lance"
    costs, began = Costs(), time.process_time()
    for job in range(args.jobs):
        batch = plain_batch(vectors(args.rows, args.dim, job), args.rows * job, schema=table.schema)
        before = data_files(home)
        table, _ = import_rows(engine, table, batch)
        costs.imported += sum(size for name, size in data_files(home).items() if name not in before)
        if engine.due(table, []).compaction:
            table = maintain(engine, table, home, costs, args)
        if job >= 10:
            costs.peak = max(costs.peak, size_of(home) / live_bytes(home))
    table = maintain(engine, table, home, costs, args)
    live, disk = live_bytes(home), size_of(home)
    assert engine.count(table) == args.jobs * args.rows
    print(
        f"{args.jobs} jobs of {args.rows} rows, {args.dim} dimensions: {time.process_time() - began:.1f} s processor"
    )
    print(f"imported        {costs.imported / MIB:10.2f} MiB in data files")
    print(f"live            {live / MIB:10.2f} MiB in {len(lance.dataset(str(home)).get_fragments())} fragments")
    print(
        f"on disk         {disk / MIB:10.2f} MiB, {disk / live:.2f} times the live bytes ({costs.peak:.2f} at most)"
    )
    print(f"rewritten       {costs.rewritten / MIB:10.2f} MiB in {costs.compactions} compactions")
    print(f"write amplification {1 + costs.rewritten / costs.imported:6.2f}")


def maintain(engine: LanceEngine, table: Table, home: Path, costs: Costs, args: argparse.Namespace) -> Table:
    engine.expire_versions(table, args.age, args.share, args.least_age)
    before = data_files(home)
    version = engine.compact(table)
    costs.compactions += version > table.version
    costs.rewritten += sum(size for name, size in data_files(home).items() if name not in before)
    table = replace(table, version=version)
    engine.expire_versions(table, args.age, args.share, args.least_age)
    return table


def data_files(home: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in (home / "data").glob("*")}


def live_bytes(home: Path) -> int:
    """Bytes of the data files that the newest version names."""
    files = data_files(home)
    fragments = lance.dataset(str(home)).get_fragments()
    return sum(files[file.path] for fragment in fragments for file in fragment.data_files())


def size_of(home: Path) -> int:
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
