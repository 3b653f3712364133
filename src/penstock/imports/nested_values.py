"""Take the values of fields out of columns of JSON objects, structs and lists: the source ``path`` of a field.

Structs and lists of Arrow are taken apart as whole columns; JSON texts are parsed row by row, as those of JSON files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.readers.arrow_values import is_list
from penstock.readers.columns.json_values import JsonParser, is_json_array, is_json_object
from penstock.readers.columns.row_builder import make_column
from penstock.readers.columns.scalars import Column
from penstock.readers.columns.structs import StructColumn
from penstock.readers.columns.vectors import check_flat
from penstock.readers.unknown_columns import listed, nearest
from penstock.rules.rule import Array, WarningSink
from penstock.validation.arrow_lists import flatten


def take_nested(array: Array, steps: Sequence[str | int]) -> tuple[Array, Sequence[str | int]]:
    """Follow a path into structs and lists; also return the steps that are left where another type is reached.

    A row is null where a struct is null or a list too short.

    Raises:
        DataError: a struct has no such key.
    """
    for number, step in enumerate(steps):
        kind = array.type
        if isinstance(step, str) and pt.is_struct(kind):
            names = [kind.field(position).name for position in range(kind.num_fields)]
            if step not in names:
                near = nearest(step, names)
                raise DataError(
                    f"the objects have no key {step!r}",
                    remedy=f"Their keys: {listed(names)}." + (f" Did you mean {near!r}?" if near else ""),
                )
            array = pc.struct_field(array, step)
        elif isinstance(step, int) and is_list(kind):
            lists = flatten(array)
            starts = np.cumsum(lists.lengths) - lists.lengths
            array = lists.values.take(pa.array(starts + step, mask=lists.lengths <= step))
        else:
            return array, steps[number:]
    return array, ()


def take_from_texts(texts: Array, steps: Sequence[str | int], field: Field, note: WarningSink) -> Array:
    """Follow a path into JSON texts; the result has the field's canonical type.

    Raises:
        DataError: the first row whose value is none of the field.
    """
    parser = JsonParser()
    column = make_column(field, len(texts), note)
    for row, text in enumerate(texts.to_pylist()):
        try:
            add_value(column, field, None if text is None else _follow(parser.parse(text.encode()), steps))
        except DataError as error:
            raise error.at(row=row) from None
    return column.take()


def add_value(column: Column, field: Field, value: Any) -> None:
    """Add a value of JSON to the column of a field. Raises DataError, also where a vector holds lists."""
    column.add(value)
    # The parser flattens nested lists silently.
    if field.type.is_dense_vector and is_json_array(value):
        check_flat(field, value)
    if isinstance(column, StructColumn):
        column.check_flat(value)


def _follow(value: Any, steps: Sequence[str | int]) -> Any:
    """The value at a path; None where there is none."""
    for step in steps:
        if isinstance(step, str):
            value = value.get(step) if is_json_object(value) else None
        else:
            value = value[step] if is_json_array(value) and step < len(value) else None
    return value
