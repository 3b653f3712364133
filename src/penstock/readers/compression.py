"""Read compressed text files: gzip, Zstandard and bzip2, by a second extension (``.jsonl.gz``).

A compressed file is decompressed from its beginning, in blocks, and never held as a whole; so it is one file range.
A thread decompresses a block while the one before is parsed. gzip is decompressed by ISA-L, in less than half of the
time of zlib, which Arrow uses: 27 MB of JSON Lines in 0.048 and 0.111 s of processor time.
What it decompresses to is bounded (:mod:`penstock.readers.decompression_bombs`). Byte offsets in errors count in the
decompressed text.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import pyarrow as pa

from penstock.domain.jobs import FileRange
from penstock.errors import DataError
from penstock.readers.base import BoundaryScan, Reader, ReadRequest, RowBatch, Sample, SampleRequest
from penstock.readers.decompression_bombs import check_decompression_bomb, max_decoded_bytes
from penstock.sources.base import Source
from penstock.sources.derived import DerivedSource
from penstock.sources.errors import is_of_disk

if TYPE_CHECKING:
    from isal import igzip_lib

HEAD_BYTES = 1 << 20
"""Bytes that are decompressed to find the exact size of a short text."""
_ASSUMED_RATIO = 4
"""Bytes of text per compressed byte, for balance: texts of numbers compress to less than half, others to a tenth."""
_STEP_BYTES = 1 << 20
_HAS_ISAL = find_spec("isal") is not None
"""It comes with the extra ``server``; without it Arrow decompresses gzip, too."""
_COMPRESSED_BYTES = 1 << 20
"""Bytes per read of the compressed file. The thread that decompresses waits for the interpreter's lock at each."""
_PIECE_BYTES = 32 << 10
"""Of these are decompressed at a time: 1 MiB of empty gzip members took 3 s at once."""


@dataclass(frozen=True, slots=True)
class _Compression:
    """A compression: its name in messages, Arrow's name of its codec, and how its files begin."""

    title: str
    codec: Literal["bz2", "gzip", "zstd"]
    signature: bytes


_GZIP = _Compression("gzip", "gzip", b"\x1f\x8b")
COMPRESSIONS: Mapping[str, _Compression] = {
    "gz": _GZIP,
    "zst": _Compression("Zstandard", "zstd", b"\x28\xb5\x2f\xfd"),
    "bz2": _Compression("bzip2", "bz2", b"BZh"),
}
"""Compressions by the extension of their files."""


def with_compressed(*extensions: str) -> Sequence[str]:
    """The extensions, and each followed by that of a compression."""
    return (*extensions, *(f"{extension}.{inner}" for extension in extensions for inner in COMPRESSIONS))


def _compression_of(name: str) -> _Compression | None:
    return COMPRESSIONS.get(name.rpartition(".")[2].lower())


@dataclass(frozen=True, slots=True)
class CompressibleText:
    """Reader of a text format whose files may be compressed; ``reader`` reads the text."""

    reader: Reader

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange] | BoundaryScan:
        text = _text_of(request.sources[0])
        if text is None:
            return self.reader.plan(request, split_bytes)
        ranges = self.reader.plan(replace(request, sources=[text]), max(1, text.size))
        assert isinstance(ranges, Sequence)
        return [
            replace(whole, size=text.stored.size, decoded_size=min(text.size, _ASSUMED_RATIO * text.stored.size))
            for whole in ranges
        ]

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        text = _text_of(request.sources[0])
        if text is None:
            yield from self.reader.read(request, spec)
            return
        for batch in self.reader.read(replace(request, sources=[text]), spec):
            yield replace(batch, bytes_read=text.read_bytes)

    def sample(self, request: SampleRequest) -> Sample:
        text = _text_of(request.sources[0])
        return self.reader.sample(request if text is None else replace(request, sources=[text]))


def _text_of(compressed: Source) -> _DecompressedSource | None:
    """The decompressed text of a file, None where it isn't compressed."""
    compression = _compression_of(compressed.name)
    return None if compression is None else _DecompressedSource(compressed, compression)


@dataclass(slots=True)
class _DecompressedSource(DerivedSource):
    """The text that a compressed file decompresses to.

    ``read_bytes`` are the compressed bytes that have been read.
    """

    compression: _Compression
    read_bytes: int = 0
    _size: int | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def size(self) -> int:
        """The text's size where it is at most ``HEAD_BYTES``, otherwise an upper bound: files don't record it."""
        if self._size is None:
            with self.open_stream(0, HEAD_BYTES + 1) as stream:
                head = len(stream.read())
            self._size = head if head <= HEAD_BYTES else max_decoded_bytes(self.stored.size)
        return self._size

    def open_arrow(self) -> pa.NativeFile:
        """Open a stream, which has no random access."""
        return pa.PythonFile(_TextStream(self, 0, None), mode="r")

    def open_stream(self, start: int = 0, end: int | None = None) -> BinaryIO:
        return cast(BinaryIO, _TextStream(self, start, end))


