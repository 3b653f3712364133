"""Read HDF5 files: the datasets at the top of a file are columns, read in slices of rows.

The library needs the extra ``hdf5``. Only what lies in the file itself is read: HDF5 can refer to other files by
links, external storage and virtual datasets, none of which is followed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.domain.jobs import JobWarning
from penstock.errors import DataError
from penstock.extras import require_extra
from penstock.readers.base import FormatSpec, ReadRequest
from penstock.readers.columnar import MAX_BATCH_ROWS, REWRITE, Chunk, ColumnarReader, broken, shares, vector_name
from penstock.readers.decompression_bombs import check_decompression_bomb
from penstock.readers.unknown_columns import UnknownColumns, listed
from penstock.sources.base import Source

_TITLE = "HDF5"
_BASES = "train"
"""The dataset of a benchmark of nearest-neighbour search that holds the vectors to search in."""
_UNIT_BYTES = 8 << 20
"""Bytes of rows that are read at once. Plans depend on it: file ranges are counted in these units, or in whole tiles
where those are larger."""
_MAX_TILE_BYTES = 64 << 20
"""Most bytes of the tiles (HDF5: chunks) that lie side by side in a row: each is decompressed at once."""
_TEXT_BYTES = 256
"""Assumed bytes of a value of varying length."""
_TEXT_ROWS = 1024
"""Rows that are read at once where values vary in length."""
_MAX_LINKS = 1 << 16
_MAX_FLOAT_BYTES = 8


@dataclass(frozen=True, slots=True)
class _Column:
    """A dataset: its values per row (None: one), and the bytes of a row.

    ``offset`` is where its values lie in the file one after the other, as Arrow takes them; None where HDF5 has to
    gather or convert them.
    """

    dataset: Any
    name: str
    width: int | None
    row_bytes: int
    tile_rows: int
    varies: bool
    offset: int | None

    @property
    def rows(self) -> int:
        return int(self.dataset.shape[0])


@dataclass(frozen=True, slots=True)
class _Hdf5File:
    """An open HDF5 file; ``columns`` by the names of the fields or dynamic values that they become."""

    columns: Mapping[str, _Column]
    source: _FileObject
    unit: int
    chunks: Sequence[Chunk]
    notes: Sequence[JobWarning] = ()

    @property
    def names(self) -> Sequence[str]:
        return list(self.columns)

    def batches(self, number: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        start = number * self.unit
        rows = self.chunks[number].max_rows
        row_bytes = sum(self.columns[name].row_bytes for name in columns)
        # A tile of one column may have the rows of gigabytes of another; HDF5 keeps it while they are read in steps.
        step = rows if rows * row_bytes <= _MAX_TILE_BYTES else _unit_rows(row_bytes)
        if any(self.columns[name].varies for name in columns):
            step = min(step, _TEXT_ROWS)
        for first in range(start, start + rows, step):
            last = min(start + rows, first + step)
            arrays = [self._array(name, first, last) for name in columns]
            yield pa.RecordBatch.from_arrays(arrays, names=list(columns))

    def _array(self, name: str, first: int, last: int) -> pa.Array[Any]:
        column = self.columns[name]
        if column.offset is not None:
            data = self.source.read_buffer(
                column.offset + first * column.row_bytes, (last - first) * column.row_bytes
            )
            kind = pa.from_numpy_dtype(column.dataset.dtype)
            numbers = (last - first) * (column.width or 1)
            return _lists(pa.Array.from_buffers(kind, numbers, [None, data]), column.width)
        try:
            with _errors(self.source):
                values = column.dataset[first:last]
        except DataError as error:
            raise error.at(field=name) from None
        return _to_arrow(values, column)


class _FileObject(io.RawIOBase):
    """A source as a file that HDF5 can read; ``error`` is what a read raised, which HDF5 may replace by its own."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.error: Exception | None = None
        self._file = source.open_arrow()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        try:
            count = self._file.readinto(view)
        except Exception as error:
            self.error = error
            raise
        # h5py does not look at what is returned: behind the end of the file are zeros, as in HDF5's own drivers.
        view[count:] = bytes(len(view) - count)
        return len(view)

    def read_buffer(self, start: int, size: int) -> pa.Buffer:
        """Read ``size`` bytes from ``start`` on. Raises DataError where the file has less."""
        self._file.seek(start)
        data = self._file.read_buffer(size)
        if data.size < size:
            raise DataError(
                "the file became shorter while it was read",
                file=self.name,
                remedy="Import it again when it is complete",
            )
        return data

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _check_option(text: str) -> str | None:
    """Accept any text: a file decides whether it has a dataset of this name."""
    del text
    return None


@contextmanager
def _opened(request: ReadRequest) -> Iterator[_Hdf5File]:
    source = request.sources[0]
    require_extra("hdf5", "h5py", reason=f"file {source.name!r}: the reader of HDF5 is not installed")
    import h5py

    if source.size == 0:
        raise DataError("the file is empty (0 bytes)", file=source.name, remedy=f"{REWRITE}, or leave it out")
    with _FileObject(source) as file:
        with _errors(file):
            opened = h5py.File(file, "r", rdcc_nbytes=_MAX_TILE_BYTES)
        with opened:
            with _errors(file):
                datasets = _datasets(opened, source.name)
                columns = _chosen(datasets, request)
            yield replace(_file(columns, file, source), notes=_notes(datasets, columns))


