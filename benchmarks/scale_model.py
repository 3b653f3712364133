"""How long an import takes on many hosts, and what saturates first: a simulation fed with measured times.

::

    python -m benchmarks.scale_model                 # measure here, check the model on this machine, then 50 hosts
    python -m benchmarks.scale_model --hosts 20 --cores 32 --network 50
    python -m benchmarks.scale_model --assume        # the figures of docs/scaling.md instead of measured ones

What is measured: a real server imports one Parquet file with one worker, in splits of two sizes. Processor seconds of
the worker give the cost per MB and per split, those of the server the cost of looking after a split. A PostgreSQL
catalog is written to as for splits, one after the other as the lock on their job makes it. Then the model
predicts the same import with one worker and with two, and both are run: if it is off by more than ``TOLERANCE``, the
program says so and ends with 1. Where other programs use the processors too, that is to be expected.

The simulation: every split waits for a processor and for the server, and, while the processor works, for its host's
network and the object store's request rate; then it is noted in the catalog. Each of these serves in order of
arrival. Reading, computing and writing of one split overlap. What a model can't know, such as an object store that
slows down while it splits a busy prefix, it leaves out.
"""

from __future__ import annotations

import argparse
import heapq
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from benchmarks.files import write_parquet
from benchmarks.imports import schema_of
from benchmarks.machine import describe_machine
from penstock import Client
from penstock.domain.jobs import JobState
from tests.support.catalogs import input_file, new_job, new_split, opened_catalog, stored_collection
from tests.support.postgres import running_postgres
from tests.support.servers import running_server

__all__ = ["ASSUMED", "Cluster", "Costs", "Outcome", "simulate"]

MB = 1e6
TOLERANCE = 0.3
CATALOG_SPLITS = 200
FEW, MANY = "128MiB", "32MiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds. ``cpu_per_mb`` and ``cpu_per_split`` are a worker's; ``server_per_split`` is the server process's own
    time for a split, ``catalog_per_split`` the time its two writes keep a job's row locked, and ``task`` what Ray's
    driver takes for one. ``start`` is what a job takes beside its splits, ``fragment`` what a commit takes for each.
    """

    cpu_per_mb: float
    cpu_per_split: float
    server_per_split: float
    catalog_per_split: float = 0.0
    task: float = 0.0
    start: float = 0.3
    fragment: float = 29e-6


ASSUMED = Costs(
    cpu_per_mb=0.0041,
    cpu_per_split=0.01,
    server_per_split=0.004,
    catalog_per_split=0.006,
    task=0.0025,
)
"""Of the machine of docs/scaling.md. ``cpu_per_mb``, ``task`` and ``fragment`` were measured; ``server_per_split`` is
what its two writes take of a processor (3.1 ms) and a little more; ``catalog_per_split``
is that and PostgreSQL's part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """``network`` is bytes a second and direction of a host; ``gets`` and ``puts`` the store's requests a second, all
    hosts together."""

    hosts: int
    cores: int
    network: float = float("inf")
    gets: float = float("inf")
    puts: float = float("inf")
    get_bytes: float = 8 * 2**20
    put_bytes: float = 5 * 2**20
    """The engine's parts of an upload; two more requests begin and end one."""


@dataclass(slots=True)
class Line:
    """Something that serves in order of arrival, one at a time."""

    free: float = 0.0
    busy: float = 0.0

    def take(self, now: float, seconds: float) -> float:
        """When what arrives now has been served."""
        self.free = max(self.free, now) + seconds
        self.busy += seconds
        return self.free


@dataclass(frozen=True, slots=True)
class Outcome:
    """``load`` is the share of the time in which each part was busy; the one next to 1 bounds the import."""

    seconds: float
    commit: float
    splits: int
    load: dict[str, float] = field(default_factory=dict)

    @property
    def bottleneck(self) -> str:
        return max(self.load, key=lambda name: self.load[name])


