"""Mappings of columns to fields: from which columns of a file the fields get their values.

A reader gets a *source schema*, in which a field that is mapped has the name of its column, and a field that is cast
the type in which its column is read. :mod:`penstock.imports.mapped_batches` turns its batches into those of the
collection's fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError, shorten
from penstock.rules.rule import Array
from penstock.rules.violations import changed

NO_TEXT = "\0"
"""A null key that no text equals."""
_MAX_TEXT = 65_535


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
        columns = [column for target in schema.fields for column in self._source_fields(target, skipped)]
        # Several fields may be within one column.
        return replace(schema, fields=tuple({column.name: column for column in columns}.values()))

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

    def _source_fields(self, target: Field, skipped: frozenset[str]) -> Iterator[Field]:
        source = self.sources.get(target.name)
        if source is None:
            if target.name not in skipped:
                yield target
        elif isinstance(source, Renamed):
            yield replace(target, name=source.column)
        elif not isinstance(source, Constant):
            optional = target.nullable or target.default is not None or isinstance(source, Nested)
            for column in source.columns:
                is_text = source.type is DataType.VARCHAR
                length = (target.max_length if isinstance(source, Gathered) else _MAX_TEXT) if is_text else None
                yield Field(name=column, type=source.type, max_length=length, nullable=optional)


def _labelled(error: DataError, columns: Sequence[str], name: str) -> DataError:
    if list(columns) == [name] or not columns:
        return error
    noun = "column" if len(columns) == 1 else "columns"
    label = f"{noun} {', '.join(repr(shorten(column)) for column in columns[:3])}{', …' if len(columns) > 3 else ''}"
    label += f" (field {name!r})"

    def labelled(other: DataError) -> DataError:
        rule = other.rule
        for prefix in ("the field", "field"):
            rule = rule.replace(f"{prefix} '{other.field}'", label)
        return other.at(rule=rule if label in rule else f"{label}: {rule}", field=name)

    return changed(error, labelled)
