"""Grouping search: the best rows of each value of a scalar field, in groups ordered by their best row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import FieldNotFound, InvalidParameter, shorten, shorten_name

MAX_GROUP_SIZE = 10
"""As in Milvus's default configuration."""
_SCORERS: Mapping[str, Callable[[npt.NDArray[np.float32]], float]] = {
    "max": lambda scores: float(scores[0]),
    "sum": lambda scores: float(scores.sum()),
    "avg": lambda scores: float(scores.mean()),
}
_TYPES = (DataType.BOOL, DataType.INT8, DataType.INT16, DataType.INT32, DataType.INT64, DataType.VARCHAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """Groups by a field, of at most ``size`` rows. ``strict``: look further for rows of groups that have fewer.

    ``scorer`` orders the groups of a hybrid search: by the ``max``, ``sum`` or ``avg`` of their rows' scores.
    """

    field_name: str
    size: int = 1
    strict: bool = False
    scorer: str = "max"

    def makes_the_groups_of(self, other: Grouping | None) -> bool:
        """Whether another grouping has the same groups, maybe in another order."""
        return other is not None and (self.field_name, self.size, self.strict) == (
            other.field_name,
            other.size,
            other.strict,
        )


@dataclass(frozen=True, slots=True)
class Groups:
    """Positions of rows, one sequence per group. ``complete``: later rows add nothing to the groups."""

    positions: Sequence[Sequence[int]]
    complete: bool


def group_field(schema: CollectionSchema, grouping: Grouping) -> Field:
    """The field to group by.

    Raises:
        FieldNotFound: there is none of that name.
        InvalidParameter: it can't be grouped by, or the group size is out of range.
    """
    field = schema.get(grouping.field_name)
    if field is None:
        raise FieldNotFound(
            f"failed to get field schema by name: field not found[field={shorten_name(grouping.field_name)}]",
            field=grouping.field_name,
        )
    if field.type not in _TYPES:
        raise InvalidParameter(
            f"field {field.name} of type {field.type.value} can't be grouped by; use a field of type "
            f"{', '.join(type.value for type in _TYPES)}",
            field=field.name,
        )
    if grouping.scorer not in _SCORERS:
        raise InvalidParameter(
            f"input group scorer type: {shorten(grouping.scorer)} is not supported! Use one of {', '.join(_SCORERS)}",
            key="rank_group_scorer",
        )
    if not 1 <= grouping.size <= MAX_GROUP_SIZE:
        raise InvalidParameter(
            f"input group size:{grouping.size} is invalid, it should be in range [1, {MAX_GROUP_SIZE}]",
            value=grouping.size,
        )
    return field


def first_groups(values: Iterable[Any], groups: int, grouping: Grouping) -> Groups:
    """The first groups among rows in order of their scores, given each row's value; null is a value like others."""
    members: dict[Any, list[int]] = {}
    for position, value in enumerate(values):
        rows = members.get(value)
        if rows is not None:
            if len(rows) < grouping.size:
                rows.append(position)
        elif len(members) < groups:
            members[value] = [position]
    full = all(len(rows) == grouping.size for rows in members.values())
    return Groups(list(members.values()), len(members) == groups and (full or not grouping.strict))


def best_groups(
    values: Iterable[Any], scores: npt.NDArray[np.float32], grouping: Grouping, *, descending: bool
) -> Sequence[Sequence[int]]:
    """The groups of all rows, which are in order of their scores, the best group first.

    With a strict grouping, groups with fewer rows than its size are left out.
    """
    groups = first_groups(values, len(scores), grouping).positions
    if grouping.strict:
        groups = [rows for rows in groups if len(rows) == grouping.size]
    summary = _SCORERS[grouping.scorer]
    sign = -1 if descending else 1
    return sorted(groups, key=lambda rows: (sign * summary(scores[list(rows)]), -len(rows), rows[0]))
