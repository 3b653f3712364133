"""Results of several machines side by side.

Each machine has a folder below ``benchmarks/results``, named by its label, with a ``peers.json`` of its own. Figures
that somebody else measured stand in ``reported.json`` beside these folders: only the figure is known, not each run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, TypeAdapter

from benchmarks.peers.figures import Figure, measured_figures
from benchmarks.peers.results import Results

__all__ = ["Machine", "Report", "compare_figures", "read_machines", "read_reports"]


class Machine(NamedTuple):
    label: str
    results: Results

    @property
    def title(self) -> str:
        return self.label.replace("-", " ").capitalize()


class Report(BaseModel, frozen=True):
    """Figures measured by others; ``figures`` by the names of :mod:`benchmarks.peers.figures`."""

    label: str
    machine: str
    date: str
    conditions: str
    figures: dict[str, float]


def read_machines(folder: Path) -> list[Machine]:
    return [Machine(path.parent.name, Results.read(path)) for path in sorted(folder.glob("*/peers.json"))]


def read_reports(folder: Path) -> list[Report]:
    path = folder / "reported.json"
    return TypeAdapter(list[Report]).validate_json(path.read_bytes()) if path.exists() else []


def compare_figures(machines: Sequence[Machine], reports: Sequence[Report]) -> Iterator[tuple[str, ...]]:
    """Rows of a table: a figure, what was asked for, a column per machine, and whether it holds on all of them.

    Raises:
        ValueError: a report has a figure of an unknown name.
    """
    columns: list[dict[str, Figure]] = [
        {figure.name: figure for figure in measured_figures(machine.results)} for machine in machines
    ]
    names = {name: figure.wanted for column in columns for name, figure in column.items()}
    for report in reports:
        if unknown := sorted(report.figures.keys() - names.keys()):
            raise ValueError(f"{report.label} reports figures of unknown names: {', '.join(unknown)}")
    yield (
        "Figure",
        "Target",
        *(machine.title for machine in machines),
        *(report.label for report in reports),
        "Met everywhere",
    )
    for name, wanted in names.items():
        measured = [column[name] for column in columns]
        verdicts = [figure.holds for figure in measured if figure.holds is not None]
        cells = ["" if figure.holds is None else figure.measured for figure in measured]
        for report in reports:
            value = report.figures.get(name)
            cells.append("" if value is None else f"{value:,g}")
            if value is not None:
                verdicts.append(measured[0].holds_for(value))
        yield name, wanted, *cells, {True: "yes", False: "**no**"}[all(verdicts)] if verdicts else ""