class _TextStream(io.RawIOBase):
    """The decompressed bytes ``start`` to ``end``.

    After each read of a size as many bytes are decompressed ahead, in a thread.

    Raises:
        DataError: the file is damaged, not of this compression, or a decompression bomb.
    """

    def __init__(self, source: _DecompressedSource, start: int, end: int | None) -> None:
        self._source = source
        self._raw = _CountedStream(source)
        self._text = _open_decompressed(self._raw, source.compression)
        self._decoded = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decompress")
        self._ahead: Future[bytes] | None = None
        self._rest = b""
        while self._decoded < start and self._decompress(min(start - self._decoded, _STEP_BYTES)):
            pass
        self._at = self._decoded
        self._end = end

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes, or all: less than asked for only at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_STEP_BYTES), b""))
        size = self._within_end(size)
        data = self._rest
        while len(data) < size:
            more = self._next(size - len(data))
            if not more:
                break
            data = data + more if data else more
        self._rest = data[size:]
        self._at += min(size, len(data))
        ahead = self._within_end(size)
        if size <= len(data) and not self._rest and ahead:
            self._ahead = self._thread.submit(self._decompress, ahead)
        return data[:size]

    def _within_end(self, size: int) -> int:
        return size if self._end is None else min(size, max(0, self._end - self._at))

    def _next(self, size: int) -> bytes:
        """What was decompressed ahead, or at most ``size`` bytes."""
        ahead, self._ahead = self._ahead, None
        return self._decompress(size) if ahead is None else ahead.result()

    def _decompress(self, size: int) -> bytes:
        source = self._source
        try:
            data: bytes = self._text.read(size)
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError, EOFError) as error:
            if is_of_disk(error):
                raise
            raise self._broken(error) from error
        self._decoded += len(data)
        try:
            check_decompression_bomb(self._decoded, source.stored.size)
        except DataError as error:
            raise error.at(file=source.name) from None
        return data

    def _broken(self, error: Exception) -> DataError:
        source, compression = self._source, self._source.compression
        if not self._raw.head.startswith(compression.signature):
            return DataError(
                f"the content is not {compression.title}, which the file's suffix says",
                file=source.name,
                remedy="Give the file the suffix of its content: without a second one if it isn't compressed",
            )
        if isinstance(error, EOFError) or "Truncated" in str(error):
            rule = f"the {compression.title} file is cut off after {source.stored.size:,} bytes"
        else:
            rule = f"the {compression.title} file is damaged: {' '.join(str(error).split())[:200]}"
        return DataError(
            rule,
            file=source.name,
            offset=self._decoded,
            remedy="Copy it again, or compress it again; nothing may follow the compressed text",
        )

    def close(self) -> None:
        if not self.closed:
            self._thread.shutdown()
            self._text.close()
            self._raw.close()
        super().close()


def _open_decompressed(raw: _CountedStream, compression: _Compression) -> pa.NativeFile | _GzipStream:
    if compression is _GZIP and _HAS_ISAL:
        return _GzipStream(raw)
    buffered = pa.BufferedInputStream(pa.PythonFile(raw, mode="r"), _COMPRESSED_BYTES)
    return pa.CompressedInputStream(buffered, compression.codec)


class _GzipStream:
    """The text of a gzip stream, which may have several members, one after the other."""

    def __init__(self, raw: _CountedStream) -> None:
        from isal import igzip_lib

        self._raw = raw
        self._new_member = partial(igzip_lib.IgzipDecompressor, flag=igzip_lib.DECOMP_GZIP)
        self._error = cast(type[Exception], igzip_lib.IsalError)  # its stub has an instance of it
        self._member: igzip_lib.IgzipDecompressor | None = None
        self._block = memoryview(b"")
        self._unread = b""

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer only at the end.

        Raises:
            BadGzipFile: the stream is damaged, something else follows it, or is in its place.
            EOFError: it is cut off.
        """
        parts: list[bytes] = []
        while size and (data := self._next(size)):
            parts.append(data)
            size -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _next(self, size: int) -> bytes:
        """Decompress what was read of the file; at most ``size`` bytes, none only at the end."""
        data = b""
        while size and not data:
            if self._member is None or self._member.needs_input:
                self._unread = self._unread or self._piece()
            if self._member is None:
                if not self._unread:
                    break
                if not _GZIP.signature.startswith(self._unread[: len(_GZIP.signature)]):
                    raise gzip.BadGzipFile("something else follows the compressed text")
                self._member = self._new_member()
            elif self._member.needs_input and not self._unread:
                raise EOFError
            unread, self._unread = self._unread, b""
            try:
                data = self._member.decompress(unread, size)
            except self._error as error:
                raise gzip.BadGzipFile(str(error)) from error
            if self._member.eof:
                self._unread, self._member = self._member.unused_data, None
        return data

    def _piece(self) -> bytes:
        """The next bytes of the file, few at a time: what follows a member is copied at its end."""
        if not self._block:
            self._block = memoryview(self._raw.read(_COMPRESSED_BYTES))
        piece, self._block = bytes(self._block[:_PIECE_BYTES]), self._block[_PIECE_BYTES:]
        return piece

    def close(self) -> None:
        """Nothing is open but the stream that it reads."""


class _CountedStream(io.RawIOBase):
    """The compressed bytes, counted in the source's ``read_bytes``; ``head`` are the first."""

    def __init__(self, source: _DecompressedSource) -> None:
        self._source = source
        # An object store has no range of an empty object.
        self._stream: BinaryIO = source.stored.open_stream() if source.stored.size else io.BytesIO()
        self._count = 0
        self.head = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.head = self.head or data[:8]
        self._count += len(data)
        self._source.read_bytes = max(self._source.read_bytes, self._count)
        return data

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
