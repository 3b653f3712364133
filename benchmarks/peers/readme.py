"""The parts of ``docs/benchmarks.md`` and of the README that are made from the results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.peers.machines import Machine, Report, compare_figures
from benchmarks.peers.tables import rates_table, ratios_of, table

__all__ = ["BEGIN", "END", "HEADING", "with_figures", "with_results"]

BEGIN = "<!-- made by `python -m benchmarks.peers --readme`; begin -->"
END = "<!-- end of what is made -->"
HEADING = "## Benchmarks\n"

_FIGURES_OF = ("parquet-768", "parquet-128", "json-768", "jsonl-768", "csv-768", "npy-768")
_RATIOS = {
    "milvus": ("times Milvus 2.3.5", "Parquet 200,000 × 768, times Milvus 2.3.5"),
    "lancedb": ("times LanceDB", "the same, share of LanceDB's table.add"),
    "decode-write": ("share of decode + write + fsync", "the same, share of the limit decode + write + fsync"),
}
"""Contenders: the heading of a column, and the figure that a report has of it."""
_REPORTED = "Parquet, 200,000 × 768"

_EXPLANATION = """\
Rows per second until all rows are visible, medians of alternating runs. The results depend on the speed of page cache
and disk: another machine of the same kind may reach half of them. Rely on the lowest figure of a row only."""

_CHARTS = {
    "rates.png": "Rows per second of all contenders, Parquet",
    "formats.png": "Rows per second by format: Penstock, Milvus and the limit",
    "resources.png": "Processor time and memory of all contenders",
}


def with_results(readme: str, machines: Sequence[Machine], reports: Sequence[Report], folder: Path) -> str:
    """The README's text with its part made anew, or put in below the heading when it isn't there yet.

    Args:
        folder: the folder of the results, as seen from the README; charts are those of the first machine.

    Raises:
        ValueError: neither the marks nor the heading are there.
    """
    part = f"{BEGIN}\n{_part(machines, reports, folder)}\n{END}"
    if BEGIN in readme and END in readme:
        before, _, rest = readme.partition(BEGIN)
        return f"{before}{part}{rest.partition(END)[2]}"
    if HEADING not in readme:
        raise ValueError(f"the README needs the heading {HEADING.strip()!r}, below which the results shall stand")
    before, _, after = readme.partition(HEADING)
    return f"{before}{HEADING}\n{part}\n{after}"


def with_figures(readme: str, machines: Sequence[Machine], reports: Sequence[Report]) -> str:
    """The README's text with its table of figures made anew.

    Raises:
        ValueError: the marks are not there.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the README needs the marks {BEGIN!r} and {END!r}, between which its figures shall stand")
    return f"{before}{BEGIN}\n{table(_figure_rows(machines, reports))}\n{END}{after}"


def _figure_rows(machines: Sequence[Machine], reports: Sequence[Report]) -> Iterator[tuple[str, ...]]:
    yield "", "machine", "rows per second", *(heading for heading, _ in _RATIOS.values())
    for name in _FIGURES_OF:
        for machine in machines:
            section = machine.results.sections.get(name)
            if section is not None:
                rate, *ratios = ratios_of(section, list(_RATIOS))
                yield section.title, machine.title, f"**{rate}**", *ratios
    for report in reports:
        figures = [report.figures.get(figure) for _, figure in _RATIOS.values()]
        yield _REPORTED, report.label, "", *("" if figure is None else f"{figure:g}" for figure in figures)


def _range_of(disks: Iterable[str]) -> list[str]:
    """The slowest and the fastest disk of one machine's sections."""
    by_rate = sorted(disks, key=lambda disk: int(disk.partition(" at ")[2].partition(" MiB/s")[0].replace(",", "")))
    return by_rate if len(by_rate) <= 2 else [f"from {by_rate[0]} to {by_rate[-1]}"]


def _part(machines: Sequence[Machine], reports: Sequence[Report], folder: Path) -> str:
    parts = [_EXPLANATION]
    for machine in machines:
        sections = machine.results.sections.values()
        dates = sorted({section.date.split(" ")[0] for section in sections})
        kinds = sorted({section.machine for section in sections})
        disks = _range_of({section.disk for section in sections} - {"not measured"})
        tables = sorted({section.tables for section in sections})
        report = folder / machine.label / "peers.md"
        parts.append(
            f"**{machine.title}** ({' and '.join(dates)}): {' and '.join([*kinds, *disks])}; tables are "
            f"{' or '.join(tables)}. What each contender does and does not do, processor time, memory, indexes and "
            f"spread: [{report}]({report})."
        )
        parts.append(rates_table(machine.results))
    parts += [f"**{report.label}** ({report.date}): {report.machine}; {report.conditions}." for report in reports]
    parts.append(table(compare_figures(machines, reports)))
    parts += [
        f"![{text} ({machines[0].title})]({folder / machines[0].label / name})" for name, text in _CHARTS.items()
    ]
    return "\n\n".join(parts)
