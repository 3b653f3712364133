"""Sample the rows of JSON and JSON Lines files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from penstock.errors import DataError
from penstock.readers.base import Sample, SampleRequest
from penstock.readers.columns.json_values import exact_value, json_type


def sample_records(request: SampleRequest, groups: Iterable[Iterable[tuple[int, bytes]]]) -> Sample:
    """Sample rows of (byte offset in the file, JSON text), a group per block. Raises DataError for a broken row."""
    name = request.sources[0].name
    columns: dict[str, list[Any]] = {}
    rows = read = 0
    has_all_columns = True
    is_complete = True
    try:
        for group in groups:
            for offset, text in group:
                if rows == request.max_rows or read >= request.max_bytes:
                    is_complete = False
                    break
                for key, value in _row(text, offset).items():
                    values = columns.get(key)
                    if values is None:
                        if len(columns) == request.max_columns:
                            has_all_columns = False
                            continue
                        values = columns[key] = []
                    values += [None] * (rows - len(values))
                    values.append(value)
                rows += 1
                read += len(text)
            if not is_complete:
                break
    except DataError as error:
        raise error.at(file=name, row=rows if error.row is None else error.row) from None
    for values in columns.values():
        values += [None] * (rows - len(values))
    return Sample(columns=columns, rows=rows, is_complete=is_complete, has_all_columns=has_all_columns)


def _row(text: bytes, offset: int) -> dict[str, Any]:
    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            row = exact_value(text)
        except DataError as error:
            raise error.at(offset=offset + (error.offset or 0)) from None
    if not isinstance(row, dict):
        raise DataError(f"each row should be a key-value map, but got type {json_type(row)}", offset=offset)
    return row
