"""Parse the import options ``mapping`` and ``drop_columns``, and check them against the collection's fields."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.errors import DataError, ImportRefused, shorten
from penstock.imports.column_mapping import (
    NO_TEXT,
    Cast,
    ColumnMapping,
    Constant,
    FieldSource,
    Gathered,
    Nested,
    Renamed,
)
from penstock.imports.nested_values import add_value
from penstock.readers.columns.json_values import JsonParser
from penstock.readers.columns.row_builder import make_column
from penstock.readers.csv.cells import cell_column
from penstock.readers.unknown_columns import listed, nearest
from penstock.rules.rule import describe

MAX_OPTION_BYTES = 1 << 20
"""Bytes of each option: enough for a vector of 32,768 dimensions with a column for each."""
CASTS: Sequence[DataType] = (
    DataType.BOOL,
    DataType.INT8,
    DataType.INT16,
    DataType.INT32,
    DataType.INT64,
    DataType.FLOAT,
    DataType.DOUBLE,
    DataType.VARCHAR,
    DataType.JSON,
)
"""Types in which a column can be read before it is cast to its field's type."""
_FORMS = (
    '"column", {"column": "column", "cast": "VarChar"}, {"columns": ["x0", "x1"]} (a vector or array of them), '
    '{"path": "a.b[0]"} (within a column of objects) or {"value": 5} (a constant)'
)
_PATH = re.compile(r"([^.\[\]]+)((?:\.[^.\[\]]+|\[[0-9]{1,9}\])+)")
_STEP = re.compile(r"\.([^.\[\]]+)|\[([0-9]+)\]")
_MAX_STEPS = 32
_FLOATING = (DataType.FLOAT_VECTOR, DataType.FLOAT16_VECTOR, DataType.BFLOAT16_VECTOR)
_NOUNS: Mapping[type, str] = {dict: "an object from fields to columns", list: "a list of column names"}


def column_mapping_of(options: Mapping[str, str], schema: CollectionSchema) -> ColumnMapping:
    """Parse the mapping that import options choose for a collection.

    Raises:
        ImportRefused: an option is not valid JSON, names no field, or gives a field a source that it can't have.
    """
    specs, dropped = parsed_options(options)
    if not (specs or dropped):
        return ColumnMapping()
    mapping = ColumnMapping(
        sources={name: _source(name, spec, schema) for name, spec in specs.items()}, dropped=dropped
    )
    _check_columns(mapping, schema)
    _check_dropped(mapping, schema)
    return mapping


def parsed_options(options: Mapping[str, str]) -> tuple[Mapping[str, Any], frozenset[str]]:
    """The JSON values of the options ``mapping`` and ``drop_columns``.

    Raises:
        ImportRefused: an option is not valid JSON of its kind.
    """
    specs = _parsed(options, "mapping", dict)
    dropped = _parsed(options, "drop_columns", list)
    if not all(isinstance(name, str) and name for name in dropped):
        raise _refused("options.drop_columns is a JSON list of column names", "drop_columns")
    return specs, frozenset(dropped)


def parse_path(path: str) -> tuple[str, tuple[str | int, ...]] | None:
    """The column of a path such as ``a.b[0]``, and the steps within it; None for another text."""
    parts = _PATH.fullmatch(path)
    if parts is None:
        return None
    return parts[1], tuple(key or int(position) for key, position in _STEP.findall(parts[2]))


