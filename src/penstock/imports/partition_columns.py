"""Hive-style partition columns in the folders of a path: ``country=DE/part-0.parquet``.

A value fills the field of that name in rows of the file without a value. Where the collection has no such field, it
becomes a dynamic value, or is left out with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias
from urllib.parse import unquote

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.jobs import JobWarning
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.errors import DataError, shorten
from penstock.readers.csv.cells import cell_column
from penstock.readers.unknown_columns import UnknownColumns, unknown_column

PartitionColumns: TypeAlias = Mapping[str, Any]
"""Values for all rows of a file, by column: typed for fields, as JSON for others."""

_FOLDER = re.compile(r"([^=$][^=]*)=(.*)", re.DOTALL)
_NULL = "__HIVE_DEFAULT_PARTITION__"
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""In canonical form, and surely within 64 bits."""
_MAX_COLUMNS = 64
"""Per path: tables have a handful."""
_MAX_NAMED = 20
"""Columns listed in warnings."""
_NO_TEXT = "\0"
"""A null key that can't be a folder's name."""


def parse_folders(name: str) -> Mapping[str, str | None]:
    """Parse the columns in the folders of a file's name, as text, None for null; the last of equal names counts."""
    columns: dict[str, str | None] = {}
    for folder in name.split("/")[:-1]:
        if parts := _FOLDER.fullmatch(folder):
            value = unquote(parts[2])
            columns[unquote(parts[1])] = None if value == _NULL else value
    return columns


def partition_columns(
    names: Sequence[str],
    schema: CollectionSchema,
    unknown: UnknownColumns = UnknownColumns.DYNAMIC,
    excluded: frozenset[str] = frozenset(),
) -> tuple[Sequence[PartitionColumns], Sequence[JobWarning]]:
    """The partition columns of files with these names, and their warnings.

    Those in ``excluded`` are left out. A dynamic value is a number where it is one in all files, as other readers of
    such folders infer it.

    Raises:
        DataError: a value isn't one of the field's type, a path has too many columns, or one that is no field and
            ``unknown`` refuses it; names the file.
    """
    texts = [{column: text for column, text in _folders_of(name).items() if column not in excluded} for name in names]
    text_columns = {
        column
        for columns in texts
        for column, text in columns.items()
        if text is not None and not _WHOLE_NUMBER.fullmatch(text)
    }
    warnings: dict[str, JobWarning] = {}
    file_values: list[PartitionColumns] = []
    for name, columns in zip(names, texts, strict=True):
        values: dict[str, Any] = {}
        for column, text in columns.items():
            field = schema.get(column)
            if field is None and unknown is UnknownColumns.ERROR:
                raise unknown_column(column, schema, "partition column").at(file=name)
            code, message = _warning_for(column, field, schema.dynamic and unknown is UnknownColumns.DYNAMIC)
            if message:
                folder = shorten(f"{column}={text if text is not None else _NULL}", 100)
                if len(warnings) < _MAX_NAMED:
                    warnings.setdefault(column, JobWarning(code=code, message=message.format(folder=repr(folder))))
            if text is None or code == "column_dropped":
                continue
            if not text and field is not None and not field.type.is_text:
                continue
            if field is not None:
                values[column] = _parse_value(field, text, name)
            else:
                values[column] = text if column in text_columns else int(text)
        file_values.append(values)
    return file_values, list(warnings.values())


def with_values(schema: CollectionSchema, columns: PartitionColumns) -> CollectionSchema:
    """The schema for a file: partition columns become the defaults of their fields."""
    fields = tuple(
        replace(field, default=columns[field.name]) if field.name in columns else field for field in schema.fields
    )
    return replace(schema, fields=fields)


def add_dynamic_values(batch: pa.RecordBatch, schema: CollectionSchema, columns: PartitionColumns) -> pa.RecordBatch:
    """Add the columns that are not fields to a batch's dynamic values; values of the row itself win."""
    values = {column: value for column, value in columns.items() if schema.get(column) is None}
    if not values:
        return batch
    text = orjson.dumps(values).decode()
    if META_FIELD not in batch.schema.names:
        return batch.append_column(META_FIELD, pa.repeat(pa.scalar(text), batch.num_rows))
    index = batch.schema.names.index(META_FIELD)
    dynamic: Any = batch.column(index)
    if pa.types.is_dictionary(dynamic.type):
        dynamic = dynamic.dictionary_decode()
    if not (pa.types.is_string(dynamic.type) or pa.types.is_large_string(dynamic.type)):
        return batch  # the conformer checks it
    is_empty = pc.or_kleene(pc.is_null(dynamic), pc.match_substring_regex(dynamic, r"^\s*(\{\s*\}|null)?\s*$"))
    # The last of duplicate keys counts.
    joined = pc.replace_substring_regex(dynamic, r"^\s*\{", text[:-1].replace("\\", "\\\\") + ",", max_replacements=1)
    merged = pc.if_else(is_empty, pa.scalar(text, dynamic.type), joined)
    return batch.set_column(index, META_FIELD, merged)


def _folders_of(name: str) -> Mapping[str, str | None]:
    columns = parse_folders(name)
    if len(columns) > _MAX_COLUMNS:
        raise DataError(
            f"the path has {len(columns)} partition columns (folders name=value); at most {_MAX_COLUMNS} are allowed",
            file=name,
            remedy="Copy the file to a path with fewer",
        )
    return columns


def _warning_for(column: str, field: Field | None, dynamic: bool) -> tuple[str, str]:
    """A warning's code and message, which takes a ``folder``; empty where there is no warning."""
    label = shorten(column, 100).replace("{", "{{").replace("}", "}}")
    if field is not None and not (field.primary or field.type.is_vector or _is_nested(field)):
        return "", ""
    if field is not None:
        kind = "primary key" if field.primary else field.type.value
        return "column_dropped", f"the folder {{folder}} sets no values of the field {label!r}, which is a {kind}"
    if dynamic:
        return "partition_column", f"{label!r} is not a field: folders such as {{folder}} set it as a dynamic value"
    return (
        "column_dropped",
        f"partition column {label!r}, of folders such as {{folder}}, is not a field and was dropped",
    )


def _is_nested(field: Field) -> bool:
    return field.type in (DataType.JSON, DataType.ARRAY, DataType.ARRAY_OF_STRUCT)


def _parse_value(field: Field, text: str, name: str) -> Any:
    try:
        return cell_column(field, _NO_TEXT, lambda *_: None)(pa.array([text.encode()], pa.binary()))[0].as_py()
    except DataError as error:
        raise DataError(
            f"the folder {shorten(f'{field.name}={text}', 100)!r} has no valid value for the field: {error.rule}",
            file=name,
            field=field.name,
            value=text,
            remedy=f"{field.name!r} is {field.type.value}: rename the folder, or exclude it from the import",
        ) from error
