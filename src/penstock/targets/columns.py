"""Check the columns of a Parquet file against the rules of targets, by their Arrow types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from penstock.domain.schema import INTEGER_RANGES, META_FIELD, CollectionSchema, DataType, Field
from penstock.targets import table
from penstock.targets.rule import Finding, Target, TargetRule

_WIDTHS = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_HALF = (DataType.FLOAT16_VECTOR, DataType.BFLOAT16_VECTOR)
_AS_TEXT = (DataType.JSON, DataType.GEOMETRY, DataType.TIMESTAMPTZ)
_FLOATS = (DataType.FLOAT, DataType.DOUBLE)


def check_columns(
    columns: pa.Schema, schema: CollectionSchema, targets: Sequence[Target], file: str
) -> Iterator[Finding]:
    """Yield what the targets refuse of a Parquet file with these columns; renamed columns keep their file's names."""
    for column in columns:
        field = schema.get(column.name)
        if field is None:
            rule: TargetRule | None = None
            message = f"no field has the name of the column {column.name!r}"
            if column.name == META_FIELD:
                rule = None if pt.is_string(column.type) else _text_rule(column.type)
                message = f"the column is {column.type}"
            elif not column.name.startswith("__index_level_"):
                rule = table.DYNAMIC_COLUMN if schema.dynamic else table.UNKNOWN_COLUMN
        else:
            rule, message = (
                _column_rule(column.type, field),
                f"the column is {column.type}, the field {field.type.value}",
            )
        finding = rule.finding(targets, message, file=file, field=column.name) if rule else None
        if finding is not None:
            yield finding


def _column_rule(kind: Any, field: Field) -> TargetRule | None:
    """The rule that a column of an Arrow type breaks; None if the field takes it."""
    if isinstance(kind, pa.BaseExtensionType):
        return table.OTHER_TYPE
    if pt.is_null(kind):  # its nulls are checked as values
        return None
    if pt.is_dictionary(kind):
        return table.DICTIONARY
    if pt.is_temporal(kind):
        return table.TIME_TYPES
    if field.type.is_text:
        return _text_rule(kind)
    if field.type in _AS_TEXT:
        return table.NESTED_FORM if pt.is_nested(kind) or pt.is_binary(kind) else _text_rule(kind)
    if field.type is DataType.BOOL:
        return None if pt.is_boolean(kind) else table.OTHER_TYPE
    if field.type.is_number:
        return _number_rule(kind, field)
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return _sparse_rule(kind)
    if field.type.is_dense_vector:
        return _vector_rule(kind, field)
    return _list_rule(kind, field)


def _text_rule(kind: Any) -> TargetRule | None:
    if pt.is_string(kind):
        return None
    is_other_text = pt.is_large_string(kind) or pt.is_string_view(kind)
    return table.LARGE_STRING if is_other_text else table.DECIMAL if pt.is_decimal(kind) else table.OTHER_TYPE


def _number_rule(kind: Any, field: Field) -> TargetRule | None:
    if pt.is_decimal(kind):
        return table.DECIMAL
    if pt.is_float16(kind):
        return table.HALF_FLOAT
    if pt.is_unsigned_integer(kind):
        return table.UNSIGNED
    if pt.is_floating(kind):
        return None if field.type in _FLOATS else table.NARROWING
    if not pt.is_signed_integer(kind):
        return table.OTHER_TYPE
    if field.type in INTEGER_RANGES and kind.bit_width > _WIDTHS[field.type]:
        return table.NARROWING
    return None


def _list_form(kind: Any) -> TargetRule | None:
    if pt.is_fixed_size_list(kind):
        return table.FIXED_SIZE_LIST
    return None if pt.is_list(kind) else table.LARGE_LIST


def _is_listed(kind: Any) -> bool:
    return bool(
        pt.is_list(kind)
        or pt.is_large_list(kind)
        or pt.is_fixed_size_list(kind)
        or pt.is_list_view(kind)
        or pt.is_large_list_view(kind)
    )


def _vector_rule(kind: Any, field: Field) -> TargetRule | None:
    has_bytes = field.type in (*_HALF, DataType.BINARY_VECTOR)
    if not _is_listed(kind):
        return None if has_bytes and pt.is_binary(kind) else table.OTHER_TYPE
    element = kind.value_type
    if pt.is_float16(element):
        return table.HALF_FLOAT
    if pt.is_decimal(element):
        return table.DECIMAL
    if field.type in _HALF and pt.is_floating(element):
        return table.HALF_AS_FLOATS
    if field.type is DataType.FLOAT_VECTOR:
        fits = pt.is_floating(element)
    else:
        fits = pt.is_int8(element) if field.type is DataType.INT8_VECTOR else pt.is_uint8(element)
    return _list_form(kind) if fits else table.VECTOR_ELEMENTS


def _sparse_rule(kind: Any) -> TargetRule | None:
    if pt.is_struct(kind):
        names = {kind.field(number).name for number in range(kind.num_fields)}
        return table.SPARSE_STRUCT if names == {"indices", "values"} else table.NESTED_FORM
    return table.NESTED_FORM if pt.is_nested(kind) else _text_rule(kind)


def _list_rule(kind: Any, field: Field) -> TargetRule | None:
    if not _is_listed(kind):
        return table.OTHER_TYPE
    if field.type is DataType.ARRAY and field.element_type is not None:
        rule = _column_rule(kind.value_type, Field(name=field.name, type=field.element_type))
        if rule is not None:
            return rule
    if field.type is DataType.ARRAY_OF_STRUCT and pt.is_struct(kind.value_type):
        for part in field.fields:
            position = kind.value_type.get_field_index(part.name)
            rule = _column_rule(kind.value_type.field(position).type, part) if position >= 0 else None
            if rule is not None:
                return rule
    return _list_form(kind)
