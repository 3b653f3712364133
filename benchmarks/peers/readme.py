"""The README's part that is made from the results."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.results import Results
from benchmarks.peers.tables import readme_text

__all__ = ["BEGIN", "END", "HEADING", "with_results"]

BEGIN = "<!-- made by `python -m benchmarks.peers --readme`; begin -->"
END = "<!-- end of what is made -->"
HEADING = "## Benchmarks\n"

_CHARTS = {
    "rates.png": "Rows per second of everybody, Parquet",
    "formats.png": "Rows per second by format: Penstock, Milvus and the limit",
    "resources.png": "Processor time and memory of everybody",
}


def with_results(readme: str, results: Results, charts: Path) -> str:
    """The README's text with its part made anew, or put in below the heading when it isn't there yet.

    Args:
        charts: the folder with the charts, as seen from the README.

    Raises:
        ValueError: neither the marks nor the heading are there.
    """
    part = f"{BEGIN}\n{_part(results, charts)}\n{END}"
    if BEGIN in readme and END in readme:
        before, _, rest = readme.partition(BEGIN)
        return f"{before}{part}{rest.partition(END)[2]}"
    if HEADING not in readme:
        raise ValueError(f"the README needs the heading {HEADING.strip()!r}, below which the results shall stand")
    before, _, after = readme.partition(HEADING)
    return f"{before}{HEADING}\n{part}\n{after}"


def _part(results: Results, charts: Path) -> str:
    dates = sorted({section.date.split(" ")[0] for section in results.sections.values()})
    machines = sorted({section.machine for section in results.sections.values()})
    head = (
        f"Rows per second until every row counts, medians of alternating runs, {' and '.join(dates)}, "
        f"{' and '.join(machines)}. What each contender does and doesn't do, processor time, memory, indexes and "
        f"spread: [{charts}/peers.md]({charts}/peers.md)."
    )
    images = [f"![{text}]({charts / name})" for name, text in _CHARTS.items()]
    return "\n\n".join([head, readme_text(results), *images])
