"""Read columns of vectors from Parquet pages as they lie: plain numbers, the same count in every row, no nulls.

To find out that all lists are equally long, pyarrow unpacks two levels for each number, which takes four times as
long as reading the bytes: 0.26 and 0.065 s of processor time for 60,000 vectors of 768 dimensions (snappy). Whatever
is less regular pyarrow reads: other encodings (its writer begins a column with a dictionary, until that has a
megabyte), nulls, and damaged pages, whose errors it raises.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from penstock.readers.base import ReadRequest
from penstock.readers.parquet.levels import are_all, are_lists_of
from penstock.readers.parquet.thrift_compact import Malformed, Struct, parse_struct

__all__ = ["VectorColumns", "vector_columns"]

_MIN_DIM = 32
"""Shorter lists have levels that do not repeat row by row."""
_MIN_BYTES = 4 << 20
"""Of a column in a row group: most of a smaller one is in a dictionary."""
_MAX_FOOTER = 128 << 10
"""Bytes of the footer: a larger one takes longer to parse here than it saves."""
_MAX_PAGE = 32 << 20
_HEADER = 512
"""Bytes read for a page's header; headers of numbers have about 50."""
_MAGIC = 8
"""Bytes after the footer: its length, and ``PAR1``."""

_CODECS: Mapping[int, Literal["snappy", "zstd", "lz4_raw"] | None] = {0: None, 1: "snappy", 6: "zstd", 7: "lz4_raw"}
_DTYPES: Mapping[str, np.dtype[Any]] = {"FLOAT": np.dtype("<f4"), "DOUBLE": np.dtype("<f8")}
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY = 0, 2, 3, 8

Numbers = npt.NDArray[Any]


class _Irregular(Exception):
    """pyarrow has to read this column in this row group."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A top-level column of lists of ``dim`` numbers; ``leaf`` counts Parquet's columns."""

    leaf: int
    kind: pa.DataType
    dtype: np.dtype[Any]
    dim: int
    max_level: int


class VectorColumns:
    """The columns of a file that may be read here, and where their pages are."""

    def __init__(
        self,
        file: pq.ParquetFile,
        stream: Any,
        columns: Mapping[str, _Column],
        groups: Sequence[Struct],
    ) -> None:
        self._file = file
        self._stream = stream
        self._columns = columns
        self._groups = groups

    def batches(self, number: int, rows: int, size: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read row group ``number``, which has so many ``rows``, in batches of ``size`` rows.

        The batches are equal to those of ``ParquetFile.iter_batches``, which also raises the errors.
        """
        done = 0
        try:
            for batch in self._regular(number, rows, size, names):
                yield batch
                done += batch.num_rows
        except (_Irregular, Malformed):
            yield from _rows_from(done, _by_arrow(self._file, number, size, names))

    def _regular(self, number: int, rows: int, size: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Raises _Irregular or Malformed, after batches that are right."""
        pages = {
            name: _Pages(self._stream, column, _chunk(self._groups, number, column.leaf), rows)
            for name, column in self._columns.items()
            if name in names
        }
        leading = max((column.leading_rows for column in pages.values()), default=rows)
        done = 0
        if leading:
            for batch in _by_arrow(self._file, number, min(size, leading), names):
                part = batch.slice(0, leading - done)
                if not all(_is_regular(part.column(name), self._columns[name].dim) for name in pages):
                    raise _Irregular
                yield part
                done += part.num_rows
                if done >= leading:
                    break
        for column in pages.values():
            column.skip(leading - column.leading_rows)
        schema = pa.schema([self._file.schema_arrow.field(name) for name in names])
        others = [name for name in names if name not in pages]
        for count, rest in _others(self._file, number, range(leading, rows, size), others):
            arrays = {name: column.lists(count) for name, column in pages.items()} | rest
            yield pa.RecordBatch.from_arrays([arrays[name] for name in names], schema=schema)


def vector_columns(
    file: pq.ParquetFile, stream: Any, names: Sequence[str], request: ReadRequest
) -> VectorColumns | None:
    """The columns among ``names`` to read here; None where there are none.

    Only of local files: a remote one is read ahead in pyarrow's order. The footer is parsed again, since pyarrow ends
    the process where a column is encrypted and its place is asked for.
    """
    if request.sources[0].local_path() is None:
        return None
    columns = {}
    leaves = [file.schema.column(number) for number in range(file.metadata.num_columns)]
    for name in names:
        field, kind = request.schema.get(name), file.schema_arrow.field(name).type
        own = [number for number, leaf in enumerate(leaves) if leaf.path.startswith(f"{name}.")]
        if field is None or not field.type.is_dense_vector or field.width < _MIN_DIM or len(own) != 1:
            continue
        leaf = leaves[own[0]]
        dtype = _DTYPES.get(leaf.physical_type)
        if dtype is None or leaf.max_repetition_level != 1 or not _is_list_of(kind, dtype):
            continue
        columns[name] = _Column(own[0], kind, dtype, field.width, leaf.max_definition_level)
    end = stream.size() - _MAGIC
    length = int.from_bytes(stream.read_at(4, end), "little")
    if not columns or length > _MAX_FOOTER:
        return None
    try:
        footer, _ = parse_struct(stream.read_at(length, end - length))
    except Malformed:
        return None
    groups = footer.get(4)
    return VectorColumns(file, stream, columns, groups) if isinstance(groups, list) else None


def _is_list_of(kind: pa.DataType, dtype: np.dtype[Any]) -> bool:
    if not (pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind)):
        return False
    return bool(kind.value_type == pa.from_numpy_dtype(dtype))


