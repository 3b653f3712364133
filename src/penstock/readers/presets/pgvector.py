"""Tables of PostgreSQL with pgvector, as ``COPY … TO`` in text format and ``pg_dump`` write them.

A row is a line, its values are separated by tabs, ``\\N`` is null, and a backslash escapes tabs, line ends and
itself. The names of the columns are those of the option ``column_names``, of the ``COPY`` line of a dump, or of the
first line (``COPY … WITH (HEADER)``). The lines are turned into CSV, whose reader takes them: a file is one file
range. Values of type ``sparsevec`` become sparse vectors; arrays of PostgreSQL stay text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO, TypeVar, cast

import pyarrow as pa

from penstock.domain.jobs import FileRange
from penstock.errors import DataError, ImportRefused
from penstock.readers.base import BoundaryScan, FormatSpec, ReadRequest, RowBatch, Sample, SampleRequest
from penstock.readers.byte_ranges import BLOCK_BYTES, SAMPLE_BLOCK_BYTES
from penstock.readers.columns.json_values import MAX_RECORD_BYTES
from penstock.readers.compression import CompressibleText, with_compressed
from penstock.readers.csv.reader import CsvReader
from penstock.sources.derived import DerivedSource

_OPTION = "column_names"
_NULL = rb"\N"
_END = rb"\."
_NAME = re.compile(rb'"(?:[^"]|"")*"|[^\s"(),.]+')
"""A name of SQL: quoted if it has capitals, blanks or signs, with its own quotes doubled."""
_COPY = re.compile(
    rb"COPY\s+((?:%b)(?:\.(?:%b))*)\s*\((.*)\)\s+FROM\s+stdin;\s*\Z" % (_NAME.pattern, _NAME.pattern), re.IGNORECASE
)
_SPARSE = re.compile(rb"\{(?:\d+:[-+.\deE]+(?:,\d+:[-+.\deE]+)*)?\}/\d+\Z")
_VALUE = re.compile(rb"\\N\Z|[-+]?[\d.]+(?:[eE][-+]?\d+)?\Z|[\[{]")
"""What a value looks like, and the name of a column doesn't."""
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_QUOTED = re.compile(rb'[\t\r\n"]')
_MAX_HEAD_LINES = 10_000
"""Lines of a dump before its rows."""


@dataclass(frozen=True, slots=True)
class _CopyReader:
    """Reader of the text of ``COPY``; ranges are those of the CSV ``reader``."""

    reader: CsvReader = field(default_factory=CsvReader)

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange] | BoundaryScan:
        stored = request.sources[0].size
        converted = _converted(request)
        (whole,) = _ranges(self.reader.plan(converted, max(1, converted.sources[0].size)))
        return [replace(whole, size=stored, decoded_size=stored)]

    def read(self, request: ReadRequest, spec: Mapping[str, object]) -> Iterator[RowBatch]:
        source = request.sources[0]
        try:
            for batch in self.reader.read(_converted(request), spec):
                yield replace(batch, bytes_read=min(batch.bytes_read, source.size))
        except DataError as error:
            raise error.at(offset=None) from None  # it counts in the CSV

    def sample(self, request: SampleRequest) -> Sample:
        reader = replace(self.reader, block_bytes=min(self.reader.block_bytes, SAMPLE_BLOCK_BYTES))
        return reader.sample(_converted(request))


def _ranges(plan: Sequence[FileRange] | BoundaryScan) -> Sequence[FileRange]:
    assert isinstance(plan, Sequence), "a plan of one range needs no boundary scan"
    return plan


_Request = TypeVar("_Request", ReadRequest, SampleRequest)


def _converted(request: _Request) -> _Request:
    """The request for the CSV of a file."""
    columns = _names(request.options.get(_OPTION) or "")
    options = {**request.options, "sep": "\t", "nullkey": _NULL.decode()}
    return replace(request, sources=[_CopySource(request.sources[0], columns)], options=options)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


