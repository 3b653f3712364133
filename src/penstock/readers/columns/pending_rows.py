"""The rows of text of a batch that is being built, where bad rows are left out of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from penstock.errors import DataError
from penstock.readers.base import Origin, RejectedRow, RowBatch
from penstock.readers.origins import text_origin
from penstock.rules.bad_rows import BadRows, take_rows, without_traceback
from penstock.rules.rule import Array

_MAX_REJECTS = 1_024
_MAX_REJECT_BYTES = 4 << 20


class PendingRows:
    """The records of a batch: those that were added to its columns, and those that were refused."""

    def __init__(self) -> None:
        self._next = 0
        self._clear()

    def _clear(self) -> None:
        self._numbers: list[int] = []
        self._records: list[tuple[int, bytes]] = []
        self._rejects: list[RejectedRow] = []
        self._reject_bytes = 0

    def add(self, offset: int, text: bytes) -> None:
        """Count a record whose values are in the columns."""
        self._numbers.append(self._next)
        self._records.append((offset, text))
        self._next += 1

    def reject(self, offset: int, text: bytes, error: DataError) -> None:
        """Count a record that was refused when it was read."""
        error = without_traceback(error.at(row=self._next))
        self._rejects.append(RejectedRow(self._next, [error], _origin(offset, text)))
        self._reject_bytes += len(text)
        self._next += 1

    @property
    def is_full(self) -> bool:
        """Whether there are so many rejected rows that they should be passed on."""
        return len(self._rejects) >= _MAX_REJECTS or self._reject_bytes >= _MAX_REJECT_BYTES

    def batch(self, arrays: Sequence[Array], schema: pa.Schema, bad: BadRows, bytes_read: int) -> RowBatch:
        """Make the batch of the columns without the rows that are bad in them, and begin the next one."""
        numbers, records, rejects = np.array(self._numbers, np.int64), self._records, self._rejects
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        for place in bad.rows.tolist():
            number = int(numbers[place])
            errors = [error.at(row=number) for error in bad.errors(place)]
            rejects.append(RejectedRow(number, errors, _origin(*records[place])))
        rejects.sort(key=lambda reject: reject.row)
        first = min(numbers[0] if len(numbers) else self._next, rejects[0].row if rejects else self._next)
        kept = numbers
        if bad:
            places = bad.kept(len(numbers))
            batch = take_rows(batch, places)
            kept = numbers[places]
        self._clear()

        def origin(row: int) -> Origin:
            return _origin(*records[int(np.searchsorted(numbers, row))])

        return RowBatch(
            batch=batch,
            first_row=int(first),
            bytes_read=bytes_read,
            is_checked=True,
            rows=kept if rejects else None,
            rejects=rejects,
            origin=origin,
        )


def _origin(offset: int, text: bytes) -> Origin:
    return text_origin(text.decode("utf-8", errors="replace").strip(), offset)


def slices(batch: RowBatch, limit: int) -> Sequence[RowBatch]:
    """Slice a batch of more than ``limit`` bytes into batches that have less (a single row may have more)."""
    table = batch.batch
    rows = max(1, int(table.num_rows * limit / table.nbytes)) if table.nbytes > limit else table.num_rows
    if rows >= table.num_rows:
        return [batch]
    numbers = batch.row_numbers
    return [
        RowBatch(
            batch=table.slice(start, rows),
            first_row=int(numbers[start]),
            bytes_read=batch.bytes_read,
            is_checked=True,
            rows=None if batch.rows is None else batch.rows[start : start + rows],
            rejects=() if start else batch.rejects,
            origin=batch.origin,
        )
        for start in range(0, table.num_rows, rows)
    ]
