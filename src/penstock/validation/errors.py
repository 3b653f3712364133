"""Errors shared by several converters of columns.

Rows are counted in the given array; :class:`~penstock.validation.conform.Conformer` converts them to rows of the
split.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pt

from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.arrow_json import WarningSink, json_texts
from penstock.readers.arrow_values import Array, is_list, is_string

__all__ = ["Array", "WarningSink", "describe", "is_list", "mismatch", "not_finite", "null_element", "show"]

_WHOLE_NUMBERS = "whole numbers: integers, or floats and decimals without a fraction"
_ACCEPTED = {
    DataType.BOOL: "booleans",
    DataType.INT8: _WHOLE_NUMBERS,
    DataType.INT16: _WHOLE_NUMBERS,
    DataType.INT32: _WHOLE_NUMBERS,
    DataType.INT64: _WHOLE_NUMBERS,
    DataType.FLOAT: "numbers: integers, floats or decimals",
    DataType.DOUBLE: "numbers: integers, floats or decimals",
    DataType.VARCHAR: "UTF-8 text, UUIDs, dates, times and timestamps",
    DataType.JSON: "JSON text, or structs, maps, lists, numbers and times",
    DataType.ARRAY: "lists of {element}",
    DataType.ARRAY_OF_STRUCT: "lists of structs with the fields {parts}",
    DataType.FLOAT_VECTOR: "lists of {dim} numbers",
    DataType.FLOAT16_VECTOR: "lists of {dim} floats, or 2 * {dim} bytes (uint8 lists or binary, little-endian)",
    DataType.BFLOAT16_VECTOR: "lists of {dim} floats, or 2 * {dim} bytes (uint8 lists or binary, little-endian)",
    DataType.INT8_VECTOR: "lists of {dim} whole numbers from -128 to 127",
    DataType.BINARY_VECTOR: "{width} bytes ({dim} bits, as uint8 lists or binary)",
    DataType.SPARSE_FLOAT_VECTOR: 'JSON text such as {{"3": 0.5}}, or struct<indices: list, values: list>',
}


def describe(field: Field) -> str:
    """Format the field's type for messages: ``VarChar(64)``, ``FloatVector(768)``, ``Array<Int64>``."""
    if field.type is DataType.ARRAY and field.element_type:
        return f"Array<{field.element_type.value}>"
    size = field.dim if field.type.is_vector else field.max_length
    return field.type.value if size is None else f"{field.type.value}({size})"


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
    accepted = _ACCEPTED[field.type].format(
        dim=field.dim,
        width=(field.dim or 0) // 8,
        element=field.element_type.value if field.element_type else "",
        parts=", ".join(subfield.name for subfield in field.fields),
    )
    remedy = f"{field.type.value} fields take {accepted}."
    source = array.type
    if pt.is_temporal(source) or pt.is_interval(source):
        remedy = (
            "Write the column as a number (e.g. milliseconds) for an Int64 field, or as ISO text for a VarChar "
            "field; VarChar and JSON fields take dates, times and timestamps as they are."
        )
    elif field.type is DataType.VARCHAR and (pt.is_primitive(source) or pt.is_decimal(source)):
        remedy += " Write the numbers as text, in the spelling you want to read back."
    elif pt.is_fixed_size_binary(source) and not field.type.is_vector:
        remedy += " Write the bytes as text, such as hex; UUIDs with the type UUID of Arrow and Parquet."
    elif field.type.is_number and is_string(source):
        remedy += " Write the column with a number type instead of text."
    return DataError(
        f"the file's column is {source}, the field is {describe(field)}",
        row=max(row, 0),
        field=field.name,
        value=show(array, row) if row >= 0 else None,
        remedy=remedy,
    )


def not_finite(field: Field, row: int, value: float, *, overflow: bool) -> DataError:
    """Error for NaN or infinity, or (``overflow``) a finite number out of the field type's range."""
    if overflow:
        return DataError(
            f"{value!r} is out of range for {field.type.value}",
            row=row,
            field=field.name,
            value=value,
            remedy="Scale the values down, or use a field type with a larger range.",
        )
    name = "NaN" if value != value else "Inf" if value > 0 else "-Inf"
    return DataError(
        f"value '{name}' is not a number or infinity",
        row=row,
        field=field.name,
        value=name,
        remedy="Replace it by a finite number, or leave the row out.",
    )


def null_element(field: Field, row: int) -> DataError:
    return DataError(
        f"array element is not allowed to be null value for field '{field.name}'",
        row=row,
        field=field.name,
        remedy="Fill the element, or make the whole value null if the field is nullable.",
    )