def simulate(size: float, split: float, costs: Costs, cluster: Cluster, written: float = 1.0) -> Outcome:
    """One job of ``size`` bytes in parts of ``split``; ``written`` bytes go out for each that comes in."""
    count = max(1, round(size / split))
    each = size / count
    server, driver, catalog, gets, puts = Line(), Line(), Line(), Line(), Line()
    inward = [Line() for _ in range(cluster.hosts)]
    outward = [Line() for _ in range(cluster.hosts)]
    work = costs.cpu_per_split + costs.cpu_per_mb * each / MB
    requests_in = each / cluster.get_bytes + 1
    requests_out = each * written / cluster.put_bytes + 2
    # A core of a host that is free, by the time since when.
    idle = [(costs.start, host) for host in range(cluster.hosts) for _ in range(cluster.cores)]
    heapq.heapify(idle)
    last = costs.start
    computed = 0.0
    for _ in range(count):
        free, host = heapq.heappop(idle)
        given = driver.take(server.take(free, costs.server_per_split), costs.task)
        ended = max(
            given + work,
            inward[host].take(given, each / cluster.network),
            outward[host].take(given, each * written / cluster.network),
            gets.take(given, requests_in / cluster.gets),
            puts.take(given, requests_out / cluster.puts),
        )
        computed += work
        last = max(last, catalog.take(ended, costs.catalog_per_split))
        heapq.heappush(idle, (ended, host))
    staging = last - costs.start
    commit = count * costs.fragment
    load = {
        "processors": computed / (cluster.hosts * cluster.cores),
        "network": max(line.busy for line in [*inward, *outward]),
        "GET rate": gets.busy,
        "PUT rate": puts.busy,
        "server": server.busy,
        "Ray driver": driver.busy,
        "catalog": catalog.busy,
    }
    shares = {name: busy / staging for name, busy in load.items()}
    return Outcome(last + commit, commit, count, shares)


# Measuring


@dataclass(frozen=True, slots=True)
class Measured:
    """One import: wall seconds, and the processor seconds of the workers and of the server process."""

    splits: int
    wall: float
    workers: float
    server: float


def import_here(folder: Path, rows: int, dim: int, workers: int, split: str) -> Measured:
    """Import ``folder/files/data.parquet`` with a fresh server, after a warm-up."""
    with (
        running_server(folder, "--workers", str(workers), "--split-bytes", split) as server,
        server.client(timeout=600) as client,
    ):
        process = psutil.Process(server.process.pid)
        _import(client, "warm_up", rows, dim)
        before = _spent(process)
        began = time.perf_counter()
        _import(client, "measured", rows, dim)
        wall = time.perf_counter() - began
        after = _spent(process)
        for name in ("warm_up", "measured"):
            client.collections.drop(name)
        with closing(sqlite3.connect(server.data_dir / "catalog.db")) as catalog:
            splits = catalog.execute(
                "SELECT count(*) FROM job_split WHERE job_id = (SELECT max(id) FROM job)"
            ).fetchone()[0]
    return Measured(splits, wall, after[1] - before[1], after[0] - before[0])


def _import(client: Client, name: str, rows: int, dim: int) -> None:
    client.collections.create(name, schema=schema_of(dim))
    job = client.imports.wait(client.imports.create(name, ["data.parquet"]), poll=0.05)
    assert job.rows == rows


def _spent(server: psutil.Process) -> tuple[float, float]:
    """Processor seconds of the server process, and of its workers together."""
    return _seconds(server), sum(_seconds(child) for child in server.children())


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def costs_of(size: float, few: Measured, many: Measured) -> Costs:
    """What two sizes of splits tell; processor times too small to tell apart count as none."""
    per_split = max(0.0, (many.workers - few.workers) / (many.splits - few.splits))
    per_mb = (few.workers - per_split * few.splits) / (size / MB)
    server = max(0.0, (many.server - few.server) / (many.splits - few.splits))
    return Costs(cpu_per_mb=per_mb, cpu_per_split=per_split, server_per_split=server)


def catalog_here() -> float:
    """Seconds that the two writes for a split take in PostgreSQL on this machine."""
    note = {"rows": 1, "size": 1, "note": {"fragments": ["-" * 420], "files": {"-" * 60: 1}}}
    with running_postgres() as server, server.database() as url, opened_catalog(url) as catalog:
        catalog.jobs.insert(new_job(stored_collection(catalog)))
        job = catalog.leases.claim("model", 3_600_000)
        assert job is not None
        splits = [new_split()] * CATALOG_SPLITS
        job = catalog.leases.save_plan(catalog.leases.move(job, JobState.PLANNING), [input_file()], splits)
        began = time.perf_counter()
        for ordinal in range(CATALOG_SPLITS):
            catalog.leases.count_attempt(job, ordinal)
            catalog.leases.save_split(job, ordinal, rows=[1], staged=note, warnings=[])
        return (time.perf_counter() - began) / CATALOG_SPLITS


