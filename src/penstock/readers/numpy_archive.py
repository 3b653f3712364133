"""Read ``.npz`` files of NumPy: a zip archive of arrays, each of which is a column, named as the field.

An archive is read as the NumPy set of its arrays. Those of ``numpy.savez`` are stored and cut by rows; those of
``numpy.savez_compressed`` are decompressed from their beginning, so that such a file is one file range.
"""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, BinaryIO, cast

import pyarrow as pa

from penstock.domain.jobs import FileRange
from penstock.errors import DataError, StorageFull
from penstock.readers.base import FormatSpec, Reader, ReadRequest, RowBatch, Sample, SampleRequest
from penstock.readers.columnar import content_errors, shares
from penstock.readers.decompression_bombs import check_decompression_bomb
from penstock.readers.numpy import NUMPY
from penstock.sources.base import Source
from penstock.sources.derived import DerivedSource

_TITLE = "npz"
_SUFFIX = ".npy"
_MAX_ARRAYS = 4096
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""The header before an array's bytes: its signature, and the lengths of the name and of the extra field behind it."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_COPY_IN_MEMORY, _COPY_CHUNK = 4 << 20, 1 << 20
"""Bytes of a temporary copy up to which it is kept in memory, and of its parts."""
_REMEDY = "Save it again with numpy.savez"
_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, EOFError, struct.error, LookupError)
"""What the library raises for damaged archives."""


