"""Rows as they are in their file, for reports of rejected rows."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from penstock.readers.base import Origin, RejectedRow
from penstock.readers.columnar_rows import MAX_ROW_BYTES, ColumnarRows
from penstock.readers.shared_values import without_shared_values
from penstock.rules.bad_rows import BadRows, Rows


def rejected_rows(bad: BadRows, first_row: int, batch: pa.RecordBatch) -> list[RejectedRow]:
    """The bad rows of a batch of a file's columns that begins with the row ``first_row`` of the file range."""
    if not bad:
        return []
    return [
        RejectedRow(first_row + row, [error.at(row=first_row + row) for error in bad.errors(row)], origin)
        for row, origin in zip(bad.rows.tolist(), origins_of(batch, bad.rows), strict=True)
    ]


def origins_of(batch: pa.RecordBatch, rows: Rows) -> Sequence[Origin]:
    """Rows of a columnar format."""
    if not len(rows):
        return []
    # A slice would keep the whole batch in memory, as would what its rows share.
    taken = ColumnarRows(without_shared_values(batch.take(rows)))
    return [
        Origin(rows=taken, place=place) if size <= MAX_ROW_BYTES else Origin()
        for place, size in enumerate(taken.sizes())
    ]


def text_origin(text: str, offset: int | None = None) -> Origin:
    """The origin for the text of a row, unless that is too long to be kept."""
    return Origin(text if len(text) <= MAX_ROW_BYTES else None, offset)


def text_of_origin(origin: Origin) -> str | None:
    """A row as text; None where it isn't kept."""
    return origin.text if origin.rows is None else origin.rows.text(origin.place)
