"""Compare a file's columns with a collection's fields: missing fields, and the policy for unknown columns."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from penstock.domain.schema import META_FIELD, CollectionSchema, Field
from penstock.errors import DataError, shorten

if TYPE_CHECKING:
    from penstock.readers.base import ReadRequest

_LISTED = 20
"""Maximum names listed in a message; a file may have a million."""
_NAME = 60
"""Maximum characters of a name in such a list."""
_COMPARED = 1000
"""Maximum names that are compared letter by letter."""
_PROPOSED = 3
"""Maximum unused columns that a message proposes for a field."""


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


def missing_field(
    field: Field, names: Sequence[str], noun: str = "file's columns", unused: Sequence[str] | None = None
) -> DataError:
    """Error for a required field without a column; ``names`` are the file's columns.

    ``unused`` are those that are no field and may hold its values, which the error proposes to map; None where
    columns can't be mapped.
    """
    near = nearest(field.name, names if unused is None else unused)
    hint = f" Did you mean {near!r}? Names must match exactly" if near else ""
    proposed = [near] if near else (unused or ())[:_PROPOSED]
    if unused is not None and proposed:
        flags = " or ".join(f"--column {field.name}={shorten(name, _NAME)}" for name in proposed)
        hint += f"{', or import' if near else ' Import'} with {flags} (option mapping)"
    return DataError(
        f"value of field '{field.name}' is missed",
        field=field.name,
        remedy=f"The {noun}: {listed(names)}.{hint}{'.' if hint else ''}",
    )


def unused_names(field: Field, names: Sequence[str], request: ReadRequest) -> Sequence[str] | None:
    """The columns that can be mapped to a field: None if it is mapped already."""
    if field.name in request.required_columns:
        return None
    known = {*request.schema.names, *request.excluded_columns, META_FIELD}
    return [name for name in names if name not in known]


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
        remedy=f"Leave the column out of the file, or out of the import (--drop {field.name}, option drop_columns), "
        "or use a collection whose ids are given (autoID off).",
    )


def needs_column(field: Field, required: frozenset[str] = frozenset()) -> bool:
    """Whether a file must have a column for the field: it is ``required``, or has neither null nor default."""
    return field.name in required or not (field.nullable or field.default is not None)


def check_missing(
    schema: CollectionSchema,
    names: Sequence[str],
    request: ReadRequest | None = None,
    fits: Callable[[str, Field], bool] = lambda name, field: True,
) -> None:
    """Raise for the first field that needs a column and has none in ``names``.

    With the ``request`` of an import the error proposes to map an unused column that ``fits`` the field.
    """
    present = set(names)
    required = frozenset() if request is None else request.required_columns
    for field in schema:
        if not schema.is_computed(field) and field.name not in present and needs_column(field, required):
            unused = None if request is None else unused_names(field, names, request)
            fitting = None if unused is None else [name for name in unused if fits(name, field)]
            raise missing_field(field, names, unused=fitting)


def unknown_column(name: str, schema: CollectionSchema, noun: str = "column") -> DataError:
    """Error for an unknown column under ``unknown_columns=error``."""
    fields = [*schema.names, *([META_FIELD] if schema.dynamic else [])]
    near = nearest(name, schema.names)
    hint = f" Did you mean {near!r}?" if near else ""
    return DataError(
        f"the {noun} {shorten(name, _NAME)!r} is not a field of the collection",
        field=name,
        remedy=f"The fields: {listed(fields)}.{hint} Rename it or leave it out, also by --column or --drop "
        f"(options mapping, drop_columns), or import without unknown_columns={UnknownColumns.ERROR}.",
    )
