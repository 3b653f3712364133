"""Read the values of rows, part by part where all of them might be too much.

Lance reads the rows of one call at once, and a text may have two MiB: 16,384 rows may have 32 GiB. So the columns say
how many rows are read at a time, and a result that exceeds its limit is read no further.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from lance.dataset import LanceDataset

from penstock.domain.deadline import check_deadline
from penstock.domain.schema import MAX_TEXT_BYTES, META_FIELD, CollectionSchema, DataType, Field
from penstock.engines.lance.layout.encoding import decode
from penstock.engines.lance.layout.names import stored_name
from penstock.engines.result_limit import ResultLimit
from penstock.errors import FieldNotFound
from penstock.rules.table import MAX_JSON_BYTES

READAHEAD, IO_BUFFER = 2, 64 << 20
"""Of scans of many rows: batches, and bytes that are read ahead of decoding; Lance's default is 2 GB."""

_LEAST_ROWS = 16
"""Rows that are read at a time though they may be too long: arrays may have 4,096 long texts, and have few."""
_NUMBER_BYTES = 8
_SPARSE_BYTES = 1 << 18
"""Of a sparse vector, whose length has no limit of its own: the terms of a long text take so many."""


def output_columns(schema: CollectionSchema, columns: Sequence[str]) -> list[str]:
    """The primary key, then ``columns``, each once.

    Raises:
        FieldNotFound: the collection has no such field.
    """
    names = list(dict.fromkeys([schema.primary.name, *columns]))
    for name in names:
        if schema.get(name) is None and not (name == META_FIELD and schema.dynamic):
            raise FieldNotFound(f"field {name} not exist", field=name)
    return names


def rows_within(schema: CollectionSchema, columns: Sequence[str], max_bytes: int) -> int:
    """How many rows have at most ``max_bytes`` in these columns, even if all their values are as long as may be."""
    longest = sum(_longest(schema.get(name)) for name in columns)
    return max(_LEAST_ROWS, max_bytes // max(longest, 1))


def _longest(field: Field | None) -> int:
    """The most bytes of a value; None is ``$meta``."""
    if field is None or field.type is DataType.JSON:
        return MAX_JSON_BYTES
    if field.type is DataType.ARRAY_OF_STRUCT:
        return (field.max_capacity or 0) * sum(map(_longest, field.fields))
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return _SPARSE_BYTES
    if field.type.is_dense_vector:
        return field.width if field.type is DataType.BINARY_VECTOR else 4 * field.width
    if field.type is DataType.GEOMETRY:
        return MAX_TEXT_BYTES
    return (field.max_capacity or 1) * (field.max_bytes or _NUMBER_BYTES)


def take_rows(
    dataset: LanceDataset,
    addresses: pa.Array[Any],
    schema: CollectionSchema,
    columns: Sequence[str],
    max_bytes: int | None = None,
) -> pa.Table:
    """Fetch columns (fields or ``$meta``) of the rows at ``addresses``, in that order, in canonical types.

    Raises:
        InvalidParameter: they take more than ``max_bytes``; not many more have been read.
        DeadlineExceeded
    """
    size = len(addresses) if max_bytes is None else rows_within(schema, columns, max_bytes)
    limit = ResultLimit(max_bytes)
    parts = []
    for part in rows_in_parts(dataset, addresses, schema, columns, size):
        check_deadline()
        limit.add(part)
        parts.append(part)
    return pa.concat_tables(parts)


def rows_in_parts(
    dataset: LanceDataset, addresses: pa.Array[Any], schema: CollectionSchema, columns: Sequence[str], size: int
) -> Iterator[pa.Table]:
    """As :func:`take_rows`, in tables of ``size`` rows; one without rows if there are no addresses."""
    stored = [stored_name(name) for name in columns]
    if not len(addresses):
        yield decode(dataset.schema.empty_table().select(stored), schema, columns)
        return
    for start in range(0, len(addresses), size):
        yield decode(dataset._take_rows(addresses.slice(start, size), columns=stored), schema, columns)
