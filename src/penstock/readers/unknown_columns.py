"""Compare a file's columns with a collection's fields: missing fields, and the policy for unknown columns."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from enum import StrEnum

from penstock.domain.schema import META_FIELD, CollectionSchema, Field
from penstock.errors import DataError, shorten

_LISTED = 20
"""Maximum names listed in a message; a file may have a million."""
_NAME = 60
"""Maximum characters of a name in such a list."""
_COMPARED = 1000
"""Maximum names that are compared letter by letter."""


class UnknownColumns(StrEnum):
    """Policy for columns and keys that are no field of the collection: the option ``unknown_columns``.

    ``DYNAMIC`` keeps them as dynamic values where the collection has a dynamic field, and drops them with a warning
    where it has none. ``DROP`` drops them with a warning, ``ERROR`` refuses them.
    """

    DYNAMIC = "dynamic"
    DROP = "drop"
    ERROR = "error"

    @classmethod
    def of(cls, options: Mapping[str, str]) -> UnknownColumns:
        """The policy that import options choose. Raises ValueError for another text."""
        return cls(options.get("unknown_columns") or cls.DYNAMIC)


def listed(names: Sequence[str]) -> str:
    """Join the first twenty names, and the number of further ones."""
    text = ", ".join(shorten(name, _NAME) for name in names[:_LISTED])
    more = len(names) - _LISTED
    return f"{text} and {more:,} more" if more > 0 else text or "none"


def nearest(name: str, names: Sequence[str]) -> str | None:
    """Find the closest match of ``name``: equal except for case, or similar."""
    folded: dict[str, str] = {}
    for candidate in names:
        folded.setdefault(candidate.casefold(), candidate)
    same = folded.get(name.casefold())
    if same is not None:
        return same
    short = [candidate for candidate in folded if len(candidate) <= 2 * len(name) + 10][:_COMPARED]
    matches = difflib.get_close_matches(name.casefold(), short, n=1)
    return folded[matches[0]] if matches else None


def missing_field(field: Field, names: Sequence[str], noun: str = "file's columns") -> DataError:
    """Error for a required field without a column; ``names`` are the file's columns."""
    near = nearest(field.name, names)
    hint = f" Did you mean {near!r}? Names must match exactly." if near else ""
    return DataError(
        f"value of field '{field.name}' is missed",
        field=field.name,
        remedy=f"The {noun}: {listed(names)}.{hint}",
    )


def computed_field_error(field: Field) -> DataError:
    """Error for a file with values of a field that the server computes."""
    if field.function_output:
        return DataError(
            f"not allowed to provide data for BM25 function output field '{field.name}'",
            field=field.name,
            remedy="Leave the column out of the file: the server computes it from the input field of the function.",
        )
    return DataError(
        f"the primary key '{field.name}' is auto-generated, no need to provide",
        field=field.name,
        remedy="Leave the column out of the file, or use a collection whose ids are given (autoID off).",
    )


def check_missing(schema: CollectionSchema, names: Sequence[str]) -> None:
    """Raise for the first required field that is not in ``names``."""
    present = set(names)
    for field in schema:
        if not (schema.is_computed(field) or field.nullable or field.default is not None or field.name in present):
            raise missing_field(field, names)


def unknown_column(name: str, schema: CollectionSchema, noun: str = "column") -> DataError:
    """Error for an unknown column under ``unknown_columns=error``."""
    fields = [*schema.names, *([META_FIELD] if schema.dynamic else [])]
    near = nearest(name, schema.names)
    hint = f" Did you mean {near!r}?" if near else ""
    return DataError(
        f"the {noun} {shorten(name, _NAME)!r} is not a field of the collection",
        field=name,
        remedy=f"The fields: {listed(fields)}.{hint} Rename it or leave it out, or import without "
        f"unknown_columns={UnknownColumns.ERROR}.",
    )
