"""Show values of columns, and refuse columns of a type that the field doesn't take.

Rows are counted in the given array; :class:`~penstock.validation.conform.Conformer` converts them to rows of the
split.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pt

from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.arrow_json import json_texts
from penstock.readers.arrow_values import is_string
from penstock.rules.forms import FORMS, type_error
from penstock.rules.rule import Array


def show(array: Array, row: int) -> str:
    """Format one value: as JSON if it has that form, else as Arrow prints it (``as_py`` fails for some types)."""
    value = array.slice(row, 1)
    if pt.is_nested(array.type) or pt.is_dictionary(array.type) or isinstance(array.type, pa.BaseExtensionType):
        try:
            text: str = json_texts(value, None, lambda *_: None)[0].as_py()
        except DataError:  # no JSON form; Arrow's own is for messages only
            text = value.to_string(indent=0, skip_new_lines=True)
        return text
    if pt.is_temporal(array.type) or pt.is_interval(array.type):
        text = value.to_string(indent=0, skip_new_lines=True)
        return text[1:-1]
    return str(array[row].as_py())


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