def _check_columns(mapping: ColumnMapping, schema: CollectionSchema) -> None:
    """Refuse a column that two fields would share, or that is dropped."""
    users: dict[str, str] = {}
    for name, source in mapping.sources.items():
        for column in source.columns:
            if column in users and not (
                isinstance(source, Nested) and isinstance(mapping.sources[users[column]], Nested)
            ):
                raise _refused(
                    f"options.mapping gives the column {shorten(column)!r} to two fields, {users[column]!r} and "
                    f"{name!r}: a column belongs to one field",
                    field=name,
                )
            users[column] = name
    for column, name in users.items():
        if column in mapping.dropped:
            raise _refused(
                f"options.mapping gives the column {shorten(column)!r} to the field {name!r}, and "
                "options.drop_columns drops it",
                field=name,
            )
        other = schema.get(column)
        if other is not None and not schema.is_computed(other) and column not in mapping.sources:
            raise _refused(
                f"options.mapping gives the column {column!r} to the field {name!r}, but {column!r} is a field "
                f"too, which has no other column. Map it as well"
                + (f', or give it a constant: {{"{column}": {{"value": null}}}}' if other.nullable else ""),
                field=column,
            )


def _check_dropped(mapping: ColumnMapping, schema: CollectionSchema) -> None:
    """Refuse to drop the column of a field that needs values."""
    for field in schema:
        optional = schema.is_computed(field) or field.nullable or field.default is not None
        if field.name in mapping.dropped and field.name not in mapping.sources and not optional:
            raise _refused(
                f"options.drop_columns drops the column {field.name!r}, whose field needs values: map it from "
                "another column, or give it a constant",
                "drop_columns",
                field=field.name,
            )


def _refused(message: str, option: str = "mapping", **details: Any) -> ImportRefused:
    return ImportRefused(message, option=option, **details)


def _parsed(options: Mapping[str, str], name: str, kind: type[dict[str, Any]] | type[list[Any]]) -> Any:
    text = options.get(name)
    if not text:
        return kind()
    if len(text) > MAX_OPTION_BYTES:
        raise _refused(f"options.{name} has {len(text):,} characters; at most {MAX_OPTION_BYTES:,} are allowed", name)

    def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
            raise _refused(
                f"options.{name} names {shorten(twice)!r} twice: a field has one source", name, field=twice
            )
        return values

    example = '{"vector": "embedding"}' if kind is dict else '["comment"]'
    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=_no_number)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # refuses half surrogate pairs and infinity
    except (ValueError, RecursionError) as error:
        raise _refused(
            f"options.{name} is not valid JSON: {shorten(str(error), 200)}. It is text such as {example}", name
        ) from None
    if not isinstance(value, kind):
        raise _refused(f"options.{name} is the JSON text of {_NOUNS[kind]}, such as {example}", name)
    return value


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _source(name: str, spec: Any, schema: CollectionSchema) -> FieldSource:
    target = schema.get(name)
    if target is None:
        near = nearest(name, schema.names)
        raise _refused(
            f"options.mapping names {shorten(name)!r}, which is not a field of the collection. "
            + (f"Did you mean {near!r}? " if near else "")
            + f"The fields: {listed(schema.names)}",
            field=name,
        )
    if schema.is_computed(target):
        raise _refused(
            f"options.mapping names the field {name!r}, whose values the server makes: leave it out. A column of the "
            f'file that has its name is dropped by drop_columns ["{name}"]',
            field=name,
        )
    if isinstance(spec, str):
        spec = {"column": spec}
    keys = frozenset(spec) if isinstance(spec, dict) else frozenset()
    if keys in (frozenset({"column"}), frozenset({"column", "cast"})):
        return _column_source(target, spec["column"], spec.get("cast"))
    if keys == {"columns"}:
        return _gathered(target, spec["columns"])
    if keys == {"path"}:
        return _nested(target, spec["path"])
    if keys == {"value"}:
        return _constant(target, spec["value"])
    raise _refused(f"options.mapping of the field {name!r} must be {_FORMS}", field=name)


def _column_source(target: Field, column: Any, cast: Any) -> FieldSource:
    _check_column(target, column)
    if cast is None:
        return Renamed(column)
    types = {kind.value.casefold(): kind for kind in CASTS}
    kind = types.get(cast.casefold()) if isinstance(cast, str) else None
    if kind is None:
        raise _refused(
            f"options.mapping casts the column {column!r} of the field {target.name!r} from {shorten(cast)!r}; "
            f"columns can be read as {', '.join(CASTS)}",
            field=target.name,
        )
    if kind is target.type:
        return Renamed(column)
    if not _castable(kind, target):
        raise _refused(
            f"options.mapping: {kind} can't be cast to the field {target.name!r}, which is {describe(target)}. Read "
            f"the column as {DataType.VARCHAR} if it holds the values as text",
            field=target.name,
        )
    return Cast(column, kind)


