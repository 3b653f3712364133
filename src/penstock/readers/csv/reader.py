"""Read CSV files: a header, then RFC 4180 rows; vectors, arrays, JSON and sparse vectors are cells of JSON text.

Null: an unquoted cell that equals the null key. In VarChar and dynamic columns a quoted cell is text even if it
equals the null key, so that ``""`` can mean the empty string; elsewhere quoting makes no difference. In a VarChar
field that has neither null nor default the null key is an ordinary text. A null cell of a dynamic column leaves
the key out; other dynamic cells stay strings.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.csv

from penstock.domain.import_options import parse_separator
from penstock.domain.jobs import FileRange
from penstock.errors import DataError
from penstock.readers.base import (
    BoundaryScan,
    FormatSpec,
    ReadRequest,
    RowBatch,
    Sample,
    SampleRequest,
)
from penstock.readers.byte_ranges import BLOCK_BYTES, SAMPLE_BLOCK_BYTES
from penstock.readers.columns.json_values import MAX_RECORD_BYTES
from penstock.readers.columns.row_builder import (
    file_fields,
    fixed_row_bytes,
    least_text_bytes,
    rounding_warnings,
)
from penstock.readers.compression import CompressibleText, with_compressed
from penstock.readers.csv.boundary_scan import CsvBoundaryScan
from penstock.readers.csv.cell_block import CellBlock
from penstock.readers.csv.cells import decode_text
from penstock.readers.csv.records import whole_rows
from penstock.readers.csv.table import Header, Table, check_separator, null_key_of, parsing_error, separator_of
from penstock.rules.json_texts import DYNAMIC

_MAX_SLICE_ROWS = 65_536
_MAX_SHOWN = 100
"""Maximum characters of an option in a warning."""


@dataclass(frozen=True, slots=True)
class CsvReader:
    """Reader of ``.csv``. A range is ``{"start", "end"}``: the bytes of whole rows, the header not among them.

    ``max_row_bytes`` is the longest row that is read, at least ``block_bytes``.
    """

    block_bytes: int = BLOCK_BYTES
    max_row_bytes: int = MAX_RECORD_BYTES

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange] | BoundaryScan:
        header = Header.read(request)
        size = request.sources[0].size
        least = sum(map(least_text_bytes, file_fields(request.schema))) + len(header.names)
        min_bytes = request.least_row_bytes(least)
        count = max(1, round(size / split_bytes))
        scan = CsvBoundaryScan(start=header.end, size=size, count=count, min_row_bytes=min_bytes)
        return scan if count > 1 else scan.cut([])

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        name = request.sources[0].name
        header = Header.read(request)
        table = Table(request, header)
        row = 0
        try:
            if request.skips_bad_rows:
                for batch in self._good_rows(request, table, spec):
                    yield batch
                    row += batch.row_count
            else:
                for cells, position in self._cells(request, table, spec):
                    for start, count in _slices(cells, request):
                        converted = table.convert(cells.slice(start, count))
                        read = position - spec["start"]
                        yield RowBatch(batch=converted, first_row=row, bytes_read=read, is_checked=True)
                        row += count
        except DataError as error:
            raise error.at(file=name, row=row + (error.row or 0)) from None
        for column in table.unknown if not table.keeps_unknown else ():
            table.dropped.add(column, row)
        request.warnings.extend(table.dropped.warnings() if row else ())
        request.warnings.extend(rounding_warnings(table.roundings))

    def sample(self, request: SampleRequest) -> Sample:
        read = request.read_request()
        source = request.sources[0]
        header = Header.read(read)
        names = header.names[: request.max_columns]
        texts: dict[str, list[str | None]] = {name: [] for name in names}
        reader = replace(self, block_bytes=min(self.block_bytes, SAMPLE_BLOCK_BYTES))
        spec = {"start": header.end, "end": source.size}
        rows, position = 0, header.end
        with closing(reader._cells(read, Table(read, header), spec)) as batches:
            while rows < request.max_rows and position - header.end < request.max_bytes:
                try:
                    batch, position = next(batches, (None, source.size))
                    if batch is None:
                        break
                    for name in names:
                        cells = batch.column(name).slice(0, request.max_rows - rows)
                        texts[name] += decode_text(replace(DYNAMIC, name=name), cells).to_pylist()
                except DataError as error:
                    raise error.at(file=source.name, row=rows + (error.row or 0)) from None
                rows += batch.num_rows
        return Sample(
            columns=texts,
            rows=min(rows, request.max_rows),
            null_text=null_key_of(read),
            is_complete=position >= source.size and rows <= request.max_rows,
            has_all_columns=len(names) == len(header.names),
        )

    def _good_rows(self, request: ReadRequest, table: Table, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        """Yield the rows that break no rule, with the others as rejects.

        Raises:
            DataError: of the file as a whole: a quote is misplaced, for example.
        """
        row = 0
        for offset, text in self._texts(request, spec):
            block = CellBlock.parse(table, text, offset, row)
            read = offset + len(text) - spec["start"]
            rejects = block.rejects
            for start, count in _slices(block.cells, request):
                batch = block.convert(table, start, count, read)
                rejects, batch = block.with_rejects(batch, rejects)
                yield batch
            if rejects:
                yield block.empty(table, rejects, read)
            row += block.row_count

    def _texts(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[tuple[int, bytes]]:
        return whole_rows(
            request.sources[0],
            spec["start"],
            spec["end"],
            separator_of(request),
            size=self.block_bytes,
            max_row=self.max_row_bytes,
        )

    def _cells(
        self, request: ReadRequest, table: Table, spec: Mapping[str, Any]
    ) -> Generator[tuple[pa.RecordBatch, int]]:
        """Yield batches of binary cells of the selected columns, with the byte offset behind them."""
        for offset, text in self._texts(request, spec):
            data_error = None
            try:
                batches = table.parse(text)
            except pa.ArrowInvalid as error:
                data_error, before = parsing_error(error, text)
                batches = table.parse(text[:before])
            for batch in batches:
                yield batch, offset + len(text)
            if data_error is not None:
                raise data_error


@dataclass(frozen=True, slots=True)
class _TsvReader:
    """Reader of ``.tsv``: CSV whose separator is a tab, unless the option ``sep`` names another."""

    reader: CsvReader = CsvReader()

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange] | BoundaryScan:
        return self.reader.plan(_separated_by_tabs(request), split_bytes)

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        return self.reader.read(_separated_by_tabs(request), spec)

    def sample(self, request: SampleRequest) -> Sample:
        return self.reader.sample(_separated_by_tabs(request))


_Request = TypeVar("_Request", ReadRequest, SampleRequest)


def _separated_by_tabs(request: _Request) -> _Request:
    return replace(request, options={**request.options, "sep": request.options.get("sep") or "\t"})


def _slices(cells: pa.RecordBatch, request: ReadRequest) -> Iterator[tuple[int, int]]:
    """Yield row ranges (start, count) whose Arrow form stays within the byte budget."""
    if not cells.num_rows:
        return
    per_row = fixed_row_bytes(request.schema) + cells.nbytes / cells.num_rows
    rows = min(_MAX_SLICE_ROWS, max(1, int(request.batch_bytes / per_row)))
    for start in range(0, cells.num_rows, rows):
        yield start, min(rows, cells.num_rows - start)


def _check_option(text: str) -> str | None:
    check_separator(text)
    if len(parse_separator(text)) > 1:
        return f"option 'sep' is a single character: only the first one of {text[:_MAX_SHOWN]!r} is used"
    return None


CSV = FormatSpec(
    name="CSV",
    extensions=with_compressed("csv"),
    reader=CompressibleText(CsvReader()),
    options={"sep": _check_option, "nullkey": lambda _: None},
)

TSV = FormatSpec(
    name="TSV",
    extensions=with_compressed("tsv"),
    reader=CompressibleText(_TsvReader()),
)
