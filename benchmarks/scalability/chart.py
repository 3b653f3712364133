"""The curves as one chart (PNG): cost per row and cost per call by number of rows, on logarithmic scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from benchmarks.scalability.results import CURVES, PER_CALL, PER_ROW, Results

__all__ = ["draw_chart"]

# By Okabe and Ito, as in benchmarks/peers/charts.py; markers differ, too.
_LINES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#E69F00", "D"), ("#CC79A7", "v"))
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.dpi": 150,
}


def draw_chart(results: Results, path: Path) -> None:
    with mpl.rc_context(_STYLE):
        figure, panels = plt.subplots(1, 2, figsize=(11, 4.5))
        for axes, unit in zip(panels, (PER_ROW, PER_CALL), strict=True):
            curves = [curve for curve in CURVES if curve.unit == unit]
            for curve, (colour, marker) in zip(curves, _LINES, strict=False):
                # A logarithmic scale has no zero.
                points = {rows: value for rows, value in results.points(curve).items() if value > 0}
                label = curve.title.partition(", CPU")[0]
                axes.plot(list(points), list(points.values()), color=colour, marker=marker, label=label)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("rows of 128 dimensions")
            axes.set_title(unit)
            axes.grid(True, which="major", color="#E0E0E0")
            axes.legend(frameon=False, fontsize=8)
        figure.tight_layout(w_pad=2)
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)
