"""Choose the primary key: a column by its name, if its values in the sample are distinct."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from penstock.domain.data_types import DataType
from penstock.domain.schema import MAX_VARCHAR_BYTES, Field
from penstock.errors import ImportRefused, shorten
from penstock.inference.fields import key_field, unfit_name
from penstock.inference.inferred import InferredField
from penstock.inference.observations import Kind, Observation
from penstock.readers.unknown_columns import listed, nearest

_EXACT = ("id", "_id", "pk", "primary_key", "key", "uuid", "guid", "uid", "rowid", "row_id")
_ENDING = re.compile(r"_(id|uuid|guid|uid|pk|key)$|[a-z](Id|ID|Uuid|UUID|Key)$", re.IGNORECASE)
_GENERATED_NAMES = ("id", "pk", "auto_id")


@dataclass(frozen=True, slots=True)
class _Candidate:
    rank: int
    name: str
    fault: str | None


def choose_key(
    columns: Mapping[str, Observation], vectors: Set[str], *, chosen: str = "", auto_id: bool = False
) -> tuple[InferredField, Sequence[str]]:
    """The primary key's field, generated if no column is fit, and notes on other candidates.

    ``vectors`` are the columns that are vector fields. ``chosen`` names the key's column, ``auto_id`` asks for
    generated keys.

    Raises:
        ImportRefused: the chosen column is missing or no key.
    """
    if chosen:
        return _chosen(columns, chosen), ()
    candidates = sorted(_candidates(columns, vectors), key=lambda candidate: candidate.rank)
    fit = [candidate.name for candidate in candidates if candidate.fault is None]
    if auto_id:
        return _generated(columns, "generated, as asked", fit), ()
    if not fit:
        faults = [f"{candidate.name}: {candidate.fault}" for candidate in candidates if candidate.fault]
        why = f" ({listed(faults)})" if faults else ""
        return _generated(columns, f"generated, since no column is named and filled as a key{why}", ()), ()
    name, others = fit[0], fit[1:]
    notes = (
        [f"key candidates are {listed(fit)}: {name} is chosen by its name. Another: id={others[0]}"] if others else []
    )
    reason = f"named as a key, {columns[name].describe()}, distinct in the sample"
    return key_field(name, columns[name], reason=reason, alternatives=[f"id={other}" for other in others]), notes


def _candidates(columns: Mapping[str, Observation], vectors: Set[str]) -> list[_Candidate]:
    return [
        _Candidate(rank, name, _fault(name, seen))
        for name, seen in columns.items()
        if name not in vectors and (rank := _rank(name)) is not None
    ]


def _rank(name: str) -> int | None:
    lower = name.lower()
    if lower in _EXACT:
        return _EXACT.index(lower)
    return len(_EXACT) if _ENDING.search(name) else None


def _fault(name: str, seen: Observation) -> str | None:
    """Why a column can't be the key; None if it can."""
    if (unfit := unfit_name(name)) is not None:
        return unfit
    if seen.kind not in (Kind.INTEGER, Kind.TEXT):
        return f"a key is a whole number or a text, not {seen.describe()}"
    if seen.nulls:
        return f"{seen.nulls:,} of {seen.rows:,} rows have no value"
    if seen.longest > MAX_VARCHAR_BYTES:
        return f"a text has {seen.longest:,} bytes, a key at most {MAX_VARCHAR_BYTES:,}"
    met: set[int | str] = set()
    for key in seen.keys:
        if key in met:
            return f"the value {shorten(key)} occurs twice"
        met.add(key)
    return None


def _chosen(columns: Mapping[str, Observation], name: str) -> InferredField:
    if name not in columns:
        near = nearest(name, list(columns))
        hint = f" Did you mean {near!r}?" if near else ""
        raise ImportRefused(
            f"the files have no column {shorten(name)!r} for the primary key. Columns: {listed(list(columns))}."
            f"{hint}",
            option="id",
        )
    if (fault := _fault(name, columns[name])) is not None:
        raise ImportRefused(
            f"the column {shorten(name)!r} can't be the primary key: {fault}. Choose another, or let the server "
            "generate the ids (autoId)",
            option="id",
        )
    return key_field(name, columns[name], reason=f"chosen as the key; {columns[name].describe()}", alternatives=())


def _generated(columns: Mapping[str, Observation], reason: str, fit: Sequence[str]) -> InferredField:
    names = (*_GENERATED_NAMES, *(f"auto_id_{number}" for number in range(len(columns) + 1)))
    name = next(name for name in names if name not in columns)
    return InferredField(
        field=Field(name=name, type=DataType.INT64, primary=True),
        reason=reason,
        alternatives=[f"id={column}" for column in fit],
    )
