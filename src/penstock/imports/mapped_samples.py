"""Apply a column mapping to samples of files: the columns that an inference sees are those of the fields."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from penstock.domain.schema import DataType, Field
from penstock.errors import ImportRefused, shorten
from penstock.imports.mapped_batches import gather
from penstock.imports.mapping_options import parse_path, parsed_options
from penstock.imports.nested_values import take_nested
from penstock.readers.base import Sample
from penstock.readers.unknown_columns import listed, nearest

MAX_COLUMNS = 40_000
"""Columns of a sample of a file whose vectors have a column for each dimension."""
_MIN_DIMENSIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleMapping:
    """What the import options ``mapping`` and ``drop_columns`` say, before there is a schema."""

    sources: Mapping[str, Any]
    dropped: frozenset[str]

    @classmethod
    def of(cls, options: Mapping[str, str]) -> SampleMapping:
        """Raises ImportRefused for options that are no JSON of their kind."""
        sources, dropped = parsed_options(options)
        return cls(sources=sources, dropped=dropped)

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it names."""
        return frozenset(column for spec in self.sources.values() for column in _columns_of(spec))


def is_pattern(vector: str) -> bool:
    """Whether the chosen vector is a pattern of columns, one for each dimension, such as ``emb_*``."""
    return "*" in vector


def columns_of_pattern(pattern: str, samples: Sequence[Sample]) -> tuple[str, list[str]]:
    """The name of the vector that columns make up, and the columns, in the order of the numbers in their names.

    Raises:
        ImportRefused: fewer than two columns match, or two of them have the same number.
    """
    before, _, after = pattern.partition("*")
    shape = re.compile(re.escape(before) + r"(\d+)" + re.escape(after) + r"\Z")
    names = dict.fromkeys(name for sample in samples for name in sample.columns)
    numbers: dict[int, str] = {}
    for name in names:
        if (match := shape.match(name)) is None:
            continue
        number = int(match[1])
        if number in numbers:
            raise ImportRefused(
                f"the columns {shorten(numbers[number])!r} and {shorten(name)!r} have the same number; name the "
                "columns of the vector in the mapping",
                option="vector",
            )
        numbers[number] = name
    if len(numbers) < _MIN_DIMENSIONS:
        raise ImportRefused(
            f"{len(numbers)} columns match {shorten(pattern)!r}, where * is a number; a vector takes at least "
            f"{_MIN_DIMENSIONS}. Columns: {listed(list(names))}",
            option="vector",
        )
    ordered = [numbers[number] for number in sorted(numbers)]
    return re.sub(r"[^A-Za-z0-9_]", "_", f"{before}{after}").strip("_") or "vector", ordered


def mapped_sample(sample: Sample, mapping: SampleMapping, file: str) -> Sample:
    """The sample with the columns of the fields.

    Raises:
        ImportRefused: the mapping names a column that the file lacks, or gives a field no valid source.
    """
    columns: dict[str, Any] = {}
    arrow: dict[str, pa.Field[Any]] = {}
    for name, spec in mapping.sources.items():
        for column in _columns_of(spec):
            if sample.rows and column not in sample.columns:
                near = nearest(column, list(sample.columns))
                raise ImportRefused(
                    f"options.mapping gives the field {shorten(name)!r} the column {shorten(column)!r}, which "
                    f"{file!r} does not have. Columns: {listed(list(sample.columns))}."
                    + (f" Did you mean {near!r}?" if near else ""),
                    option="mapping",
                    field=name,
                )
        if not sample.rows:
            continue
        values = _values(sample, name, spec)
        columns[name] = values
        if isinstance(values, pa.Array | pa.ChunkedArray):
            arrow[name] = pa.field(name, values.type)
    gone = mapping.columns | mapping.dropped | mapping.sources.keys()
    for name, values in sample.columns.items():
        if name not in gone:
            columns[name] = values
            if name in sample.arrow:
                arrow[name] = sample.arrow[name]
    return replace(sample, columns=columns, arrow=arrow)


def _columns_of(spec: Any) -> Sequence[str]:
    """The columns of a source; of one that is not valid none, which is refused elsewhere."""
    if isinstance(spec, str):
        return (spec,)
    if not isinstance(spec, dict):
        return ()
    if isinstance(spec.get("columns"), list):
        return [column for column in spec["columns"] if isinstance(column, str)]
    if isinstance(spec.get("path"), str):
        path = parse_path(spec["path"])
        return () if path is None else (path[0],)
    return (spec["column"],) if isinstance(spec.get("column"), str) else ()


def _values(sample: Sample, name: str, spec: Any) -> Any:
    if isinstance(spec, dict) and spec.keys() == {"columns"}:
        return _gathered(sample, name, list(_columns_of(spec)))
    if isinstance(spec, dict) and spec.keys() == {"path"} and (path := parse_path(spec["path"])):
        return _nested(sample, *path)
    if isinstance(spec, dict) and spec.keys() == {"value"}:
        return _constant(sample, spec["value"])
    columns = _columns_of(spec)
    if not columns:
        raise ImportRefused(f"options.mapping of the field {shorten(name)!r} names no source", option="mapping")
    return sample.columns[columns[0]]


def _gathered(sample: Sample, name: str, columns: Sequence[str]) -> Any:
    values = [sample.columns[column] for column in columns]
    if all(column in sample.arrow for column in columns):
        arrays = [column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in values]
        if all(pt.is_integer(array.type) or pt.is_floating(array.type) for array in arrays):
            is_whole = all(pt.is_integer(array.type) for array in arrays)
            kind = pa.int64() if is_whole else pa.float64()
            field = Field(name=name, type=DataType.FLOAT_VECTOR, dim=len(columns))
            return gather([array.cast(kind) for array in arrays], columns, field)
        values = [array.to_pylist() for array in arrays]
    if sample.null_text is not None and not any(column in sample.arrow for column in columns):
        null = sample.null_text
        return [
            null if all(cell in (None, null) for cell in row) else f"[{','.join(map(str, row))}]"
            for row in zip(*values, strict=True)
        ]
    return [
        None if all(value is None for value in row) else list(row)
        for row in zip(*(_listed(column) for column in values), strict=True)
    ]


def _listed(values: Any) -> Sequence[Any]:
    rows: Sequence[Any] = values if isinstance(values, list) else values.to_pylist()
    return rows


def _nested(sample: Sample, column: str, steps: Sequence[str | int]) -> Any:
    values = sample.columns[column]
    rest: Sequence[str | int] = steps
    if column in sample.arrow:
        array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        array, rest = take_nested(array, steps)
        if not rest:
            return array
        values = array.to_pylist()
    is_text = sample.null_text is not None and column not in sample.arrow
    followed = [_follow(value, rest) for value in values]
    if not is_text:
        return followed
    return [sample.null_text if value is None else _cell(value) for value in followed]


def _follow(value: Any, steps: Sequence[str | int]) -> Any:
    """The value at a path within a JSON value, or the text of one; None where there is none."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    for step in steps:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and step < len(value) else None
    return value


def _constant(sample: Sample, value: Any) -> Any:
    return [value if sample.null_text is None else _cell(value)] * sample.rows


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
