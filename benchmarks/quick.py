"""Compare imports with the limit of the machine, in under five minutes, and with the ratio recorded before.

    python -m benchmarks.quick                       # exit code 1 if a case has become 1.3 times slower
    python -m benchmarks.quick --record              # write the ratios of this machine
    python -m benchmarks.quick --only parquet-768 --pairs 9
    python -m benchmarks.quick --machine machine-2   # whose ratios to compare with, or to write

Rows per second say little on another machine, or on this one on another day. So each case is measured beside "decode
+ write + fsync" of the same file, in alternating pairs, and two ratios are compared with those in
``benchmarks/results/MACHINE/quick.json``: of the times by the clock, and of the processor times, which the other
programs on a machine disturb less. The median of the pairs counts. A case that seems slower is measured again, with
twice as many pairs, before it is called so.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
from pydantic import BaseModel

from benchmarks.peers.contenders import DECODE_WRITE, PENSTOCK
from benchmarks.peers.data import DataSet
from benchmarks.peers.results import EntryResult, SectionResult, Spread, started_now
from benchmarks.peers.running import run_section
from benchmarks.peers.sections import Entry, Section
from benchmarks.peers.tables import table

__all__ = ["CASES", "SLOWER", "QuickResults", "Ratios", "compare", "slower_cases"]

RESULTS = Path(__file__).parent / "results"
PAIRS = 5
POLL = 0.1
"""Seconds between two questions for a job's state. More often, a loaded server's processor time would be theirs."""
SLOWER = 1.3
"""How many times slower, in relation to the limit, is too slow."""
MOST_LOAD = 1.5 * (psutil.cpu_count() or 1)
"""Load average beyond which times by the clock are not compared. The measurements themselves make one per core."""
CASES = {
    "parquet-768": DataSet(format="parquet", rows=100_000, dim=768),
    "parquet-128": DataSet(format="parquet", rows=400_000, dim=128),
    "json-768": DataSet(format="json", rows=15_000, dim=768),
    "jsonl-768": DataSet(format="jsonl", rows=15_000, dim=768),
    "csv-768": DataSet(format="csv", rows=15_000, dim=768),
}


class Ratios(BaseModel, frozen=True):
    """An import's share of the limit's speed, by the clock and by processor time; 1 is as fast as the limit.

    ``load`` is the median load average before the measurements. ``clock`` is None where other programs kept the
    processors busy: workers have a low priority, the limit has not.
    """

    load: float
    clock: Spread | None
    processor: Spread

    @classmethod
    def of(cls, section: SectionResult) -> Ratios:
        ours, limit = section.entries["penstock"], section.entries["limit"]
        load = statistics.median(run.load_average for entry in (ours, limit) for run in entry.runs)
        return cls(
            load=load,
            clock=None if load > MOST_LOAD else ours.times_as_fast_as(limit),
            processor=Spread.of(_processor_ratios(ours, limit)),
        )

    def named(self) -> Iterator[tuple[str, Spread | None]]:
        yield "clock", self.clock
        yield "processor", self.processor


class QuickResults(BaseModel, frozen=True):
    """The ratios by case, and what they were measured on."""

    date: str
    command: str
    machine: str
    cases: Mapping[str, Ratios]


def _processor_ratios(ours: EntryResult, limit: EntryResult) -> list[float]:
    theirs = {run.pair: run.cpu_seconds for run in limit.runs}
    return [theirs[run.pair] / run.cpu_seconds for run in ours.runs if run.pair in theirs]


def compare(recorded: Mapping[str, Ratios], measured: Mapping[str, Ratios]) -> Iterator[tuple[str, ...]]:
    """Rows of a table: a case and what was measured, its ratio recorded before and now, and the verdict."""
    yield "case", "time", "share of the limit before", "now", "verdict"
    for case, ratios in measured.items():
        for name, now in ratios.named():
            before = dict(recorded[case].named())[name] if case in recorded else None
            yield case, name, _text(before), _text(now), _verdict(before, now)


def _text(spread: Spread | None) -> str:
    return "" if spread is None else f"{spread.median:.2f} ({spread.least:.2f} to {spread.largest:.2f})"


def _verdict(before: Spread | None, now: Spread | None) -> str:
    if now is None:
        return "not comparable: other programs kept the processors busy"
    if before is None:
        return "not recorded"
    if now.median >= before.median:
        return f"{now.median / before.median:.2f} times faster"
    return f"{before.median / now.median:.2f} times slower"


def slower_cases(recorded: Mapping[str, Ratios], measured: Mapping[str, Ratios]) -> list[str]:
    """The cases of which a median ratio has fallen by the factor :data:`SLOWER`."""
    return [
        case
        for case, ratios in measured.items()
        if case in recorded
        and any(
            before is not None and now is not None and before.median >= SLOWER * now.median
            for (_, before), (_, now) in zip(recorded[case].named(), ratios.named(), strict=True)
        )
    ]


def main() -> None:
    options = _parse()
    file = RESULTS / options.machine / "quick.json"
    if not (options.record or file.exists()):
        sys.exit(f"{file} does not exist: make it with --record, by a version whose speed is right")
    recorded = QuickResults.model_validate_json(file.read_text()).cases if file.exists() else {}
    names: Sequence[str] = options.only or list(CASES)
    began = started_now() | {"command": " ".join(["python -m benchmarks.quick", *sys.argv[1:]])}
    measured = {name: Ratios.of(run_section(_section(name), options.pairs, _tell)) for name in names}
    slower = [] if options.record else slower_cases(recorded, measured)
    for name in slower:
        _tell(f"{name} seems slower: measured again")
        measured[name] = Ratios.of(run_section(_section(name), 2 * options.pairs, _tell))
    print("\n" + table(compare(recorded, measured)))
    if options.record:
        results = QuickResults(**began, cases={**recorded, **measured})
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(results.model_dump_json(indent=1) + "\n")
        return
    if slower := slower_cases(recorded, {name: measured[name] for name in slower}):
        sys.exit(
            f"{SLOWER} times slower than recorded in {file}: {', '.join(slower)}. `python -m benchmarks.job_profile` "
            "shows where the time goes"
        )


def _section(name: str) -> Section:
    data = CASES[name]
    return Section(
        name=name,
        title=name,
        entries=(
            Entry(name="limit", contender=DECODE_WRITE, data=data),
            Entry(name="penstock", contender=replace(PENSTOCK, poll=POLL), data=data),
        ),
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quick", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"turns of each case ({PAIRS})")
    parser.add_argument("--record", action="store_true", help="write the ratios instead of comparing")
    parser.add_argument("--machine", default="machine-1", metavar="LABEL", help="whose ratios (machine-1)")
    return parser.parse_args()


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    main()
