"""What was measured at each size, as it is kept in a JSON file, and the curves that follow from it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

__all__ = ["CURVES", "PER_CALL", "PER_ROW", "Curve", "Measurement", "Results", "table_rows"]

PER_ROW, PER_CALL = "Processor seconds per million rows", "Processor milliseconds per call"


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure of each size: ``figure`` of the phase ``phase``, divided by the million rows where it is per row.

    ``unit`` is that of the chart it is drawn in, None for a column of the table only.
    """

    title: str
    phase: str
    figure: str
    unit: str | None = None
    per_row: bool = False
    form: str = "{:,.2f}"


CURVES = (
    Curve("import, CPU s/M rows", "table", "import_cpu_s", PER_ROW, True),
    Curve("import, s/M rows", "table", "import_s", None, True),
    Curve("import, peak MiB", "table", "import_peak_mib", form="{:,.0f}"),
    Curve("maintenance after it, CPU s/M rows", "table", "maintenance_cpu_s", None, True),
    Curve("index build, CPU s/M rows", "table", "index_cpu_s", PER_ROW, True),
    Curve("index build, s/M rows", "table", "index_s", None, True),
    Curve("index build, peak MiB", "table", "index_peak_mib", form="{:,.0f}"),
    Curve("small jobs, CPU s/M rows", "small jobs", "cpu_s", PER_ROW, True),
    Curve("small jobs, fragments", "small jobs", "fragments", form="{:,.0f}"),
    Curve("compaction of 1,000 parts, CPU s/M rows", "parts", "compaction_cpu_s", PER_ROW, True),
    Curve("search, CPU ms", "table", "search_cpu_ms", PER_CALL),
    Curve("search, p50 ms", "table", "search_p50_ms"),
    Curve("recall@10", "table", "recall", form="{:.3f}"),
    Curve("count, CPU ms", "table", "count_cpu_ms", PER_CALL),
    Curve("count, p50 ms", "table", "count_p50_ms"),
    Curve("page of jobs, CPU ms", "lists", "jobs_cpu_ms", PER_CALL),
    Curve("page of jobs, p50 ms", "lists", "jobs_p50_ms"),
    Curve("list of collections, CPU ms", "lists", "collections_cpu_ms", PER_CALL),
    Curve("list of collections, p50 ms", "lists", "collections_p50_ms"),
    Curve("open 1,000 parts, CPU ms", "parts", "open_cpu_ms", PER_CALL),
    Curve("open 1,000 parts, ms", "parts", "open_ms"),
)


class Measurement(BaseModel, frozen=True):
    """A phase at one size: its figures, and what they were measured on and with."""

    date: str
    command: str
    machine: str
    load_average: float
    seconds: float
    figures: dict[str, float]


class Results(BaseModel):
    """Measurements by number of rows and phase."""

    sizes: dict[int, dict[str, Measurement]] = {}

    @classmethod
    def read(cls, path: Path) -> Results:
        return cls.model_validate_json(path.read_text()) if path.exists() else cls()

    def write(self, path: Path) -> None:
        """In the place of an older file at once: a run that is killed leaves the results of finished phases."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(self.model_dump_json(indent=1) + "\n")
        draft.rename(path)

    def add(self, rows: int, phase: str, measurement: Measurement) -> None:
        self.sizes.setdefault(rows, {})[phase] = measurement
        self.sizes = dict(sorted(self.sizes.items()))

    def points(self, curve: Curve) -> Mapping[int, float]:
        """The curve's values by number of rows, ascending."""
        values = {}
        for rows, phases in self.sizes.items():
            if (measurement := phases.get(curve.phase)) is not None:
                value = measurement.figures[curve.figure]
                values[rows] = value / rows * 1e6 if curve.per_row else value
        return values


def table_rows(results: Results, curves: Sequence[Curve] = CURVES) -> Iterator[tuple[str, ...]]:
    """A row per curve, a column per size; the last column is the exponent of the curve, 0 for a flat one."""
    yield "", *(f"{rows:,}" for rows in results.sizes), "exponent"
    for curve in curves:
        points = results.points(curve)
        cells = [curve.form.format(points[rows]) if rows in points else "" for rows in results.sizes]
        exponent = exponent_of(points) if curve.unit else None
        yield curve.title, *cells, "" if exponent is None else f"{exponent:+.2f}"


def exponent_of(points: Mapping[int, float]) -> float | None:
    """The slope of the line through the points on logarithmic scales; None for fewer than two points above zero."""
    logs = {math.log(rows): math.log(value) for rows, value in points.items() if value > 0}
    if len(logs) < 2:
        return None
    return statistics.linear_regression(list(logs), list(logs.values())).slope