@dataclass(frozen=True, slots=True)
class _NumpyArchiveReader:
    """Reader of ``.npz``; ``reader`` is that of NumPy sets."""

    reader: Reader = NUMPY.reader

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange]:
        archive = request.sources[0]
        arrays = _arrays(archive)
        is_compressed = any(isinstance(array, _CompressedArray) for array in arrays)
        plan = self.reader.plan(replace(request, sources=arrays), (1 << 62) if is_compressed else split_bytes)
        assert isinstance(plan, Sequence)
        sizes = shares(archive.size, [file_range.size for file_range in plan])
        return [
            replace(file_range, size=size, decoded_size=file_range.size)
            for file_range, size in zip(plan, sizes, strict=True)
        ]

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        archive = request.sources[0]
        arrays = _arrays(archive)
        total = max(1, sum(array.size for array in arrays))
        for batch in self.reader.read(replace(request, sources=arrays), spec):
            yield replace(batch, bytes_read=archive.size * batch.bytes_read // total)

    def sample(self, request: SampleRequest) -> Sample:
        return self.reader.sample(replace(request, sources=_arrays(request.sources[0])))


def _arrays(archive: Source) -> list[Source]:
    """The arrays of an archive as sources, named ``archive.npz/name.npy``."""
    if archive.size == 0:
        raise DataError("the file is empty (0 bytes)", file=archive.name, remedy=_REMEDY)
    with (
        content_errors(_TITLE, archive.name, *_ERRORS),
        archive.open_arrow() as stream,
        zipfile.ZipFile(cast(Any, stream)) as file,
    ):
        members = file.infolist()
        if not members or len(members) > _MAX_ARRAYS:
            raise DataError(
                f"the archive holds {len(members):,} files; it may hold 1 to {_MAX_ARRAYS:,} arrays",
                file=archive.name,
                remedy=_REMEDY,
            )
        return [_array(archive, stream, member) for member in members]


def _array(archive: Source, stream: pa.NativeFile, member: zipfile.ZipInfo) -> Source:
    name = f"{archive.name}/{member.filename.rpartition('/')[2]}"
    if not member.filename.endswith(_SUFFIX):
        raise DataError(
            f"the archive holds {member.filename!r}, which is not an array", file=archive.name, remedy=_REMEDY
        )
    if member.compress_type not in _METHODS or member.flag_bits & _ENCRYPTED:
        raise DataError("the array is encrypted, or compressed otherwise than NumPy does", file=name, remedy=_REMEDY)
    stream.seek(member.header_offset)
    signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(bytes(stream.read(_LOCAL_HEADER.size)))
    start = member.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
    if signature != b"PK\x03\x04" or not 0 <= start <= start + member.compress_size <= archive.size:
        raise DataError("the archive is damaged: an array lies outside of it", file=name, remedy=_REMEDY)
    if member.compress_type == zipfile.ZIP_DEFLATED:
        try:
            check_decompression_bomb(member.file_size, archive.size)
        except DataError as error:
            raise error.at(file=name) from None
        return _CompressedArray(archive, name, member.file_size, start, member)
    return _StoredArray(archive, name, member.compress_size, start)


@dataclass(slots=True)
class _StoredArray(DerivedSource):
    """An array that lies in its archive as it is, ``size`` bytes from ``start`` on."""

    name: str
    size: int
    start: int

    def open_arrow(self) -> pa.NativeFile:
        return pa.PythonFile(_Part(self.stored.open_arrow(), self.start, self.size), mode="r")

    def open_stream(self, start: int = 0, end: int | None = None) -> BinaryIO:
        stop = self.size if end is None else min(end, self.size)
        return self.stored.open_stream(self.start + start, self.start + stop)


class _Part(io.RawIOBase):
    """A part of a file, as a file of its own that can be read anywhere."""

    def __init__(self, file: pa.NativeFile, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        count = left if size < 0 else min(size, left)
        self._file.seek(self._start + self._at)
        data = self._file.read_buffer(count)
        self._at += data.size
        return cast(bytes, data)  # Arrow takes its own buffers without a copy

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


@dataclass(slots=True)
class _CompressedArray(DerivedSource):
    """An array that is decompressed from its beginning, which is at ``start``; ``size`` is that of the array."""

    name: str
    size: int
    start: int
    member: zipfile.ZipInfo

    def open_arrow(self) -> pa.NativeFile:
        return pa.PythonFile(_Decompressed(self), mode="r")

    def open_stream(self, start: int = 0, end: int | None = None) -> BinaryIO:
        with self.open_arrow() as file:
            file.seek(start)
            return io.BytesIO(file.read(None if end is None else end - start))


class _Decompressed(io.RawIOBase):
    """The bytes of a compressed array; to seek decompresses what is between.

    It is opened without the archive's directory, which would be read again for each array. The first seek backwards
    makes a temporary copy of the array: one that is stored column by column (Fortran order) is read from its
    beginning for every batch of rows, and would be decompressed as often.
    """

    def __init__(self, array: _CompressedArray) -> None:
        self._name = array.name
        self._stream = array.stored.open_arrow()
        self._stream.seek(array.start)
        self._file = cast(IO[bytes], zipfile.ZipExtFile(cast(Any, self._stream), "r", array.member))
        self._copy: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with content_errors(_TITLE, self._name, *_ERRORS):
            if self._copy is None and whence == io.SEEK_SET and offset < self._file.tell():
                self._copy = self._copied()
            return self._open_file.seek(offset, whence)

    def tell(self) -> int:
        return self._open_file.tell()

    def read(self, size: int = -1) -> bytes:
        with content_errors(_TITLE, self._name, *_ERRORS):
            return self._open_file.read(size)

    @property
    def _open_file(self) -> IO[bytes]:
        return self._file if self._copy is None else self._copy

    def _copied(self) -> IO[bytes]:
        """The array, decompressed, in a temporary file. Raises StorageFull."""
        copy = tempfile.SpooledTemporaryFile(_COPY_IN_MEMORY, prefix="penstock-npz-")  # noqa: SIM115 - closed with this stream
        try:
            self._file.seek(0)
            while chunk := self._file.read(_COPY_CHUNK):
                try:
                    copy.write(chunk)
                except OSError as error:
                    raise StorageFull(
                        f"the array {self._name!r} is compressed and in Fortran order, and a temporary copy of it "
                        f"could not be written to {tempfile.gettempdir()}: {error.strerror}. Free space there, or "
                        "save it in C order: numpy.ascontiguousarray(array)",
                        file=self._name,
                    ) from error
        except BaseException:
            copy.close()
            raise
        return cast(IO[bytes], copy)

    def close(self) -> None:
        if not self.closed:
            if self._copy is not None:
                self._copy.close()
            self._file.close()
            self._stream.close()
        super().close()


NUMPY_ARCHIVE = FormatSpec(name="npz", extensions=("npz",), reader=_NumpyArchiveReader(), counts_rows=True)
