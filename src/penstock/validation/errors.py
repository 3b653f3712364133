"""Show values of columns, and refuse columns of a type that the field doesn't take.

Rows are counted in the given array; :class:`~penstock.validation.conform.Conformer` converts them to rows of the
split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from penstock.domain.schema import DataType, Field
from penstock.errors import MAX_VALUE, DataError
from penstock.readers.arrow_json import json_texts
from penstock.readers.arrow_values import is_list, is_string
from penstock.rules.forms import FORMS, type_error
from penstock.rules.rule import Array, Rule
from penstock.rules.violations import Places, each, refuse

_SHOWN_ELEMENTS = MAX_VALUE // 2 + 1
"""Elements of a list whose text, with commas and brackets, is longer than what errors show of it."""


def refuse_nulls(array: Array, rule: Rule, field: Field) -> None:
    """Raise the error of the first null, if there is any."""
    if array.null_count:
        refuse(array.is_null().to_numpy(zero_copy_only=False), each(lambda _: rule.error(field)))


def show(array: Array, row: int) -> str:
    """Format one value: as JSON if it has that form, else as Arrow prints it (``as_py`` fails for some types)."""
    return show_rows(array, np.array([row]))[0]


def show_rows(array: Array, rows: Places) -> Sequence[str]:
    """Format the values of some rows as :func:`show`.

    Nested ones are formatted together, and only as far as is shown: a vector of 768 numbers alone takes 0.6 ms.
    """
    kind = array.type
    if pt.is_nested(kind) or pt.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        values = array.slice(int(rows[0]), 1) if len(rows) == 1 else array.take(pa.array(rows))
        try:
            begins = pc.list_slice(values, 0, _SHOWN_ELEMENTS) if is_list(kind) else values
            texts: Sequence[str] = json_texts(begins, None, lambda *_: None).to_pylist()
        except DataError:  # no JSON form; Arrow's own is for messages only
            if len(rows) > 1:
                return [show(array, row) for row in rows.tolist()]
            texts = [values.to_string(indent=0, skip_new_lines=True)]
        return texts
    if pt.is_temporal(kind) or pt.is_interval(kind):
        return [array.slice(row, 1).to_string(indent=0, skip_new_lines=True)[1:-1] for row in rows.tolist()]
    return [str(array[row].as_py()) for row in rows.tolist()]


def mismatch(array: Array, field: Field) -> DataError:
    """Error for a column whose Arrow type can't be converted to the field's type."""
    row = array.is_valid().index(True).as_py()
    source = array.type
    remedy = None
    hint = ""
    if field.type is DataType.TIMESTAMPTZ and not pt.is_temporal(source):
        hint = " Numbers have no unit: convert them to timestamps."
    elif pt.is_temporal(source) or pt.is_interval(source):
        remedy = (
            "Write the column as a number (e.g. milliseconds) for an Int64 field, or as ISO text for a VarChar "
            "field; VarChar and JSON fields take dates, times and timestamps as they are."
        )
    elif field.type.is_text and (pt.is_primitive(source) or pt.is_decimal(source)):
        hint = " Write the numbers as text, in the spelling you want to read back."
    elif pt.is_fixed_size_binary(source) and not field.type.is_vector:
        hint = " Write the bytes as text, such as hex; UUIDs with the type UUID of Arrow and Parquet."
    elif field.type.is_number and is_string(source):
        hint = " Write the column with a number type instead of text."
    return type_error(
        field,
        str(source),
        FORMS[field.type].arrow,
        noun="file's column",
        row=max(row, 0),
        value=show(array, row) if row >= 0 else None,
        remedy=remedy,
        hint=hint,
    ).at(is_of_column=True)
