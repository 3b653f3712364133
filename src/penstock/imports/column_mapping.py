"""The import options ``mapping`` and ``drop_columns``: from which columns of a file the fields get their values.

A reader gets a *source schema*, in which a field that is mapped has the name of its column, and a field that is cast
the type in which its column is read. :mod:`penstock.imports.mapped_batches` turns its batches into those of the
collection's fields.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import pyarrow as pa

from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.errors import DataError, ImportRefused, shorten
from penstock.imports.nested_values import add_value
from penstock.readers.columns.json_values import JsonParser
from penstock.readers.columns.row_builder import make_column
from penstock.readers.csv.cells import cell_column
from penstock.readers.unknown_columns import listed, nearest
from penstock.rules.rule import Array, describe

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
NO_TEXT = "\0"
"""A null key that no text equals."""
_MAX_TEXT = 65_535
_FORMS = (
    '"column", {"column": "column", "cast": "VarChar"}, {"columns": ["x0", "x1"]} (a vector or array of them), '
    '{"path": "a.b[0]"} (within a column of objects) or {"value": 5} (a constant)'
)
_PATH = re.compile(r"([^.\[\]]+)((?:\.[^.\[\]]+|\[[0-9]{1,9}\])+)")
_STEP = re.compile(r"\.([^.\[\]]+)|\[([0-9]+)\]")
_MAX_STEPS = 32
_FLOATING = (DataType.FLOAT_VECTOR, DataType.FLOAT16_VECTOR, DataType.BFLOAT16_VECTOR)


@dataclass(frozen=True, slots=True)
class Renamed:
    """The field is a column of another name."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)


@dataclass(frozen=True, slots=True)
class Cast:
    """The field is a column that is read as ``type`` and then cast to the field's type."""

    column: str
    type: DataType

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)


@dataclass(frozen=True, slots=True)
class Gathered:
    """The field is a vector or array whose elements are the values of several columns."""

    columns: tuple[str, ...]
    type: DataType


@dataclass(frozen=True, slots=True)
class Nested:
    """The field is within a column of objects or lists: ``steps`` are keys, and positions of list elements."""

    column: str
    steps: tuple[str | int, ...]

    @property
    def type(self) -> DataType:
        return DataType.JSON

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """All rows have one value: ``array`` has it, in canonical type, as its only row."""

    array: Array

    @property
    def columns(self) -> tuple[str, ...]:
        return ()


