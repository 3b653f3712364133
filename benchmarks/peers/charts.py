"""Results as charts (PNG), to be read at the width of a README page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.peers.results import EntryResult, Results

__all__ = ["draw_charts"]

# Of the colours by Okabe and Ito, which people with any colour vision tell apart; lightness differs too.
OURS, OTHERS, LIMIT = "#0072B2", "#999999", "#E0E0E0"
ORANGE = "#E69F00"
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.bottom": False,
    "axes.spines.left": False,
    "xtick.bottom": False,
    "xtick.labelbottom": False,
    "ytick.left": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.dpi": 150,
}
_FORMATS = {
    "parquet-768": "Parquet",
    "npy-768": "NumPy",
    "jsonl-768": "JSON Lines",
    "csv-768": "CSV",
    "json-768": "JSON list",
}


def draw_charts(results: Results, folder: Path) -> list[Path]:
    """Draw what the results allow; returns the files, which replace older ones."""
    charts = {"rates.png": _rates, "formats.png": _formats, "resources.png": _resources}
    drawn = []
    with mpl.rc_context(_STYLE):
        for name, draw in charts.items():
            if draw(results):
                plt.savefig(folder / name, bbox_inches="tight", metadata={"Software": None})
                plt.close()
                drawn.append(folder / name)
    return drawn


def _rates(results: Results) -> bool:
    """Rows per second of everybody, a panel per Parquet file."""
    sections = [section for name in ("parquet-768", "parquet-128") if (section := results.sections.get(name))]
    if not sections:
        return False
    height = sum(0.36 * len(section.entries) + 0.6 for section in sections)
    figure, panels = plt.subplots(
        len(sections),
        squeeze=False,
        figsize=(8, height),
        height_ratios=[len(section.entries) for section in sections],
    )
    for panel, section in zip(panels[:, 0], sections, strict=True):
        entries = sorted(section.entries.items(), key=lambda item: item[1].rows_per_second.median)
        most = max(entry.rows for _, entry in entries)
        _bars(
            panel,
            [
                (
                    _label(entry, most),
                    entry.rows_per_second.median,
                    f"{entry.rows_per_second.median:,.0f}",
                    _colour(name),
                )
                for name, entry in entries
            ],
        )
        panel.set_title(f"{section.title}: rows per second until countable")
    figure.tight_layout(h_pad=1.5)
    return True


def _formats(results: Results) -> bool:
    """Penstock, Milvus and the limit by format, on a logarithmic scale."""
    found = [(label, results.sections[name].entries) for name, label in _FORMATS.items() if name in results.sections]
    if not found:
        return False
    figure, axes = plt.subplots(figsize=(8, 0.55 * len(found) + 1))
    # The limit's figures stand below its marks: ours come close to it.
    kinds = (
        ("milvus", "Milvus 2.3.5", OTHERS, "s", 9, 0.0),
        ("penstock", "Penstock", OURS, "o", 9, 0.2),
        ("decode-write", "limit: decode + write + fsync", ORANGE, "|", -16, 0.36),
    )
    for row, (_, entries) in enumerate(reversed(found)):
        rates = {name: entries[name].rows_per_second.median for name, *_ in kinds if name in entries}
        axes.plot([min(rates.values()), max(rates.values())], [row, row], color=LIMIT, zorder=1, linewidth=2)
        for name, _, colour, marker, above, _ in kinds:
            if name in rates:
                size = 220 if marker == "|" else 60
                axes.scatter(rates[name], row, s=size, color=colour, marker=marker, zorder=2, linewidths=2.5)
                axes.annotate(
                    f"{rates[name]:,.0f}",
                    (rates[name], row),
                    (0, above),
                    textcoords="offset points",
                    ha="center",
                    color=colour if name == "decode-write" else "black",
                    fontsize=8,
                )
    for _, label, colour, _, _, place in kinds:
        axes.text(place, 1, label, transform=axes.transAxes, color=colour, fontweight="bold", fontsize=9)
    axes.set_xscale("log")
    axes.set_yticks(range(len(found)), [label for label, _ in reversed(found)])
    axes.set_ylim(-0.6, len(found) - 0.3)
    axes.margins(x=0.12)
    axes.tick_params(axis="x", which="both", bottom=False, labelbottom=False)
    axes.set_title("Rows of 768 dimensions per second until countable, by format (logarithmic scale)", pad=14)
    figure.tight_layout()
    return True


def _resources(results: Results) -> bool:
    """Processor time for as many rows, and memory, of one Parquet file."""
    section = results.sections.get("parquet-768")
    if section is None:
        return False
    entries = [item for item in section.entries.items() if item[0] not in ("decode", "decode-write")]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 0.4 * len(entries) + 0.8), sharey=True)

    def cpu(entry: EntryResult) -> float:
        return (entry.middle("cpu_seconds") or 0.0) / entry.rows * 100_000

    def peak(entry: EntryResult) -> float:
        return max(run.peak_bytes for run in entry.runs) / 2**20

    entries.sort(key=lambda item: -cpu(item[1]))
    most = max(entry.rows for _, entry in entries)
    for axes, figure_of, form in ((left, cpu, "{:.1f} s"), (right, peak, "{:,.0f} MiB")):
        bars = [
            (_label(each, most), figure_of(each), form.format(figure_of(each)), _colour(name))
            for name, each in entries
        ]
        _bars(axes, bars)
    left.set_title("Processor seconds per 100,000 rows × 768")
    right.set_title("Peak memory of all processes")
    figure.tight_layout(w_pad=2)
    return True


def _label(entry: EntryResult, most: int) -> str:
    """Who loads fewer rows than the others says so."""
    return entry.title if entry.rows == most else f"{entry.title} ({entry.rows:,} rows)"


def _colour(name: str) -> str:
    return OURS if name == "penstock" else LIMIT if name.startswith("decode") else OTHERS


def _bars(axes: Axes, bars: Iterable[tuple[str, float, str, str]]) -> None:
    """Horizontal bars, the last one on top: label, length, text at its end, colour."""
    labels, lengths, texts, colours = zip(*bars, strict=True)
    drawn = axes.barh(range(len(labels)), lengths, color=colours, height=0.7)
    axes.bar_label(drawn, texts, padding=4)
    axes.set_yticks(range(len(labels)), labels)
    axes.margins(x=0.15)
