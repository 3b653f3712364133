"""Conform ArrayOfStruct columns: lists of structs, whose parts are checked like columns of their types."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.readers.arrow_values import is_list, plain
from penstock.rules.rule import Array, WarningSink
from penstock.rules.structs import check_struct_keys
from penstock.rules.table import NO_NULL_ELEMENTS
from penstock.validation.arrays import check_capacity, to_scalar
from penstock.validation.arrow_lists import flatten, offsets_of
from penstock.validation.errors import mismatch, refuse_nulls
from penstock.validation.vectors import to_dense


def to_structs(array: Array, field: Field, note: WarningSink) -> Array:
    """Convert any of Arrow's lists to ``list<struct<…>>``: no nulls, exactly the parts, within ``max_capacity``.

    Errors name a part as ``struct[part]`` and count rows of the column, not structs.
    """
    if not is_list(array.type):
        raise mismatch(array, field)
    lists = flatten(array)
    check_capacity(lists, field, array)
    lists.refuse_null_elements(field)
    structs = lists.values
    kind: Any = canonical_type(field)
    rows = len(array) - array.null_count
    if not len(structs):  # the element type of empty lists is arbitrary
        parts = [pa.array([], child.type) for child in kind.value_type]
    elif not pt.is_struct(structs.type):
        raise mismatch(array, field)
    else:
        with lists.rows():
            columns = _parts(structs, field)
            parts = [_part(columns, part, lambda text, _: note(text, rows)) for part in field.parts]
    elements = pa.StructArray.from_arrays(parts, fields=list(kind.value_type))
    mask = None if lists.valid is None else pa.array(~lists.valid)
    return pa.ListArray.from_arrays(offsets_of(lists.lengths), elements, type=kind, mask=mask)


def _parts(structs: Array, field: Field) -> dict[str, Array]:
    """Map the names of :attr:`Field.parts` to the structs' columns; raises for missing or unexpected ones."""
    try:
        check_struct_keys(field, [child.name for child in structs.type], row=0)
    except DataError as error:
        raise error.at(is_of_column=True) from None
    # A struct's flatten, unlike field(), puts the struct's offset on its children.
    vectors = {subfield.name for subfield in field.fields if subfield.type.is_dense_vector}
    columns = zip(structs.flatten(), structs.type, strict=True)
    return {
        f"{field.name}[{child.name}]": plain(column, child, flat=child.name in vectors) for column, child in columns
    }


def _part(columns: dict[str, Array], part: Field, note: WarningSink) -> Array:
    column = columns[part.name]
    refuse_nulls(column, NO_NULL_ELEMENTS, part)
    if part.type.is_dense_vector:
        return to_dense(column, part, note)
    return to_scalar(column, part, note)
