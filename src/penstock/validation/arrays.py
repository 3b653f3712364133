"""Conform array columns: lists of scalars, whose elements are checked like fields of the element type."""

from __future__ import annotations

import pyarrow as pa

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.arrow_values import is_list
from penstock.rules.rule import Array, WarningSink
from penstock.rules.table import ARRAY_CAPACITY
from penstock.rules.violations import Places, refuse
from penstock.validation.arrow_lists import FlatList, flatten, offsets_of
from penstock.validation.errors import mismatch, show_rows
from penstock.validation.geometries import to_geometries
from penstock.validation.numbers import to_bool, to_floats, to_integers
from penstock.validation.text import to_varchar
from penstock.validation.times import to_times


def to_scalar(array: Array, field: Field, note: WarningSink) -> Array:
    """Convert a column of scalars other than JSON to its canonical type."""
    if field.type is DataType.BOOL:
        return to_bool(array, field)
    if field.type.is_text:
        return to_varchar(array, field)
    if field.type is DataType.TIMESTAMPTZ:
        return to_times(array, field, note)
    if field.type is DataType.GEOMETRY:
        return to_geometries(array, field)
    if field.type.is_integer:
        return to_integers(array, field, canonical_type(field))
    return to_floats(array, field, canonical_type(field), note)


def to_array(array: Array, field: Field, note: WarningSink) -> Array:
    """Convert any of Arrow's lists to ``list<element>``, without null elements and within ``max_capacity``."""
    if not is_list(array.type):
        raise mismatch(array, field)
    lists = flatten(array)
    check_capacity(lists, field, array)
    lists.refuse_null_elements(field)
    assert field.element_type is not None
    element = Field(name=field.name, type=field.element_type, max_length=field.max_length)
    rows = len(array) - array.null_count
    if not len(lists.values):  # the element type of empty lists is arbitrary, often null
        values: Array = pa.array([], canonical_type(element))
    else:
        with lists.rows():
            values = to_scalar(lists.values, element, lambda text, _: note(text, rows))
    mask = None if lists.valid is None else pa.array(~lists.valid)
    return pa.ListArray.from_arrays(offsets_of(lists.lengths), values, type=canonical_type(field), mask=mask)


def check_capacity(lists: FlatList, field: Field, array: Array) -> None:
    """Raise for the first row that has more elements than the field's ``max_capacity``."""

    def errors_of(rows: Places) -> list[DataError]:
        values = zip(show_rows(array, rows), lists.lengths[rows].tolist(), strict=True)
        return [ARRAY_CAPACITY.error(field, value=value, count=count) for value, count in values]

    refuse(lists.lengths > (field.max_capacity or 0), errors_of)