# What comes out


def check(folder: Path, rows: int, dim: int) -> tuple[Costs, bool]:
    """Measure, predict one worker and two, and tell whether that was right."""
    path = folder / "files" / "data.parquet"
    path.parent.mkdir()
    write_parquet(path, rows, dim)
    size = path.stat().st_size
    few, many = (import_here(folder, rows, dim, 1, split) for split in (FEW, MANY))
    costs = costs_of(size, few, many)
    # What a job takes beside its splits is the rest of the one-worker run.
    alone = simulate(size, size / many.splits, replace(costs, start=0.0), Cluster(hosts=1, cores=1))
    costs = replace(costs, start=max(0.0, many.wall - alone.seconds))
    pair = import_here(folder, rows, dim, 2, MANY)
    print(f"{rows:,} rows x {dim}, {size / MB:,.0f} MB; one worker, {few.splits} and {many.splits} splits")
    print(
        f"worker {costs.cpu_per_mb * 1e3:.2f} ms/MB and {costs.cpu_per_split * 1e3:.0f} ms/split; "
        f"server {costs.server_per_split * 1e3:.1f} ms/split; beside the splits {costs.start:.2f} s"
    )
    well = True
    for workers, split, found in ((1, FEW, few), (2, MANY, pair)):
        guess = simulate(size, size / found.splits, costs, Cluster(hosts=1, cores=workers)).seconds
        off = guess / found.wall - 1
        well &= abs(off) <= TOLERANCE
        print(f"{workers} workers, splits of {split}: predicted {guess:.2f} s, took {found.wall:.2f} s ({off:+.0%})")
    return costs, well


def tell(size: float, costs: Costs, cluster: Cluster) -> None:
    print(
        f"\n{size / 1e12:.1f} TB on {cluster.hosts} hosts of {cluster.cores} cores, "
        f"{cluster.network * 8 / 1e9:.0f} Gbit/s each; "
        f"{cluster.gets:,.0f} GET/s, {cluster.puts:,.0f} PUT/s of {cluster.put_bytes / 2**20:.0f} MiB"
    )
    names: list[str] = []
    for mebibytes in (16, 64, 256, 1024):
        found = simulate(size, mebibytes * 2**20, costs, cluster)
        if not names:
            names = list(found.load)
            print("| split | splits | import | commit | " + " | ".join(names) + " | bound by |")
            print("|---" * (len(names) + 5) + "|")
        shares = " | ".join(f"{found.load[name]:.0%}" for name in names)
        print(
            f"| {mebibytes} MiB | {found.splits:,} | {found.seconds:,.0f} s | {found.commit:.1f} s | "
            f"{shares} | {found.bottleneck} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="of the import that is measured")
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--assume", action="store_true", help="measure nothing")
    parser.add_argument("--terabytes", type=float, default=3.07)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--network", type=float, default=25.0, help="Gbit/s of a host, in each direction")
    parser.add_argument("--gets", type=float, default=5500.0, help="GET requests a second of the object store")
    parser.add_argument("--puts", type=float, default=3500.0)
    parser.add_argument("--put-bytes", type=float, default=5 * 2**20, help="size of the parts of an upload")
    options = parser.parse_args()
    costs, well = ASSUMED, True
    if not options.assume:
        with tempfile.TemporaryDirectory() as folder:
            found, well = check(Path(folder), options.rows, options.dim)
        catalog = catalog_here()
        print(f"two writes for a split in PostgreSQL: {catalog * 1e3:.1f} ms")
        print(describe_machine())
        costs = replace(found, catalog_per_split=catalog, task=ASSUMED.task, start=ASSUMED.start)
    tell(
        options.terabytes * 1e12,
        costs,
        Cluster(
            hosts=options.hosts,
            cores=options.cores,
            network=options.network * 1e9 / 8,
            gets=options.gets,
            puts=options.puts,
            put_bytes=options.put_bytes,
        ),
    )
    if not well:
        sys.exit(f"the model was off by more than {TOLERANCE:.0%}")


if __name__ == "__main__":
    main()