def _check_names(text: str) -> str | None:
    names = _names(text)
    if not all(names) or len(set(names)) < len(names):
        raise ImportRefused(
            f"options.{_OPTION} is a list of different names, separated by commas, such as id,embedding,title",
            option=_OPTION,
        )
    return None


@dataclass(slots=True)
class _CopySource(DerivedSource):
    """The text of ``COPY`` as CSV with a header, separated by tabs; ``columns`` are the names, if known."""

    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def size(self) -> int:
        """An upper bound: a value of quotes alone becomes twice as long, with quotes around it."""
        return 4 * self.stored.size + 64 + sum(map(len, self.columns)) * 4 if self.stored.size else 0

    def open_arrow(self) -> pa.NativeFile:
        """Open a stream, which has no random access."""
        return pa.PythonFile(_CsvStream(self, 0, None), mode="r")

    def open_stream(self, start: int = 0, end: int | None = None) -> BinaryIO:
        return cast(BinaryIO, _CsvStream(self, start, end))


class _CsvStream(io.RawIOBase):
    """The bytes ``start`` to ``end`` of the CSV."""

    def __init__(self, source: _CopySource, start: int, end: int | None) -> None:
        self._stored = source.stored.open_stream()
        self._chunks = _csv(_lines(self._stored, source.name), source.columns, source.name)
        self._left = b""
        self._skip = start
        self._remaining = None if end is None else max(0, end - start)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes, or all: less than asked for only at the end."""
        parts = []
        wanted = size if size >= 0 else None
        if self._remaining is not None:
            wanted = self._remaining if wanted is None else min(wanted, self._remaining)
        got = 0
        while wanted is None or got < wanted:
            if not self._left:
                self._left = next(self._chunks, b"")
                if not self._left:
                    break
                skipped = min(self._skip, len(self._left))
                self._left, self._skip = self._left[skipped:], self._skip - skipped
                continue
            part = self._left if wanted is None else self._left[: wanted - got]
            self._left = self._left[len(part) :]
            parts.append(part)
            got += len(part)
        if self._remaining is not None:
            self._remaining -= got
        return b"".join(parts)

    def close(self) -> None:
        if not self.closed:
            self._stored.close()
        super().close()


def _lines(stream: BinaryIO, name: str) -> Iterator[list[bytes]]:
    """Yield the lines of a stream without their ends, a list per block."""
    pending: list[bytes] = []
    size = 0
    while block := stream.read(BLOCK_BYTES):
        cut = block.rfind(b"\n") + 1
        if cut:
            text = b"".join([*pending, block[:cut]])
            pending, size = [], 0
            yield text[:-1].split(b"\n")
        pending.append(block[cut:])
        size += len(block) - cut
        if size > MAX_RECORD_BYTES:
            raise DataError(
                f"a line is longer than {MAX_RECORD_BYTES >> 20} MiB",
                file=name,
                remedy="COPY writes a row per line: is this its text format?",
            )
    rest = b"".join(pending)
    if rest:
        yield [rest]


def _csv(groups: Iterator[list[bytes]], columns: tuple[str, ...], name: str) -> Iterator[bytes]:
    """Turn lines into CSV, a chunk per block, the header first."""
    rows = _Rows(columns, name)
    for group in groups:
        if text := rows.convert(group):
            yield text
    rows.finish()


class _Rows:
    """Finds the rows among the lines of a file, and the names of their columns."""

    def __init__(self, columns: tuple[str, ...], name: str) -> None:
        self._columns = columns
        self._file = name
        self._begun = False
        self._ended = False
        self._table = b""
        self._head = 0

    def convert(self, lines: Sequence[bytes]) -> bytes:
        output: list[bytes] = []
        at = 0
        if not self._begun:
            at = self._begin(lines, output)
        for line in lines[at:]:
            if self._ended:
                self._check_end(line)
            elif line.rstrip(b"\r") == _END:
                self._ended = True
            else:
                output.append(_csv_line(line.removesuffix(b"\r")))
        return b"\n".join(output) + b"\n" if output else b""

    def finish(self) -> None:
        if self._table and not self._ended:
            raise DataError(
                f"the rows of the table {self._table.decode(errors='replace')} have no end: the line \\. is missing",
                file=self._file,
                remedy="The dump is cut off; write it again",
            )
        if not self._begun:
            raise self._no_rows()

    def _begin(self, lines: Sequence[bytes], output: list[bytes]) -> int:
        """Find the first row; write the header. Returns the position behind what is no row."""
        for at, line in enumerate(lines):
            copy = _COPY.match(line)
            if copy is not None:
                self._table = copy[1]
                names = tuple(_unquoted(name).decode(errors="replace") for name in _NAME.findall(copy[2]))
                self._write_header(self._columns or names, output)
                return at + 1
            if self._head or _is_dump_line(line):
                self._head += 1
                if self._head > _MAX_HEAD_LINES:
                    raise self._no_rows()
                continue
            if self._columns:
                self._write_header(self._columns, output)
                return at
            cells = line.removesuffix(b"\r").split(b"\t")
            if any(_VALUE.match(cell) for cell in cells):
                raise DataError(
                    "the first line holds values, not the names of the columns",
                    file=self._file,
                    value=line[:100].decode(errors="replace"),
                    remedy=f"Export WITH (HEADER), or name the columns: option {_OPTION}=id,embedding",
                )
            self._write_header(tuple(_unescaped(cell).decode(errors="replace") for cell in cells), output)
            return at + 1
        return len(lines)

    def _write_header(self, columns: tuple[str, ...], output: list[bytes]) -> None:
        self._begun = True
        output.append(b"\t".join(_cell(name.encode()) for name in columns))

    def _check_end(self, line: bytes) -> None:
        copy = _COPY.match(line)
        if copy is not None:
            tables = f"{self._table.decode(errors='replace')} and {copy[1].decode(errors='replace')}"
            raise DataError(
                f"the file holds the rows of several tables: {tables}",
                file=self._file,
                remedy="Dump one table: pg_dump --data-only --table NAME",
            )

    def _no_rows(self) -> DataError:
        return DataError(
            "the file has no rows of COPY",
            file=self._file,
            remedy="Write it by COPY … TO … WITH (HEADER), or by pg_dump --data-only --table NAME without --inserts",
        )


def _unquoted(name: bytes) -> bytes:
    return name[1:-1].replace(b'""', b'"') if name.startswith(b'"') else name


def _is_dump_line(line: bytes) -> bool:
    """Whether a file that begins with this line is a dump of ``pg_dump``, whose rows come later."""
    return line.startswith((b"--", b"SET ", b"SELECT ", b"CREATE ", b"\\restrict")) or not line.strip()


def _csv_line(line: bytes) -> bytes:
    if b"\\" not in line and b'"' not in line and b"{" not in line and b"\r" not in line:
        return line
    return b"\t".join(_NULL if cell == _NULL else _cell(_unescaped(cell)) for cell in line.split(b"\t"))


def _cell(value: bytes) -> bytes:
    if value.startswith(b"{") and _SPARSE.match(value):
        value = _sparse(value)
    if value == _NULL or _QUOTED.search(value):
        return b'"' + value.replace(b'"', b'""') + b'"'
    return value


def _sparse(value: bytes) -> bytes:
    """A ``sparsevec``, whose indices begin at 1, as the JSON of a sparse vector, whose indices begin at 0."""
    pairs = [pair.split(b":") for pair in value[1 : value.rindex(b"}")].split(b",") if pair]
    return b"{" + b",".join(b'"%d":%s' % (int(index) - 1, number) for index, number in pairs) + b"}"


def _unescaped(cell: bytes) -> bytes:
    return _ESCAPE.sub(_escaped_bytes, cell) if b"\\" in cell else cell


def _escaped_bytes(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes([int(match[1], 16)])
    if match[2]:
        return bytes([int(match[2], 8) & 0xFF])
    return _LETTERS.get(match[3], match[3])


PGVECTOR = FormatSpec(
    name="pgvector",
    extensions=with_compressed("copy", "tsv", "txt", "sql", "csv", "dump"),
    reader=CompressibleText(_CopyReader()),
    options={_OPTION: _check_names},
)
