"""Vectors of a column in which a few rows hold something else: bad rows must not hide what the column is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from penstock.errors import shorten
from penstock.inference.observations import Observation

MOST_MISFITS = 0.05
"""Share of the values that may be something else. Of fewer than 20 values none may."""


def may_be_misfits(count: int, values: int) -> bool:
    """Whether so many of the values of a column may be bad ones."""
    return 0 < count <= MOST_MISFITS * values


def with_most_lists(
    seen: Observation, values: Sequence[Any], observe: Callable[[Sequence[list[Any]]], Observation]
) -> Observation:
    """Add what most values are, if they are lists of numbers of one length and only a few are not.

    Args:
        values: of all rows; None is null.
        observe: observes the lists that are left.
    """
    sizes = [_numbers(value) for value in values]
    common = Counter(size for size in sizes if size).most_common(1)
    if not common:
        return seen
    length, fitting = common[0]
    present = sum(value is not None for value in values)
    if not may_be_misfits(present - fitting, present):
        return seen
    first = next(row for row, value in enumerate(values) if value is not None and sizes[row] != length)
    most = observe([value for value, size in zip(values, sizes, strict=True) if size == length])
    return replace(
        seen,
        most=replace(
            most,
            rows=seen.rows,
            nulls=seen.rows - present,
            is_cell=seen.is_cell,
            misfits=present - fitting,
            misfit=f"row {first} holds {_shown(values[first])}",
        ),
    )


def parsed_cells(cells: Sequence[str | None], null_text: str) -> list[Any]:
    """The JSON values of cells: None for null, the text itself where it is not JSON."""
    return [None if cell is None or cell == null_text else _parsed(cell.strip()) for cell in cells]


def _shown(value: Any) -> str:
    """A value of the wrong kind or length in words."""
    return f"a list of {len(value)} elements" if isinstance(value, list) else repr(shorten(value))


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _numbers(value: Any) -> int:
    """The length of a list of numbers; 0 for everything else."""
    if not isinstance(value, list) or not all(type(element) in (int, float) for element in value):
        return 0
    return len(value)
