"""Blocks of rows of CSV: their cells, the rows that have too many or too few, and rows as they are in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.csv

from penstock.domain.schema import Field
from penstock.readers.base import (
    Origin,
    RejectedRow,
    RowBatch,
)
from penstock.readers.columns.row_builder import (
    batch_schema,
)
from penstock.readers.csv.records import row_widths
from penstock.readers.csv.row_objects import row_object
from penstock.readers.csv.table import Table, null_key_of, parsing_error, separator_of, width_error
from penstock.readers.origins import text_origin
from penstock.rules.bad_rows import BadRows, Rows, take_rows


@dataclass(frozen=True, slots=True)
class CellBlock:
    """The cells of a block of rows, without those that have too many or too few.

    ``offset`` is that of the block's ``text`` in the file, ``first_row`` the number of its first row in the range,
    and ``rows`` the places of the cells' rows among those of the text. ``rejects`` are the other rows.
    """

    cells: pa.RecordBatch
    text: bytes
    offset: int
    first_row: int
    rows: Rows
    rejects: Sequence[RejectedRow]
    names: Sequence[str]
    separator: str
    fields: Mapping[str, Field]
    null_key: str
    starts: list[Rows] = field(default_factory=list)

    @classmethod
    def parse(cls, table: Table, text: bytes, offset: int, first_row: int) -> CellBlock:
        """Parse a text of complete rows."""
        separator, null_key = separator_of(table.request), null_key_of(table.request)
        names, fields = table.header.names, {field.name: field for field in table.request.schema}
        try:
            (cells,) = table.parse(text) or [_no_cells(table)]
            rows = np.arange(cells.num_rows)
            return cls(cells, text, offset, first_row, rows, (), names, separator, fields, null_key)
        except pa.ArrowInvalid as error:
            parse_error = error
        starts, widths = row_widths(text, separator)
        wrong = np.flatnonzero(widths != len(names))
        try:
            (cells,) = table.parse(_without_rows(text, starts, wrong)) or [_no_cells(table)]
        except pa.ArrowInvalid:
            raise parsing_error(parse_error, text)[0] from None
        rows = np.delete(np.arange(len(widths)), wrong)
        if cells.num_rows != len(rows):
            raise parsing_error(parse_error, text)[0]
        block = cls(cells, text, offset, first_row, rows, [], names, separator, fields, null_key, [starts])
        for place in wrong.tolist():
            line = block._line(place)
            row = first_row + place
            at = offset + int(starts[place])
            file_error = width_error(int(widths[place]), len(names), line).at(
                file=table.request.sources[0].name, row=row, offset=at
            )
            cast("list[RejectedRow]", block.rejects).append(RejectedRow(row, [file_error], text_origin(line, at)))
        return block

    @property
    def row_count(self) -> int:
        return len(self.rows) + len(self.rejects)

    def convert(self, table: Table, start: int, count: int, bytes_read: int) -> RowBatch:
        """Convert some of the cells' rows."""
        bad = BadRows()
        name = table.request.sources[0].name
        batch = table.convert(self.cells.slice(start, count), bad)
        numbers = self.first_row + self.rows[start : start + count]
        rejects = [
            RejectedRow(
                int(numbers[place]),
                [error.at(file=name, row=int(numbers[place])) for error in bad.errors(place)],
                self.origin(int(numbers[place])),
            )
            for place in bad.rows.tolist()
        ]
        if rejects:
            kept = bad.kept(count)
            batch, numbers = take_rows(batch, kept), numbers[kept]
        return RowBatch(
            batch=batch,
            first_row=int(numbers[0]) if len(numbers) else self.first_row,
            bytes_read=bytes_read,
            is_checked=True,
            rows=numbers,
            rejects=rejects,
            origin=self.origin,
        )

    def with_rejects(self, batch: RowBatch, rejects: Sequence[RejectedRow]) -> tuple[Sequence[RejectedRow], RowBatch]:
        """Add the block's own rejects to its first batch; return those that are left, which are none then."""
        if not rejects:
            return (), batch
        merged = sorted([*rejects, *batch.rejects], key=lambda reject: reject.row)
        return (), replace(batch, rejects=merged)

    def empty(self, table: Table, rejects: Sequence[RejectedRow], bytes_read: int) -> RowBatch:
        """A batch of rejected rows only."""
        batch = pa.RecordBatch.from_pylist([], schema=batch_schema(table.request.schema))
        return RowBatch(
            batch=batch, first_row=self.first_row, bytes_read=bytes_read, is_checked=True, rejects=rejects
        )

    def origin(self, row: int) -> Origin:
        """A row as an object of the values of its cells."""
        place = row - self.first_row
        line = self._line(place)
        offset = self.offset + int(self.starts[0][place])
        return text_origin(row_object(self.names, line, self.separator, self.fields, self.null_key), offset)

    def _line(self, place: int) -> str:
        if not self.starts:
            self.starts.append(row_widths(self.text, self.separator)[0])
        starts = self.starts[0]
        end = int(starts[place + 1]) if place + 1 < len(starts) else len(self.text)
        return self.text[int(starts[place]) : end].decode("utf-8", errors="replace").strip("\r\n")


def _no_cells(table: Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=pa.schema([(name, pa.binary()) for name in table.selected]))


def _without_rows(text: bytes, starts: Rows, wrong: Rows) -> bytes:
    """The text without some of its rows."""
    ends = np.append(starts[1:], len(text))
    pieces, at = [], 0
    for place in wrong.tolist():
        pieces.append(text[at : int(starts[place])])
        at = int(ends[place])
    return b"".join([*pieces, text[at:]])
