"""The figures that were asked for, beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from benchmarks.peers.results import EntryResult, Results

__all__ = ["Figure", "measured_figures"]

Measure = Callable[[Results], tuple[float, str] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """``holds`` is None where what it needs wasn't measured."""

    name: str
    wanted: str
    measured: str
    holds: bool | None
    limit: float
    at_least: bool

    def holds_for(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """``measure`` gives the figure and its text, None where a measurement is missing; ``text`` tells the limit."""

    name: str
    limit: float
    measure: Measure
    text: str
    at_least: bool = True

    def figure(self, measured: str, holds: bool | None) -> Figure:
        return Figure(
            name=self.name,
            wanted=self.text,
            measured=measured,
            holds=holds,
            limit=self.limit,
            at_least=self.at_least,
        )


def measured_figures(results: Results) -> Iterator[Figure]:
    for wanted in _WANTED:
        found = wanted.measure(results)
        if found is None:
            yield wanted.figure("not measured", holds=None)
            continue
        value, text = found
        figure = wanted.figure(text, holds=None)
        yield replace(figure, holds=figure.holds_for(value))


def _ratio(section: str, first: str, second: str) -> Measure:
    """How many times as fast the first is as the second, the median of the pairs."""

    def measure(results: Results) -> tuple[float, str] | None:
        one, other = results.entry(section, first), results.entry(section, second)
        ratio = one.times_as_fast_as(other) if one and other else None
        if ratio is None:
            return None
        digits = 2 if ratio.median < 10 else 0
        text = f"{ratio.median:.{digits}f} ({ratio.least:.{digits}f} to {ratio.largest:.{digits}f})"
        return ratio.median, text

    return measure


def _rate(section: str) -> Measure:
    def measure(results: Results) -> tuple[float, str] | None:
        if (entry := results.entry(section, "penstock")) is None:
            return None
        rate = entry.rows_per_second
        return rate.median, f"{rate.median:,.0f} rows/s ({rate.least:,.0f} to {rate.largest:,.0f})"

    return measure


def _of(section: str, name: str, take: Callable[[EntryResult], float | None], text: str) -> Measure:
    def measure(results: Results) -> tuple[float, str] | None:
        entry = results.entry(section, name)
        figure = take(entry) if entry else None
        return None if figure is None else (figure, text.format(figure))

    return measure


def _quotient(
    section: str, above: str, below: str, take: Callable[[EntryResult], float | None], text: str
) -> Measure:
    def measure(results: Results) -> tuple[float, str] | None:
        figures = [take(entry) if (entry := results.entry(section, name)) else None for name in (above, below)]
        first, second = figures
        if first is None or second is None:
            return None
        return first / second, text.format(first / second, first, second)

    return measure


def _seconds(entry: EntryResult) -> float | None:
    return entry.middle("seconds")


def _search_ms(entry: EntryResult) -> float | None:
    return entry.middle("search_ms")


def _peak_mib(entry: EntryResult) -> float:
    return max(run.peak_bytes for run in entry.runs) / 2**20


_WANTED = (
    _Wanted(
        name="Parquet 200,000 × 768, times Milvus 2.3.5",
        limit=12,
        text="12 (aim: 20)",
        measure=_ratio("parquet-768", "penstock", "milvus"),
    ),
    _Wanted(
        name="the same, share of the limit decode + write + fsync",
        limit=0.8,
        text="0.8 (aim: 1)",
        measure=_ratio("parquet-768", "penstock", "decode-write"),
    ),
    _Wanted(
        name="the same, share of LanceDB's table.add",
        limit=1,
        text="1",
        measure=_ratio("parquet-768", "penstock", "lancedb"),
    ),
    _Wanted(
        name="Parquet 1,000,000 × 128, times Milvus 2.3.5",
        limit=6,
        text="6",
        measure=_ratio("parquet-128", "penstock", "milvus"),
    ),
    _Wanted(
        name="the same, times Milvus Lite",
        limit=50,
        text="50",
        measure=_ratio("parquet-128", "penstock", "milvus-lite"),
    ),
    _Wanted(
        name="the same, share of the limit",
        limit=0.7,
        text="0.7",
        measure=_ratio("parquet-128", "penstock", "decode-write"),
    ),
    _Wanted(name="JSON 50,000 × 768", limit=15_000, text="15,000 rows/s", measure=_rate("json-768")),
    _Wanted(name="the same, times Milvus 2.3.5", limit=8, text="8", measure=_ratio("json-768", "penstock", "milvus")),
    _Wanted(name="JSON Lines 50,000 × 768", limit=35_000, text="35,000 rows/s", measure=_rate("jsonl-768")),
    _Wanted(name="CSV 50,000 × 768", limit=20_000, text="20,000 rows/s", measure=_rate("csv-768")),
    _Wanted(
        name="NumPy 200,000 × 768",
        limit=120_000,
        text="120,000 rows/s (aim: 250,000)",
        measure=_rate("npy-768"),
    ),
    _Wanted(
        name="two workers, times one: Parquet 200,000 × 768",
        limit=1.7,
        text="1.7",
        measure=_ratio("workers", "penstock-2", "penstock-1"),
    ),
    _Wanted(
        name="the same: JSON Lines 50,000 × 768",
        limit=1.7,
        text="1.7",
        measure=_ratio("workers-jsonl", "penstock-2", "penstock-1"),
    ),
    _Wanted(
        name="10,000 files of 100 rows, one job",
        limit=60,
        at_least=False,
        text="under 60 s",
        measure=_of("files", "penstock-10000", _seconds, "{:.1f} s"),
    ),
    _Wanted(
        name="the next search after it, times that after 1 file",
        limit=1.2,
        at_least=False,
        text="no slower",
        measure=_quotient("files", "penstock-10000", "penstock-1", _search_ms, "{:.2f} ({:.0f} ms and {:.0f} ms)"),
    ),
    _Wanted(
        name="a job of one row, create to Completed",
        limit=0.3,
        at_least=False,
        text="under 0.3 s",
        measure=_of("tiny", "penstock", _seconds, "{:.3f} s"),
    ),
    _Wanted(
        name="peak memory with a budget of 768 MiB, 12 GB of Parquet",
        limit=1024,
        at_least=False,
        text="under 1,024 MiB",
        measure=_of("memory", "penstock-4000000", _peak_mib, "{:,.0f} MiB"),
    ),
    _Wanted(
        name="the same, times that of 3 GB",
        limit=1.1,
        at_least=False,
        text="the same",
        measure=_quotient(
            "memory", "penstock-4000000", "penstock-1000000", _peak_mib, "{:.2f} ({:,.0f} and {:,.0f} MiB)"
        ),
    ),
)
