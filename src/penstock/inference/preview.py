"""The first rows of a sampled file as short texts, to be looked at before an import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa

from penstock.readers.base import Sample

MAX_ROWS, MAX_COLUMNS = 10, 200
_MAX_TEXT = 120
_ELEMENTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The first rows of a file: a text for each column, None for null."""

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str | None]] = ()


def preview_of(sample: Sample) -> Preview:
    """The first rows and columns of a sample."""
    columns = list(sample.columns)[:MAX_COLUMNS]
    texts = [[_text(value) for value in _first(sample.columns[name])] for name in columns]
    return Preview(columns=columns, rows=list(zip(*texts, strict=True)))


def _first(column: Any) -> Sequence[Any]:
    """The first values of a column; those that Python has no value for as Arrow writes them."""
    if not isinstance(column, pa.ChunkedArray | pa.Array):
        return list(column[:MAX_ROWS])
    first = column.slice(0, MAX_ROWS)
    try:
        return list(first.to_pylist())
    except (ValueError, OverflowError):  # such as times beyond the year 9999
        return list(first.cast(pa.string()).to_pylist())


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, list) and len(value) > _ELEMENTS:
        shown = ", ".join(_text(element) or "null" for element in value[:_ELEMENTS])
        return f"[{shown}, …] {len(value):,}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, list | dict):
        return _cut(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode())
    if isinstance(value, bool):
        return "true" if value else "false"
    return _cut(f"{value:.6g}" if isinstance(value, float) else str(value))


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
