"""Values of rows as short texts in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

MAX_COLUMNS = 60
_MAX_TEXT = 160
_VECTOR_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as text: ``whole`` on hover where it is cut, ``kind`` is the class of its look."""

    text: str
    whole: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class CellTable:
    """Rows as cells. ``columns`` have a name and whether all of their values are numbers, which are right-aligned."""

    columns: Sequence[tuple[str, bool]] = ()
    rows: Sequence[Sequence[Cell]] = ()


def cell_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> CellTable:
    """A table of rows: the fields, then the dynamic keys, at most :data:`MAX_COLUMNS`."""
    columns = dict.fromkeys(names)
    for row in rows:
        columns |= dict.fromkeys(row)
    shown = list(columns)[:MAX_COLUMNS]
    cells = [[cell(row[name]) if name in row else Cell("") for name in shown] for row in rows]
    numeric = [
        any(values) and all(value.kind in ("num", "null") for value in values if value.text)
        for values in zip(*cells, strict=True)
    ] or [False] * len(shown)
    return CellTable(list(zip(shown, numeric, strict=True)), cells)


def cell(value: Any) -> Cell:
    if value is None:
        return Cell("null", kind="null")
    if isinstance(value, np.ndarray):
        shown = ", ".join(f"{number:.4g}" for number in value[:_VECTOR_SHOWN].tolist())
        return Cell(f"[{shown}{', …' if len(value) > _VECTOR_SHOWN else ''}] {len(value):,}", kind="value")
    if isinstance(value, bool):
        return Cell("true" if value else "false", kind="value")
    if isinstance(value, int | float | np.number):
        return Cell(f"{value}", kind="num")
    if isinstance(value, str):
        return _text(value, "")
    return _text(orjson.dumps(_unwrapped(value), option=orjson.OPT_SERIALIZE_NUMPY).decode(), "value")


def _unwrapped(value: Any) -> Any:
    """An array without the wire's union around it: ``{"Data": {"LongData": {"data": […]}}}``."""
    if isinstance(value, dict) and value.keys() == {"Data"}:
        (member,) = value["Data"].values()
        return member.get("data", [])
    return value


def _text(text: str, kind: str) -> Cell:
    if len(text) <= _MAX_TEXT:
        return Cell(text, kind=kind)
    return Cell(text[: _MAX_TEXT - 1] + "…", whole=text[:2000], kind=kind)
