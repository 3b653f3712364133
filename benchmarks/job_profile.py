"""Where the time of one import job goes: by process, by stage, by split.

    python -m benchmarks.job_profile
    python -m benchmarks.job_profile --format jsonl --rows 50000 --runs 3
    python -m benchmarks.job_profile --against ../other-checkout/src --pairs 7

A real server with all its workers imports a file over HTTP, after a warm-up. The first table has what each process
used from the create call to the moment at which the rows count: seconds by the clock in tasks, of user and system
time, minor page faults, bytes written, the time for which its threads could run and had no processor (other programs
had it), and the time that they waited for block devices (measured only where ``sysctl kernel.task_delayacct=1``). The
second one has the same by stage, the third when each split ran. ``idle`` of a worker is the time in which it had no
task; ``waiting`` of a stage is what is left of its time by the clock: for a disk, a lock, another thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.files import WRITERS
from benchmarks.imports import schema_of
from benchmarks.machine import describe_disk, describe_machine
from benchmarks.profiled_server import FOLDER, Usage, process_usage
from penstock import Client
from tests.support.servers import RunningServer, running_server

OWN = Path(__file__).parents[1] / "src"
POLL = 0.02
WARM_ROWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task of a worker, or a step of the job in the server; ``start`` and ``end`` in seconds of its clock."""

    pid: int
    name: str
    start: float
    end: float
    stages: dict[str, Usage]
    total: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One job: what each process used, and its tasks."""

    start: float
    end: float
    server: int
    processes: dict[int, Usage]
    tasks: Sequence[Task]

    @property
    def wall(self) -> float:
        return self.end - self.start

    def of(self, pid: int) -> list[Task]:
        return [task for task in self.tasks if task.pid == pid]


def main() -> None:
    options = _parse()
    flags = [] if options.workers is None else ["--workers", str(options.workers)]

    def measured(source: Path) -> list[Profile]:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            os.sync()
            return measure(Path(name), options.format, options.rows, options.dim, options.runs, flags, source)

    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        print(f"{describe_machine()}; {describe_disk(Path(name))}")
    if options.against is None:
        print("\n".join(report(measured(OWN))))
        return
    other = options.against.resolve()
    pairs = []
    for number in range(options.pairs):
        versions = [OWN, other] if number % 2 else [other, OWN]  # none is always the first
        profiles = {version: measured(version) for version in versions}
        pairs.append((profiles[OWN], profiles[other]))
        print("\n".join(compared(pairs)), flush=True)


def measure(
    folder: Path, format: str, rows: int, dim: int, runs: int, flags: Sequence[str], source: Path = OWN
) -> list[Profile]:
    """Import a file so many times with one server, in an empty folder.

    ``flags`` are those of ``penstock serve``, ``source`` is the folder of its modules.
    """
    records = folder / "records"
    records.mkdir()
    with (
        running_server(
            folder,
            *flags,
            workers=None,
            env={FOLDER: str(records), "PYTHONPATH": str(source)},
            program=(sys.executable, "-m", "benchmarks.profiled_server"),
        ) as server,
        server.client(timeout=600) as client,
    ):
        path = _written(server.import_root, format, rows, dim)
        warm = _written(server.import_root / "warm", format, WARM_ROWS, dim)
        _profile(server, client, records, [warm] * 2, WARM_ROWS * 2, dim)
        profiles = []
        for _ in range(runs):
            os.sync()
            profiles.append(_profile(server, client, records, [path], rows, dim))
        return profiles


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=WRITERS, default="parquet")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--against", type=Path, metavar="SRC", help="modules of another version, to compare with")
    parser.add_argument("--pairs", type=int, default=7, help="servers of each version that alternate (7)")
    parser.add_argument("--workers", type=int, help="of the server; its default if not given")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; that of temporary files if not given")
    return parser.parse_args()


def _written(folder: Path, format: str, rows: int, dim: int) -> str:
    """The path of a new file, as the server is to be given it."""
    folder.mkdir(exist_ok=True)
    path = folder / ("data" if format == "npy" else f"data.{format}")
    WRITERS[format](path, rows, dim)
    return f"{path}/" if path.is_dir() else str(path)


def _profile(
    server: RunningServer, client: Client, records: Path, paths: Sequence[str], rows: int, dim: int
) -> Profile:
    name = f"c{time.monotonic_ns()}"
    client.collections.create(name, schema=schema_of(dim))
    pids = [server.process.pid, *(child.pid for child in psutil.Process(server.process.pid).children(recursive=True))]
    before = {pid: process_usage(pid) for pid in pids}
    start = time.monotonic()
    client.imports.wait(client.imports.create(name, paths), poll=POLL)
    counted = client.count(name)
    end = time.monotonic()
    processes = {pid: process_usage(pid) - usage for pid, usage in before.items()}
    if counted != rows:
        raise RuntimeError(f"{counted} rows count, {rows} were given")
    client.collections.drop(name)
    tasks = [task for task in _tasks(records) if start <= task.start and task.end <= end]
    working = {pid: usage for pid, usage in processes.items() if pid == pids[0] or any(t.pid == pid for t in tasks)}
    return Profile(start=start, end=end, server=pids[0], processes=working, tasks=tasks)


def _tasks(records: Path) -> Iterator[Task]:
    for file in sorted(records.iterdir()):
        for line in file.read_text().splitlines():
            told: dict[str, Any] = json.loads(line)
            yield Task(
                pid=told["pid"],
                name=told["task"],
                start=told["start"],
                end=told["end"],
                stages={name: Usage(**usage) for name, usage in told["stages"].items()},
                total=Usage(**told["total"]),
            )


def compared(pairs: Sequence[tuple[Sequence[Profile], Sequence[Profile]]]) -> Iterator[str]:
    """The lines that compare pairs of this version and another: medians of each server's jobs."""
    yield f"{len(pairs)} pairs"
    rows = []
    for name, take in _FIGURES.items():
        ours, theirs = ([statistics.median(map(take, pair[side])) for pair in pairs] for side in (0, 1))
        ratios = [other / own for own, other in zip(ours, theirs, strict=True)]
        rows.append([name, *(f"{statistics.median(figures):,.2f}" for figures in (ours, theirs)), _spread(ratios)])
    yield from _table(["figure", "this version", "the other", "the other, times this one"], rows)


