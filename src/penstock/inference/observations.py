"""What the values of a column are, in a sample of one file or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from penstock.domain.data_types import INTEGER_RANGES, DataType


class Kind(StrEnum):
    """The kind of a column's values. ``OTHER`` has values that no field holds, such as whole numbers and texts."""

    NULL = "null"
    BOOL = "bool"
    INTEGER = "integer"
    FLOAT = "float"
    TEXT = "text"
    LIST = "list"
    BYTES = "bytes"
    SPARSE = "sparse"
    JSON = "json"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The values of a column.

    ``type`` is that of numbers: as stored, or Int64 and Double for text. ``shortest`` and ``longest`` are bytes of
    texts or byte strings, elements of lists. ``keys`` are the values of whole numbers and texts. ``unit_norms``
    says whether lists of numbers all have the norm 1, ``fits_vector`` whether float32 has their range. ``is_fixed``
    is a list or byte string whose length the file's schema fixes, ``is_required`` a column that it declares free of
    nulls, ``is_cell`` a cell of text, whose other reading is text. ``storage`` is Arrow's type of a list's elements,
    empty for JSON and cells. ``note`` describes what is unusual in a clause. ``most`` is what all values are but a
    few, which are its ``misfits``; ``misfit`` describes the first of them.
    """

    kind: Kind
    rows: int
    nulls: int = 0
    type: DataType | None = None
    shortest: int = 0
    longest: int = 0
    element: Observation | None = None
    keys: Sequence[int | str] = ()
    unit_norms: bool = False
    fits_vector: bool = True
    is_fixed: bool = False
    is_required: bool = False
    is_cell: bool = False
    storage: str = ""
    note: str = ""
    most: Observation | None = None
    misfits: int = 0
    misfit: str = ""

    @property
    def length(self) -> int | None:
        """The one length of all lists or byte strings; None where lengths differ."""
        return self.longest if self.shortest == self.longest and self.rows > self.nulls else None

    @property
    def has_numbers(self) -> bool:
        """Whether it is a list of numbers only."""
        return self.element is not None and self.element.kind in (Kind.INTEGER, Kind.FLOAT)

    def describe(self) -> str:
        """What the values are, in words."""
        if self.kind is Kind.LIST and self.element is not None:
            count = self.length if self.length is not None else f"{self.shortest} to {self.longest}"
            return f"lists of {count} {_WORDS.get(self.element.kind, 'values')}"
        if self.kind is Kind.TEXT:
            return f"text of up to {self.longest:,} bytes"
        if self.kind is Kind.BYTES:
            return (
                f"byte strings of {self.shortest} to {self.longest} bytes"
                if self.length is None
                else (f"byte strings of {self.length} bytes")
            )
        return self.note or _WORDS[self.kind]


_WORDS = {
    Kind.NULL: "nothing but nulls",
    Kind.BOOL: "booleans",
    Kind.INTEGER: "whole numbers",
    Kind.FLOAT: "numbers",
    Kind.TEXT: "texts",
    Kind.LIST: "lists",
    Kind.BYTES: "byte strings",
    Kind.SPARSE: "sparse vectors",
    Kind.JSON: "JSON values",
    Kind.OTHER: "values of several kinds",
}
_NESTED = {Kind.LIST, Kind.SPARSE, Kind.JSON}


def merge(first: Observation, second: Observation, places: tuple[str, str]) -> Observation:
    """Merge what was observed in two samples; ``places`` name them, for the note where they disagree."""
    rows, nulls = first.rows + second.rows, first.nulls + second.nulls
    is_required = first.is_required and second.is_required
    for one, other in ((first, second), (second, first)):
        if one.kind is Kind.NULL:
            most = other.most and replace(other.most, rows=rows, nulls=nulls)
            return replace(other, rows=rows, nulls=nulls, is_required=is_required, most=most)
    merged = replace(
        first,
        rows=rows,
        nulls=nulls,
        shortest=min(first.shortest, second.shortest),
        longest=max(first.longest, second.longest),
        keys=[*first.keys, *second.keys],
        unit_norms=first.unit_norms and second.unit_norms,
        fits_vector=first.fits_vector and second.fits_vector,
        is_fixed=first.is_fixed and second.is_fixed,
        is_required=is_required,
        is_cell=first.is_cell and second.is_cell,
        storage=first.storage if first.storage == second.storage else "",
        most=_merge_most(first, second, places),
    )
    kinds = {first.kind, second.kind}
    note = f"{first.describe()} in {places[0]}, {second.describe()} in {places[1]}"
    if kinds == {Kind.LIST}:
        element = _merge_elements(first, second, places)
        if element is None or element.kind is not Kind.OTHER:
            return replace(merged, element=element)
        return replace(merged, kind=Kind.JSON, element=None, note=note)
    if len(kinds) == 1:
        return replace(merged, type=wider(first.type, second.type) if first.type and second.type else None)
    if kinds == {Kind.INTEGER, Kind.FLOAT}:
        return replace(merged, kind=Kind.FLOAT, type=DataType.DOUBLE, keys=(), note=note)
    if kinds <= _NESTED:
        return replace(merged, kind=Kind.JSON, element=None, note=note)
    if merged.is_cell:
        return replace(merged, kind=Kind.TEXT, type=None, element=None, note=note)
    return replace(merged, kind=Kind.OTHER, type=None, element=None, keys=(), note=note)


def _merge_most(first: Observation, second: Observation, places: tuple[str, str]) -> Observation | None:
    if first.most is None and second.most is None:
        return None
    merged = merge(replace(first.most or first, most=None), replace(second.most or second, most=None), places)
    if merged.kind is not Kind.LIST or merged.length is None:
        return None
    most = [seen.most for seen in (first, second) if seen.most is not None]
    return replace(merged, misfits=sum(seen.misfits for seen in most), misfit=most[0].misfit)


def _merge_elements(first: Observation, second: Observation, places: tuple[str, str]) -> Observation | None:
    if first.element is None or second.element is None:
        return first.element or second.element
    return merge(first.element, second.element, places)


def wider(first: DataType, second: DataType) -> DataType:
    """The narrower of the number types that hold the values of both."""
    if first is second:
        return first
    if first.is_integer and second.is_integer:
        return max(first, second, key=lambda number_type: INTEGER_RANGES[number_type][1])
    return DataType.DOUBLE