def _file(columns: Mapping[str, _Column], file: _FileObject, source: Source) -> _Hdf5File:
    rows = next(iter(columns.values())).rows
    row_bytes = sum(column.row_bytes for column in columns.values())
    try:
        check_decompression_bomb(rows * row_bytes, source.size)  # values that were never written take no bytes
    except DataError as error:
        raise error.at(file=source.name) from None
    tile_rows = max(column.tile_rows for column in columns.values())
    # Whole tiles, so that none is decompressed twice.
    unit = -(-_unit_rows(row_bytes) // tile_rows) * tile_rows
    counts = [min(rows, start + unit) - start for start in range(0, rows, unit)]
    chunks = [
        Chunk(size=size, decoded_size=row_bytes * count, max_rows=count)
        for size, count in zip(shares(source.size, counts), counts, strict=True)
    ]
    return _Hdf5File(columns, file, unit, chunks)


def _unit_rows(row_bytes: int) -> int:
    return max(1, min(_UNIT_BYTES // row_bytes, MAX_BATCH_ROWS))


def _datasets(file: Any, name: str) -> dict[str, Any]:
    """The datasets at the top of the file, but for those that lie in other files, and single values."""
    import h5py

    if len(file) > _MAX_LINKS:
        raise DataError(
            f"the file has {len(file):,} entries at its top; it may have {_MAX_LINKS:,}", file=name, remedy=REWRITE
        )
    found: dict[str, Any] = {}
    for key in file:
        if not isinstance(file.get(key, getlink=True), h5py.HardLink):
            continue
        if file.get(key, getclass=True) is not h5py.Dataset:
            continue
        dataset = file[key]
        if not dataset.shape:
            continue
        if dataset.external or dataset.is_virtual:
            raise DataError(
                f"the dataset {key!r} lies in another file, which is not read",
                file=name,
                field=key,
                remedy="Write its values into the file itself",
            )
        found[key] = dataset
    if not found:
        raise DataError(
            "the file has no dataset at its top", file=name, remedy="Write each column as a dataset at the top"
        )
    return found


def _chosen(datasets: Mapping[str, Any], request: ReadRequest) -> Mapping[str, _Column]:
    """Choose the datasets that are columns of the same rows.

    They are those that the option ``datasets`` names; or else those with as many rows as the ones that are named as
    fields; or else all if they are of one length; or else ``train``. A single one belongs to the only vector field.
    """
    source = request.sources[0]
    names = [name.strip() for name in (request.options.get("datasets") or "").split(",") if name.strip()]
    fields = [name for name in datasets if name in request.schema.names]
    unknown = next((name for name in names if name not in datasets), None)
    if unknown is not None:
        raise DataError(
            f"the file has no dataset {unknown!r} at its top",
            file=source.name,
            field=unknown,
            remedy=f"Its datasets: {_lengths(datasets)}",
        )
    if not names:
        lengths = {datasets[name].shape[0] for name in fields or datasets}
        if len(lengths) == 1:
            names = [name for name, dataset in datasets.items() if dataset.shape[0] in lengths]
        elif not fields and _BASES in datasets:
            names = [_BASES]
        else:
            names = fields or list(datasets)
    if len({datasets[name].shape[0] for name in names}) > 1:
        raise DataError(
            f"the datasets differ in their numbers of rows: {_lengths({name: datasets[name] for name in names})}",
            file=source.name,
            remedy="Choose those of one length with the option datasets, such as datasets=id,vector",
        )
    _check_others(datasets, names, request)
    columns = {name: _column(datasets[name], name, source) for name in names}
    if len(names) == 1 and not fields and columns[names[0]].width:
        return {vector_name(request): columns[names[0]]}
    return columns


def _check_others(datasets: Mapping[str, Any], names: Sequence[str], request: ReadRequest) -> None:
    others = [name for name in datasets if name not in names and name not in request.excluded_columns]
    if others and request.unknown_columns is UnknownColumns.ERROR and not request.options.get("datasets"):
        raise DataError(
            f"the dataset {others[0]!r} is not imported",
            file=request.sources[0].name,
            field=others[0],
            remedy="Choose the datasets with the option datasets, or import without unknown_columns=error",
        )


def _notes(datasets: Mapping[str, Any], columns: Mapping[str, _Column]) -> list[JobWarning]:
    """The warning about datasets that are not imported."""
    chosen = {column.name for column in columns.values()}
    others = {name: dataset for name, dataset in datasets.items() if name not in chosen}
    text = f"datasets of the HDF5 file were left out: {_lengths(others)}; imported: {listed(sorted(chosen))}"
    return [JobWarning(code="column_dropped", message=text, count=len(others))] if others else []


def _lengths(datasets: Mapping[str, Any]) -> str:
    return listed([f"{name} ({dataset.shape[0]:,} rows)" for name, dataset in datasets.items()])


def _column(dataset: Any, name: str, file: Source) -> _Column:
    import h5py

    dtype: np.dtype[Any] = dataset.dtype
    varies = dtype.kind == "O" and (
        h5py.check_string_dtype(dtype) is not None or h5py.check_vlen_dtype(dtype) is not None
    )
    if (dtype.kind not in "biufS" and not varies) or (dtype.kind == "f" and dtype.itemsize > _MAX_FLOAT_BYTES):
        raise DataError(
            f"the dataset has the type {str(dtype)[:100]}, which can't be imported",
            file=file.name,
            field=name,
            remedy="Write it as numbers, bool or text",
        )
    shape = dataset.shape
    if len(shape) > 2 or (len(shape) == 2 and (varies or dtype.kind == "S" or shape[1] == 0)):
        raise DataError(
            f"a dataset of shape {shape} and type {str(dtype)[:100]} can't be imported",
            file=file.name,
            field=name,
            remedy="Write values as shape (rows,), vectors as shape (rows, dimension)",
        )
    _check_filters(dataset, name, file.name)
    width = shape[1] if len(shape) == 2 else None
    row_bytes = (_TEXT_BYTES if varies else dtype.itemsize) * (width or 1)
    tile_rows = dataset.chunks[0] if dataset.chunks else 1
    tile_width = -(-width // dataset.chunks[1]) * dataset.chunks[1] if width and dataset.chunks else (width or 1)
    if tile_rows * tile_width * dtype.itemsize > _MAX_TILE_BYTES or row_bytes > _MAX_TILE_BYTES:
        raise DataError(
            f"the dataset is stored in chunks of {tile_rows:,} rows, more than the {_MAX_TILE_BYTES >> 20} MiB that "
            "are decompressed at once",
            file=file.name,
            field=name,
            remedy="Write it with smaller chunks",
        )
    return _Column(
        dataset, name, width, row_bytes, tile_rows, varies, _offset(dataset, shape[0] * row_bytes, file.size)
    )


def _offset(dataset: Any, size: int, file_size: int) -> int | None:
    """Where the numbers of a dataset, of ``size`` bytes, lie in the file as they do in memory; None if they do not.

    They are read without HDF5, which takes half of the processor time. HDF5 reads all others: those in chunks, in
    another form than the processor's, never written, or outside of the file.
    """
    import h5py

    dtype: np.dtype[Any] = dataset.dtype
    is_plain = dtype.kind in "iuf" and dtype.itemsize <= 8 and dtype.isnative
    properties = dataset.id.get_create_plist()
    if not is_plain or properties.get_layout() != h5py.h5d.CONTIGUOUS:
        return None
    if not dataset.id.get_type().equal(h5py.h5t.py_create(dtype)) or dataset.id.get_storage_size() != size:
        return None
    offset = dataset.id.get_offset()
    return offset if offset is not None and 0 <= offset <= file_size - size else None


def _check_filters(dataset: Any, name: str, file: str) -> None:
    import h5py

    properties = dataset.id.get_create_plist()
    for number in range(properties.get_nfilters()):
        code, _, _, title = properties.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            raise DataError(
                f"the dataset is compressed with {title.decode(errors='replace')!r} (filter {code}), which the "
                "server does not have",
                file=file,
                field=name,
                remedy="Write it with gzip, or uncompressed",
            )


def _to_arrow(values: Any, column: _Column) -> pa.Array[Any]:
    """Convert a slice to Arrow, numbers without a copy. Rows in errors count in the slice."""
    if values.dtype.kind in "OS":
        return _variable(values, column.name)
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return _lists(pa.array(np.ascontiguousarray(values).reshape(-1)), column.width)


def _lists(values: pa.Array[Any], width: int | None) -> pa.Array[Any]:
    return values if width is None else pa.FixedSizeListArray.from_arrays(values, width)


def _variable(values: Any, name: str) -> pa.Array[Any]:
    try:
        array: pa.Array[Any] = pa.array(values.tolist())
        return array.cast(pa.string()) if pa.types.is_binary(array.type) else array
    except (pa.ArrowException, UnicodeError) as error:
        raise DataError(
            f"the values can't be read as text or lists: {' '.join(str(error).split())[:200]}",
            field=name,
            remedy="Write texts in UTF-8, and lists of numbers of one type",
        ) from error


@contextmanager
def _errors(file: _FileObject) -> Iterator[None]:
    """Translate HDF5's errors about a file's content; the errors of reading the file come first."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, UnicodeError) as error:
        if file.error is not None:
            raise file.error from error
        if isinstance(error, OSError) and "signature not found" in str(error):
            raise DataError(
                "the file is not an HDF5 file", file=file.name, remedy="Check its extension, or write it again"
            ) from error
        raise broken(_TITLE, error, file.name) from error


HDF5 = FormatSpec(
    name="HDF5",
    extensions=("h5", "hdf5"),
    reader=ColumnarReader(_opened),
    counts_rows=True,
    options={"datasets": _check_option},
)