def _castable(kind: DataType, target: Field) -> bool:
    if kind in (DataType.VARCHAR, DataType.JSON):
        return True
    scalar = target.type.is_number or target.type in (DataType.BOOL, DataType.VARCHAR)
    return scalar or target.type is DataType.JSON


def _gathered(target: Field, columns: Any) -> Gathered:
    if not isinstance(columns, list) or not columns:
        raise _refused(f"options.mapping of the field {target.name!r}: columns is a list of names", field=target.name)
    for column in columns:
        _check_column(target, column)
    kind = _element_type(target)
    if kind is None:
        raise _refused(
            f"options.mapping: the field {target.name!r} is {describe(target)}, which can't be made from columns: "
            "only vectors of numbers and arrays can",
            field=target.name,
        )
    if target.dim is not None and len(columns) != target.dim:
        raise _refused(
            f"options.mapping makes the field {target.name!r} from {len(columns)} columns; it has {target.dim} "
            "dimensions",
            field=target.name,
        )
    if target.max_capacity is not None and len(columns) > target.max_capacity:
        raise _refused(
            f"options.mapping makes the field {target.name!r} from {len(columns)} columns; its max_capacity is "
            f"{target.max_capacity}",
            field=target.name,
        )
    return Gathered(tuple(columns), kind)


def _nested(target: Field, path: Any) -> Nested:
    parsed = parse_path(path) if isinstance(path, str) else None
    if parsed is None:
        raise _refused(
            f"options.mapping of the field {target.name!r}: {shorten(path)!r} is not a path such as a.b[0], which "
            "begins with the name of a column",
            field=target.name,
        )
    column, steps = parsed
    _check_column(target, column)
    if len(steps) > _MAX_STEPS:
        raise _refused(
            f"options.mapping: the path of the field {target.name!r} has {len(steps)} steps, more than {_MAX_STEPS}",
            field=target.name,
        )
    return Nested(column, steps)


def _element_type(target: Field) -> DataType | None:
    """The type of the columns of a vector or array; None for other fields."""
    if target.type in _FLOATING:
        return DataType.FLOAT
    return DataType.INT8 if target.type is DataType.INT8_VECTOR else target.element_type


def _check_column(target: Field, column: Any) -> None:
    if not isinstance(column, str) or not column:
        raise _refused(f"options.mapping of the field {target.name!r} must be {_FORMS}", field=target.name)
    if column == META_FIELD:
        raise _refused(
            f"options.mapping: {META_FIELD!r} is the dynamic field, and no column of the field {target.name!r}",
            field=target.name,
        )


def _constant(target: Field, value: Any) -> Constant:
    if target.primary:
        raise _refused(
            f"options.mapping: the primary key {target.name!r} can't be a constant: rows would have the same key",
            field=target.name,
        )
    try:
        return Constant(_constant_array(target, value))
    except DataError as error:
        raise _refused(
            f"options.mapping: the constant of the field {target.name!r} is not valid: {error.rule}",
            field=target.name,
        ) from None


def _constant_array(target: Field, value: Any) -> pa.Array[Any]:
    """A JSON value as a column of one row. Text is read as a CSV cell is, so that "5" is a number too.

    Raises:
        DataError: it is not a value of the field.
    """
    if isinstance(value, str):
        cells = pa.array([value.encode()], pa.binary())
        return cell_column(target, NO_TEXT, lambda *_: None)(cells)
    parser = JsonParser()
    row = parser.parse(json.dumps({"value": value}).encode())
    column = make_column(target, 1, lambda *_: None)
    add_value(column, target, row["value"])
    return column.take()
