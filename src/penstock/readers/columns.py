"""The columns of a file beside the fields of a collection: which are missing, and what becomes of the others."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from enum import StrEnum

from penstock.domain.schema import META_FIELD, CollectionSchema, Field
from penstock.errors import DataError, shorten

__all__ = ["UnknownColumns", "check_missing", "listed", "missing_field", "nearest", "unknown_column"]

_LISTED = 20
"""Names that a message lists; a file may have a million."""
_NAME = 60
"""Characters of a name in such a list."""
_COMPARED = 1000
"""Names that are compared letter by letter."""


class UnknownColumns(StrEnum):
    """What becomes of columns and keys that are no field of the collection: the option ``unknown_columns``.

    ``DYNAMIC`` keeps them as dynamic values where the collection has a dynamic field, and drops them with a warning
    where it has none. ``DROP`` drops them with a warning, ``ERROR`` refuses them.
    """

    DYNAMIC = "dynamic"
    DROP = "drop"
    ERROR = "error"


def listed(names: Sequence[str]) -> str:
    """The first twenty names, and how many there are beyond them."""
    text = ", ".join(shorten(name, _NAME) for name in names[:_LISTED])
    more = len(names) - _LISTED
    return f"{text} and {more:,} more" if more > 0 else text or "none"


def nearest(name: str, names: Sequence[str]) -> str | None:
    """The name that ``name`` may be meant for: the same in other case, or spelled alike."""
    folded: dict[str, str] = {}
    for other in names:
        folded.setdefault(other.casefold(), other)
    same = folded.get(name.casefold())
    if same is not None:
        return same
    short = [other for other in folded if len(other) <= 2 * len(name) + 10][:_COMPARED]
    matches = difflib.get_close_matches(name.casefold(), short, n=1)
    return folded[matches[0]] if matches else None


def missing_field(field: Field, names: Sequence[str], noun: str = "file's columns") -> DataError:
    """The file has no column for a field that needs one; ``names`` are those that it has."""
    near = nearest(field.name, names)
    hint = f" Is {near!r} meant? Names must match exactly." if near else ""
    return DataError(
        f"value of field '{field.name}' is missed",
        field=field.name,
        remedy=f"The {noun}: {listed(names)}.{hint}",
    )


def check_missing(schema: CollectionSchema, names: Sequence[str]) -> None:
    """Raise for the first field that needs a column and is none of ``names``."""
    present = set(names)
    for field in schema:
        if not (schema.is_generated(field) or field.nullable or field.default is not None or field.name in present):
            raise missing_field(field, names)


def unknown_column(name: str, schema: CollectionSchema, noun: str = "column") -> DataError:
    """The refusal of a column under ``unknown_columns=error``."""
    taken = [*schema.names, *([META_FIELD] if schema.dynamic else [])]
    near = nearest(name, schema.names)
    hint = f" Is {near!r} meant?" if near else ""
    return DataError(
        f"the {noun} {shorten(name, _NAME)!r} is not a field of the collection",
        field=name,
        remedy=f"The fields: {listed(taken)}.{hint} Rename it or leave it out, or import without "
        f"unknown_columns={UnknownColumns.ERROR}.",
    )