def _spread(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


_FIGURES: dict[str, Callable[[Profile], float]] = {
    "seconds by the clock": lambda profile: profile.wall,
    "processor seconds": lambda profile: sum(usage.user + usage.system for usage in profile.processes.values()),
    "the workers' processor seconds": lambda profile: sum(
        usage.user + usage.system for pid, usage in profile.processes.items() if pid != profile.server
    ),
    "thousands of page faults": lambda profile: sum(usage.faults for usage in profile.processes.values()) / 1000,
    "seconds of fsync in the workers": lambda profile: sum(
        task.stages["fsync"].wall for task in profile.tasks if "fsync" in task.stages and task.pid != profile.server
    ),
}


def report(profiles: Sequence[Profile]) -> Iterator[str]:
    """The lines of the report; its tables are those of the run of the median time."""
    middle = sorted(profiles, key=lambda profile: profile.wall)[len(profiles) // 2]
    walls = [profile.wall for profile in profiles]
    used = [sum(each.user + each.system for each in profile.processes.values()) for profile in profiles]
    yield (
        f"{len(profiles)} runs: {statistics.median(walls):.2f} s ({min(walls):.2f} to {max(walls):.2f}), "
        f"{statistics.median(used):.2f} s of processor time ({min(used):.2f} to {max(used):.2f}); "
        f"below, the run of {middle.wall:.2f} s"
    )
    names = {pid: f"worker {number}" for number, pid in enumerate(sorted(middle.processes.keys() - {middle.server}))}
    names[middle.server] = "server"
    rows = []
    for pid, name in sorted(names.items(), key=lambda pair: pair[1]):
        busy = sum(task.end - task.start for task in middle.of(pid))
        idle = "" if pid == middle.server else f"{middle.wall - busy:.2f}"
        rows.append([name, f"{busy:.2f}", idle, *_cells(middle.processes[pid])])
    yield from _table(["process", "in tasks", "idle", *_HEADINGS], rows)
    sums: dict[tuple[str, str], Usage] = defaultdict(Usage)
    for task in middle.tasks:
        for stage, usage in task.stages.items():
            where = "server" if task.pid == middle.server else task.name
            sums[where, stage] += usage
    yield from _table(
        ["task", "stage", "wall", "waiting", *_HEADINGS],
        (
            [
                where,
                stage,
                f"{usage.wall:.2f}",
                f"{max(0, usage.wall - usage.user - usage.system):.2f}",
                *_cells(usage),
            ]
            for (where, stage), usage in sums.items()
        ),
    )
    yield from _table(
        ["from", "to", "process", "task"],
        (
            [f"{task.start - middle.start:.3f}", f"{task.end - middle.start:.3f}", names[task.pid], task.name]
            for task in sorted(middle.tasks, key=lambda task: task.start)
        ),
    )


_HEADINGS = ("user", "system", "faults", "MB written", "queued", "disk")


def _cells(usage: Usage) -> list[str]:
    return [
        f"{usage.user:.2f}",
        f"{usage.system:.2f}",
        f"{usage.faults:,}",
        f"{usage.written / 1e6:,.0f}",
        f"{usage.queued:.2f}",
        f"{usage.disk:.2f}",
    ]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    table = [headings, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    yield ""
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


if __name__ == "__main__":
    main()