FieldSource: TypeAlias = Renamed | Cast | Gathered | Nested | Constant


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Sources of the fields that don't simply have a column of their own name, and the columns to leave out."""

    sources: Mapping[str, FieldSource] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()

    @classmethod
    def of(cls, options: Mapping[str, str], schema: CollectionSchema) -> ColumnMapping:
        """The mapping that import options choose.

        Raises:
            ImportRefused: an option is no valid JSON, names no field, or gives a field a source that it can't have.
        """
        specs = _parsed(options, "mapping", dict)
        dropped = _parsed(options, "drop_columns", list)
        if not (specs or dropped):
            return cls()
        if not all(isinstance(name, str) and name for name in dropped):
            raise _refused("options.drop_columns is a JSON list of column names", "drop_columns")
        mapping = cls(
            sources={name: _source(name, spec, schema) for name, spec in specs.items()}, dropped=frozenset(dropped)
        )
        mapping._check(schema)
        return mapping

    def __bool__(self) -> bool:
        return bool(self.sources or self.dropped)

    @property
    def columns(self) -> Mapping[str, str]:
        """The fields of the columns that the mapping names, by column."""
        return {column: name for name, source in self.sources.items() for column in source.columns}

    @property
    def excluded(self) -> frozenset[str]:
        """Columns that are not read: the dropped ones, and those named as a field that has another source."""
        return (self.dropped | self.sources.keys()) - self.columns.keys()

    def source_schema(self, schema: CollectionSchema) -> CollectionSchema:
        """The schema of the file's columns."""
        if not self:
            return schema
        skipped = self.excluded | self.columns.keys()
        fields = [part for each in schema.fields for part in self._source_fields(each, skipped)]
        # Several fields may be within one column.
        return replace(schema, fields=tuple({part.name: part for part in fields}.values()))

    def by_field(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Name the values of partition columns as the fields that they are mapped to."""
        names = {source.column: name for name, source in self.sources.items() if isinstance(source, Renamed)}
        return {names.get(column, column): value for column, value in values.items()}

    def required(self, values: Mapping[str, Any]) -> frozenset[str]:
        """The columns that a file must have, given the ``values`` of its partition columns."""
        return frozenset(
            column
            for source in self.sources.values()
            for column in source.columns
            if not (isinstance(source, Renamed) and column in values)
        )

    def name_field(self, error: DataError, name: str | None = None) -> DataError:
        """Name the field of an error in a column of the file; ``name`` is the field where the column has several."""
        name = name or self.columns.get(error.field or "")
        return error if name is None or error.field is None else _labelled(error, [error.field], name)

    def name_column(self, error: DataError) -> DataError:
        """Name the column of an error in a field."""
        source = self.sources.get(error.field or "")
        return error if source is None or error.field is None else _labelled(error, source.columns, error.field)

    def _source_fields(self, each: Field, skipped: frozenset[str]) -> Iterator[Field]:
        source = self.sources.get(each.name)
        if source is None:
            if each.name not in skipped:
                yield each
        elif isinstance(source, Renamed):
            yield replace(each, name=source.column)
        elif not isinstance(source, Constant):
            optional = each.nullable or each.default is not None or isinstance(source, Nested)
            for column in source.columns:
                is_text = source.type is DataType.VARCHAR
                length = (each.max_length if isinstance(source, Gathered) else _MAX_TEXT) if is_text else None
                yield Field(name=column, type=source.type, max_length=length, nullable=optional)

    def _check(self, schema: CollectionSchema) -> None:
        """Raises ImportRefused where two fields would share a column, or a required field would have none."""
        users: dict[str, str] = {}
        for name, source in self.sources.items():
            for column in source.columns:
                if column in users and not (
                    isinstance(source, Nested) and isinstance(self.sources[users[column]], Nested)
                ):
                    raise _refused(
                        f"options.mapping gives the column {shorten(column)!r} to two fields, {users[column]!r} and "
                        f"{name!r}: a column belongs to one field",
                        field=name,
                    )
                users[column] = name
        for column, name in users.items():
            if column in self.dropped:
                raise _refused(
                    f"options.mapping gives the column {shorten(column)!r} to the field {name!r}, and "
                    "options.drop_columns drops it",
                    field=name,
                )
            other = schema.get(column)
            if other is not None and not schema.is_computed(other) and column not in self.sources:
                raise _refused(
                    f"options.mapping gives the column {column!r} to the field {name!r}, but {column!r} is a field "
                    f"too, which has no other column. Map it as well"
                    + (f', or give it a constant: {{"{column}": {{"value": null}}}}' if other.nullable else ""),
                    field=column,
                )
        for each in schema:
            optional = schema.is_computed(each) or each.nullable or each.default is not None
            if each.name in self.dropped and each.name not in self.sources and not optional:
                raise _refused(
                    f"options.drop_columns drops the column {each.name!r}, whose field needs values: map it from "
                    "another column, or give it a constant",
                    "drop_columns",
                    field=each.name,
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


_NOUNS: Mapping[type, str] = {dict: "an object from fields to columns", list: "a list of column names"}


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


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
    parts = _PATH.fullmatch(path) if isinstance(path, str) else None
    if parts is None:
        raise _refused(
            f"options.mapping of the field {target.name!r}: {shorten(path)!r} is no path such as a.b[0], which "
            "begins with the name of a column",
            field=target.name,
        )
    _check_column(target, parts[1])
    steps = [key or int(position) for key, position in _STEP.findall(parts[2])]
    if len(steps) > _MAX_STEPS:
        raise _refused(
            f"options.mapping: the path of the field {target.name!r} has {len(steps)} steps, more than {_MAX_STEPS}",
            field=target.name,
        )
    return Nested(parts[1], tuple(steps))


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
        return Constant(constant_array(target, value))
    except DataError as error:
        raise _refused(
            f"options.mapping: the constant of the field {target.name!r} is not valid: {error.rule}",
            field=target.name,
        ) from None


def constant_array(target: Field, value: Any) -> pa.Array[Any]:
    """A JSON value as a column of one row. Text is read as a CSV cell is, so that "5" is a number too.

    Raises:
        DataError: it is no value of the field.
    """
    if isinstance(value, str):
        cells = pa.array([value.encode()], pa.binary())
        return cell_column(target, NO_TEXT, lambda *_: None)(cells)
    parser = JsonParser()
    row = parser.parse(json.dumps({"value": value}).encode())
    column = make_column(target, 1, lambda *_: None)
    add_value(column, target, row["value"])
    return column.take()


def _labelled(error: DataError, columns: Sequence[str], name: str) -> DataError:
    if list(columns) == [name] or not columns:
        return error
    noun = "column" if len(columns) == 1 else "columns"
    label = f"{noun} {', '.join(repr(shorten(column)) for column in columns[:3])}{', …' if len(columns) > 3 else ''}"
    label += f" (field {name!r})"
    rule = error.rule
    for prefix in ("the field", "field"):
        rule = rule.replace(f"{prefix} '{error.field}'", label)
    if label not in rule:
        rule = f"{label}: {rule}"
    return error.at(rule=rule, field=name)