def _chunk(groups: Sequence[Struct], number: int, leaf: int) -> Struct:
    """The metadata of a column in a row group. Raises _Irregular where it is encrypted or in another file."""
    try:
        chunk = groups[number][1][leaf]
        if chunk.keys() & {1, 8, 9}:
            raise _Irregular
        metadata: Struct = chunk[3]
    except (LookupError, AttributeError, TypeError) as error:
        raise _Irregular from error
    return metadata


class _Pages:
    """The plain pages of a column in a row group, read in order; ``leading_rows`` before them are in a dictionary."""

    def __init__(self, stream: Any, column: _Column, metadata: Struct, rows: int) -> None:
        self._stream = stream
        self._column = column
        places = [place for number in (9, 11) if isinstance(place := metadata.get(number), int) and place > 0]
        codec = metadata.get(4, -1)
        is_large = rows * column.dim * column.dtype.itemsize >= _MIN_BYTES
        if metadata.get(5) != rows * column.dim or codec not in _CODECS or not places or not is_large:
            raise _Irregular
        name = _CODECS[codec]
        self._codec = None if name is None else pa.Codec(name)
        self._at = min(places)
        self._position = self._in_dictionary()
        self.leading_rows = -(-self._position // column.dim)
        self._page: Numbers = np.empty(0, column.dtype)
        self._skip_numbers = self.leading_rows * column.dim - self._position

    def lists(self, rows: int) -> Any:
        """The next rows. Raises _Irregular, Malformed."""
        dim, kind = self._column.dim, self._column.kind
        numbers = pa.array(self._take(rows * dim))
        if pt.is_fixed_size_list(kind):
            return cast(Any, pa.FixedSizeListArray).from_arrays(numbers, type=kind)
        large = pt.is_large_list(kind)
        offsets = pa.array(np.arange(0, rows * dim + 1, dim)).cast(pa.int64() if large else pa.int32())
        return cast(Any, pa.LargeListArray if large else pa.ListArray).from_arrays(offsets, numbers, type=kind)

    def skip(self, rows: int) -> None:
        self._skip_numbers += rows * self._column.dim

    def _take(self, size: int) -> Numbers:
        result = np.empty(size, self._column.dtype)
        done = 0
        while done < size:
            if self._skip_numbers:
                skipped = min(self._skip_numbers, len(self._page))
                self._page = self._page[skipped:]
                self._skip_numbers -= skipped
            if not len(self._page):
                self._page = self._next_page()
                continue
            part = self._page[: size - done]
            result[done : done + len(part)] = part
            self._page = self._page[len(part) :]
            done += len(part)
        return result

    def _in_dictionary(self) -> int:
        """Go to the first plain page; returns the count of numbers before it."""
        numbers = 0
        while True:
            header, start = self._header()
            kind = header.get(1)
            if kind in (_DATA, _DATA_V2):
                page = header.get(5 if kind == _DATA else 8)
                if not isinstance(page, dict):
                    raise _Irregular
                encoding = page.get(2 if kind == _DATA else 4)
                if encoding == _PLAIN:
                    return numbers
                if encoding not in (_PLAIN_DICTIONARY, _RLE_DICTIONARY):
                    raise _Irregular
                numbers += _size(page, 1)
            elif kind != _DICTIONARY:
                raise _Irregular
            self._at = start + _size(header, 3)

    def _header(self) -> tuple[Struct, int]:
        """The header of the page at hand, and the position behind it."""
        header, length = parse_struct(self._stream.read_at(_HEADER, self._at))
        return header, self._at + length

    def _next_page(self) -> Numbers:
        header, start = self._header()
        stored, size = _size(header, 3), _size(header, 2)
        data = self._stream.read_at(stored, start)
        checksum = header.get(4)
        if len(data) != stored or (checksum is not None and zlib.crc32(data) != checksum & 0xFFFFFFFF):
            raise _Irregular
        self._at = start + stored
        kind, page = header.get(1), header.get(5) or header.get(8)
        if not isinstance(page, dict):
            raise _Irregular
        numbers = _size(page, 1)
        if kind == _DATA and (page.get(2), page.get(3), page.get(4)) == (_PLAIN, _RLE, _RLE):
            content = self._decompressed(data, size)
            repetitions, rest = _prefixed(content)
            definitions, values = _prefixed(rest)
        elif kind == _DATA_V2 and page.get(4) == _PLAIN:
            first, second = _size(page, 6), _size(page, 5)
            levels = memoryview(data)
            repetitions, definitions = levels[:first], levels[first : first + second]
            values = levels[first + second :]
            if page.get(7, True):
                values = self._decompressed(values, size - first - second)
        else:
            raise _Irregular
        column = self._column
        regular = are_lists_of(column.dim, bytes(repetitions), numbers, -self._position % column.dim)
        if not regular or not are_all(column.max_level, bytes(definitions), numbers):
            raise _Irregular
        self._position += numbers
        if len(values) != numbers * column.dtype.itemsize:
            raise _Irregular
        return np.frombuffer(values, column.dtype)

    def _decompressed(self, data: bytes | memoryview, size: int) -> memoryview:
        if self._codec is None:
            if len(data) != size:
                raise _Irregular
            return memoryview(data)
        try:
            return memoryview(self._codec.decompress(data, size))
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _Irregular from error


def _size(header: Struct, number: int) -> int:
    size = header.get(number)
    if not isinstance(size, int) or not 0 <= size <= _MAX_PAGE:
        raise _Irregular
    return size


def _prefixed(content: memoryview) -> tuple[memoryview, memoryview]:
    """Levels, which have their length before them, and what follows."""
    end = 4 + int.from_bytes(content[:4], "little")
    if end > len(content):
        raise _Irregular
    return content[4:end], content[end:]


def _is_regular(array: Any, dim: int) -> bool:
    """Whether lists that pyarrow has read have ``dim`` numbers each, without nulls."""
    if array.null_count or len(array.flatten()) != len(array) * dim or array.flatten().null_count:
        return False
    return pt.is_fixed_size_list(array.type) or bool((np.diff(array.offsets.to_numpy()) == dim).all())


def _by_arrow(file: pq.ParquetFile, number: int, size: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    return file.iter_batches(size, row_groups=[number], columns=list(names), use_threads=False)


def _rows_from(first: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Leave out the rows before ``first``."""
    for batch in batches:
        if first < batch.num_rows:
            yield batch.slice(first)
        first = max(0, first - batch.num_rows)


def _others(
    file: pq.ParquetFile, number: int, starts: range, names: Sequence[str]
) -> Iterator[tuple[int, dict[str, pa.Array[Any]]]]:
    """The rows of a row group from ``starts.start`` on, in batches: how many, and the other columns."""
    if not names:
        for start in starts:
            yield min(starts.step, starts.stop - start), {}
        return
    for batch in _rows_from(starts.start, _by_arrow(file, number, starts.step, names)):
        yield batch.num_rows, {name: batch.column(name) for name in names}
