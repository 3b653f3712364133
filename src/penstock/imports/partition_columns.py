"""Columns that stand in the folders of a path, as Hive, Spark and Dask write them: ``country=DE/part-0.parquet``.

A value fills the field of that name in rows of the file that have none of their own. Where the collection has no such
field, it becomes a dynamic value, or is left out with a warning.
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

__all__ = ["PartitionColumns", "add_dynamic_values", "parse_folders", "partition_columns", "with_values"]

PartitionColumns: TypeAlias = Mapping[str, Any]
"""Values of all rows of a file, by column: of fields in their types, of others as JSON has them."""

_FOLDER = re.compile(r"([^=$][^=]*)=(.*)", re.DOTALL)
_NULL = "__HIVE_DEFAULT_PARTITION__"
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""Written so that it comes back the same, and surely within 64 bits."""
_MAX_COLUMNS = 64
"""Of one path: tables have a handful."""
_MAX_NAMED = 20
"""Columns that warnings name."""
_NO_TEXT = "\0"
"""A null key that no name of a folder can be."""


def parse_folders(name: str) -> Mapping[str, str | None]:
    """The columns in the folders of a file's name, as text, None for null; of two of a name the last one counts."""
    found: dict[str, str | None] = {}
    for folder in name.split("/")[:-1]:
        if parts := _FOLDER.fullmatch(folder):
            value = unquote(parts[2])
            found[unquote(parts[1])] = None if value == _NULL else value
    return found


def partition_columns(
    names: Sequence[str], schema: CollectionSchema, unknown: UnknownColumns = UnknownColumns.DYNAMIC
) -> tuple[Sequence[PartitionColumns], Sequence[JobWarning]]:
    """The partition columns of files with these names, and what is to be said of them.

    A dynamic value is a number where it is one in all files, as readers of such folders take it.

    Raises:
        DataError: a value isn't one of the field's type, a path has too many columns, or one that is no field and
            ``unknown`` refuses such; names the file.
    """
    texts = [_folders_of(name) for name in names]
    other_than_numbers = {
        column
        for columns in texts
        for column, text in columns.items()
        if text is not None and not _WHOLE_NUMBER.fullmatch(text)
    }
    warnings: dict[str, JobWarning] = {}
    planned: list[PartitionColumns] = []
    for name, columns in zip(names, texts, strict=True):
        values: dict[str, Any] = {}
        for column, text in columns.items():
            field = schema.get(column)
            if field is None and unknown is UnknownColumns.ERROR:
                raise unknown_column(column, schema, "partition column").at(file=name)
            code, message = _remark(column, field, schema.dynamic and unknown is UnknownColumns.DYNAMIC)
            if message:
                folder = shorten(f"{column}={text if text is not None else _NULL}", 100)
                if len(warnings) < _MAX_NAMED:
                    warnings.setdefault(column, JobWarning(code=code, message=message.format(folder=repr(folder))))
            if text is None or code == "column_dropped":
                continue
            if not text and field is not None and field.type is not DataType.VARCHAR:
                continue
            if field is not None:
                values[column] = _parsed(field, text, name)
            else:
                values[column] = text if column in other_than_numbers else int(text)
        planned.append(values)
    return planned, list(warnings.values())


def with_values(schema: CollectionSchema, columns: PartitionColumns) -> CollectionSchema:
    """The schema for a file: what its rows leave out of a field is what the folder says."""
    fields = tuple(
        replace(field, default=columns[field.name]) if field.name in columns else field for field in schema.fields
    )
    return replace(schema, fields=fields)


def add_dynamic_values(batch: pa.RecordBatch, schema: CollectionSchema, columns: PartitionColumns) -> pa.RecordBatch:
    """The batch with the columns that are no fields in its dynamic values; those of a row itself win."""
    values = {column: value for column, value in columns.items() if schema.get(column) is None}
    if not values:
        return batch
    text = orjson.dumps(values).decode()
    if META_FIELD not in batch.schema.names:
        return batch.append_column(META_FIELD, pa.repeat(pa.scalar(text), batch.num_rows))
    place = batch.schema.names.index(META_FIELD)
    given: Any = batch.column(place)
    if pa.types.is_dictionary(given.type):
        given = given.dictionary_decode()
    if not (pa.types.is_string(given.type) or pa.types.is_large_string(given.type)):
        return batch  # what it holds is the conformer's to judge
    is_empty = pc.or_kleene(pc.is_null(given), pc.match_substring_regex(given, r"^\s*(\{\s*\}|null)?\s*$"))
    # Of a key that comes twice the last one counts.
    joined = pc.replace_substring_regex(given, r"^\s*\{", text[:-1].replace("\\", "\\\\") + ",", max_replacements=1)
    merged = pc.if_else(is_empty, pa.scalar(text, given.type), joined)
    return batch.set_column(place, META_FIELD, merged)


def _folders_of(name: str) -> Mapping[str, str | None]:
    found = parse_folders(name)
    if len(found) > _MAX_COLUMNS:
        raise DataError(
            f"the path has {len(found)} partition columns (folders name=value); {_MAX_COLUMNS} are taken",
            file=name,
            remedy="Copy the file to a path with fewer of them",
        )
    return found


def _remark(column: str, field: Field | None, dynamic: bool) -> tuple[str, str]:
    """A warning's code and message, which takes a ``folder``; empty where nothing is to be said."""
    shown = shorten(column, 100).replace("{", "{{").replace("}", "}}")
    if field is not None and not (field.primary or field.type.is_vector or _is_nested(field)):
        return "", ""
    if field is not None:
        kind = "primary key" if field.primary else field.type.value
        return "column_dropped", f"the folder {{folder}} gives no values of the field {shown!r}, which is a {kind}"
    if dynamic:
        return "partition_column", f"{shown!r} is no field: folders such as {{folder}} give it as a dynamic value"
    return (
        "column_dropped",
        f"partition column {shown!r}, of folders such as {{folder}}, is no field of the collection and was left out",
    )


def _is_nested(field: Field) -> bool:
    return field.type in (DataType.JSON, DataType.ARRAY, DataType.ARRAY_OF_STRUCT)


def _parsed(field: Field, text: str, name: str) -> Any:
    try:
        return cell_column(field, _NO_TEXT)(pa.array([text.encode()], pa.binary()))[0].as_py()
    except DataError as error:
        raise DataError(
            f"the folder {shorten(f'{field.name}={text}', 100)!r} gives no value of the field: {error.rule}",
            file=name,
            field=field.name,
            value=text,
            remedy=f"{field.name!r} is {field.type.value}: rename the folder, or leave it out of the import",
        ) from error
