"""Results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.peers.figures import measured_figures
from benchmarks.peers.results import EntryResult, Results, SectionResult, Spread

__all__ = ["rates_table", "ratios_of", "report_text", "table"]

_HOLDS = {True: "yes", False: "**no**", None: ""}


def report_text(results: Results) -> str:
    """All tables, with what each contender does."""
    parts = ["# Benchmarks side by side", _EXPLANATION, "## Figures asked for", _figures(results)]
    for section in results.sections.values():
        conditions = f"{section.machine}; disk: {section.disk}; tables are {section.tables}"
        parts += [
            f"## {section.title}",
            f"{section.date}, `{section.command}`, {conditions}. {_turns(section)}",
            table(_section_rows(section)),
        ]
    parts += ["## What each does", table(_contenders(results))]
    return "\n\n".join(parts) + "\n"


def rates_table(results: Results) -> str:
    """The same in short: rows per second of Penstock and of the others, by files."""
    return table(_short_rows(results))


def ratios_of(section: SectionResult, others: Sequence[str]) -> Iterator[str]:
    """Penstock's rows per second, and how many times as fast as the others it is, with the spread."""
    ours = section.entries["penstock"]
    yield f"{ours.rows_per_second.median:,.0f}"
    for name in others:
        other = section.entries.get(name)
        yield _ratio(ours.times_as_fast_as(other)) if other else ""


def _figures(results: Results) -> str:
    return table(_figure_rows(results))


def _figure_rows(results: Results) -> Iterator[tuple[str, ...]]:
    yield "Figure", "Asked for", "Measured (least to largest)", "Holds"
    for figure in measured_figures(results):
        yield figure.name, figure.wanted, figure.measured, _HOLDS[figure.holds]


def _section_rows(section: SectionResult) -> Iterator[tuple[str, ...]]:
    yield (
        *("", "rows", "runs", "rows/s", "MB/s", "CPU s", "peak memory", "countable after", "index", "index runs"),
        *(["Penstock is × as fast"] if "penstock" in section.entries else []),
    )
    ours = section.entries.get("penstock")
    for entry in section.entries.values():
        index = entry.middle("index_seconds")
        ratio = ours.times_as_fast_as(entry) if ours and entry is not ours else None
        yield (
            entry.title,
            f"{entry.rows:,}",
            str(len(entry.runs)),
            _spread(entry.rows_per_second, "{:,.0f}"),
            f"{entry.bytes_per_second.median / 1e6:,.0f}",
            f"{entry.middle('cpu_seconds'):.1f}",
            f"{max(run.peak_bytes for run in entry.runs) / 2**20:,.0f} MiB",
            f"{entry.middle('seconds'):.2f} s",
            "" if index is None else f"+ {index:.1f} s",
            "" if index is None else str(sum(run.index_seconds is not None for run in entry.runs)),
            *([_ratio(ratio)] if ours else []),
        )


def _short_rows(results: Results) -> Iterator[tuple[str, ...]]:
    yield (
        "",
        "Penstock",
        "Milvus 2.3.5",
        "decode + write + fsync",
        "LanceDB",
        "pgvector",
        "Milvus Lite",
        "Chroma",
        "Qdrant local",
    )
    others = ("milvus", "decode-write", "lancedb", "pgvector", "milvus-lite", "chroma", "qdrant-local")
    for section in results.sections.values():
        ours = section.entries.get("penstock")
        if ours is None or "decode-write" not in section.entries:
            continue
        cells = [_rate(section.entries.get(name), ours) for name in others]
        yield section.title, f"**{ours.rows_per_second.median:,.0f}**", *cells


def _rate(entry: EntryResult | None, ours: EntryResult) -> str:
    """Rows per second, with the number of rows where it is less than Penstock's."""
    if entry is None:
        return ""
    fewer = "" if entry.rows == ours.rows else f" ({entry.rows:,} rows)"
    return f"{entry.rows_per_second.median:,.0f}{fewer}"


def _contenders(results: Results) -> Iterator[tuple[str, ...]]:
    yield "Contender", "Versions", "What it does"
    seen: dict[str, tuple[str, str]] = {}
    for section in results.sections.values():
        for entry in section.entries.values():
            versions = ", ".join(f"{name} {version}" for name, version in entry.versions.items())
            seen.setdefault(entry.title, (versions, entry.does))
    for title, (versions, does) in seen.items():
        yield title, versions, does


def _turns(section: SectionResult) -> str:
    loads = [run.load_average for entry in section.entries.values() for run in entry.runs]
    return f"Load average before the measurements: {min(loads):.1f} to {max(loads):.1f}."


def _ratio(ratio: Spread | None) -> str:
    return "" if ratio is None else _spread(ratio, "{:.2f}" if ratio.median < 10 else "{:.0f}")


def _spread(spread: Spread, form: str) -> str:
    middle, least, largest = (form.format(each) for each in (spread.median, spread.least, spread.largest))
    return f"{middle} ({least} to {largest})"


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """The first row is the heading."""
    head, *body = rows
    lines = [head, ("---",) * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


_EXPLANATION = """\
Made by `python -m benchmarks.peers`. All contenders of a section take turns in one run; each measurement begins with
new processes and an empty folder, warms up with 1,000 rows, and then loads files that are in the page cache. Figures
are medians, with the least and the largest in parentheses; peak memory is the largest of all runs. "× as fast" is
the ratio of rows per second within a pair, the median of the pairs. "CPU s" counts all processes of a contender while
it loads, memory is the sum of their proportional set sizes, sampled up to ten times a second. "Countable
after" is the time from the call until every row counts, "index" what an inverted-file index with a list per 4,096
rows takes after that (scalar-quantised; pgvector has it unquantised). Contenders that would take long load fewer
rows, or take part in fewer turns: see the columns "rows" and "runs"."""
