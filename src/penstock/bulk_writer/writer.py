"""The base class of the local and the remote bulk writer: takes rows and batches, writes chunks of files."""

from __future__ import annotations

import threading
import uuid as uuids
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.bulk_writer.arguments import file_type_of, flag, string_mapping, whole_number
from penstock.bulk_writer.arrow_inputs import Batches, to_batches
from penstock.bulk_writer.batch_validator import BatchChecker
from penstock.bulk_writer.datasets import DatasetChunk, Selection, open_table
from penstock.bulk_writer.format_constraints import limits_of
from penstock.bulk_writer.progress import ProgressBar, ProgressCallback, WriteProgress
from penstock.bulk_writer.rolling_writer import CallBack, Chunks, Deliver
from penstock.bulk_writer.rows import RowBuffer
from penstock.bulk_writer.schemas import collection_schema, function_outputs, written_fields
from penstock.domain.schema import CollectionSchema, DataType
from penstock.errors import DataError, InvalidParameter, StorageError
from penstock.writers.base import META, Layout
from penstock.writers.file_schema import schema_of_files
from penstock.writers.file_type import BulkFileType

__all__ = ["GB", "MB", "BulkWriter"]

MB = 1 << 20
GB = 1 << 30


class BulkWriter:
    """Base class of the bulk writers; see :class:`~penstock.bulk_writer.LocalBulkWriter` for its use."""

    def __init__(
        self,
        schema: Any,
        folder: Path,
        chunk_size: int,
        file_type: BulkFileType,
        config: Mapping[str, str] | None,
        *,
        segment_size: int = 0,
        progress: ProgressCallback | None = None,
        progress_bar: bool = False,
    ) -> None:
        legacy_size = whole_number("segment_size", segment_size, least=0)
        self._chunk_size = legacy_size or whole_number("chunk_size", chunk_size)
        self._file_type = file_type_of(file_type)
        config = string_mapping("config", config)
        if progress is not None and not callable(progress):
            raise InvalidParameter(f"progress is a function that is called with a WriteProgress, not {progress!r}")
        self._schema = collection_schema(schema)
        written = _written_schema(self._schema, function_outputs(schema))
        self._written = written
        columns = schema_of_files(written).fields
        self._columns = (*columns, META) if written.dynamic else columns
        layout = _layout(self._file_type, self._columns, config, self._chunk_size)
        limits = limits_of(self._file_type, self._columns, layout.null_key)
        refused = _rejected_fields(self._schema, written)
        self._rows = RowBuffer(written, refused, limits)
        self._checker = BatchChecker(written, refused, limits)
        self._uuid = str(uuids.uuid4())
        self._folder = folder / self._uuid
        self._folder.mkdir(parents=True)
        self._chunks = Chunks(layout, self._folder, self._delivery())
        self._cleanup = weakref.finalize(self, _clean_up, self._chunks, self._folder)
        self._lock = threading.RLock()
        self._total_row_count = self._buffer_row_count = self._buffer_size = 0
        self._bar = ProgressBar(type(self).__name__) if flag("progress_bar", progress_bar) else None
        self._listeners = [listener for listener in (progress, self._bar) if listener is not None]
        self._expected_rows: int | None = None

    @property
    def uuid(self) -> str:
        """The name of this writer's folder."""
        return self._uuid

    @property
    def chunk_size(self) -> int:
        """Maximum bytes of a chunk's rows, counted before encoding; the row that exceeds it ends the chunk."""
        return self._chunk_size

    @property
    def buffer_size(self) -> int:
        """Bytes of the current chunk, counted before encoding."""
        return self._buffer_size

    @property
    def buffer_row_count(self) -> int:
        """Rows of the current chunk."""
        return self._buffer_row_count

    @property
    def total_row_count(self) -> int:
        """Rows that this writer has accepted."""
        return self._total_row_count

    @property
    def batch_files(self) -> list[list[str]]:
        """The complete files, one list per chunk, in the form of the import calls' ``files``."""
        return self._chunks.files

    def append_row(self, row: Mapping[str, Any]) -> None:
        """Append one row, a dict of field names and values.

        Raises:
            DataError: the row is rejected; the writer is unchanged. ``row`` counts from the writer's first row.
            StorageError: an earlier chunk could not be written or uploaded. The row is not appended.
        """
        with self._lock:
            self._chunks.raise_failure()
            try:
                size = self._rows.append(row)
            except DataError as error:
                raise error.at(row=self._total_row_count) from None
            self._count(1, size)
            if self._rows.is_full:
                self._drain_rows()
            if self._buffer_size > self._chunk_size:
                self._commit(None)

    def append_batch(self, data: Any) -> None:
        """Append many rows: an Arrow table, record batch or reader, a pandas or polars frame, a dict of NumPy
        columns, or an iterable of Arrow batches.

        Raises:
            DataError: a row is rejected; ``row`` counts from the start of ``data``. Of data in memory nothing is
                appended; of a stream the batches before the bad one are.
            StorageError: a chunk could not be written or uploaded.
        """
        with self._lock:
            self._chunks.raise_failure()
            self._append(to_batches(data, self._written))

    def write_table(self, source: Any, *, columns: Selection = None) -> int:
        """Append all rows of files or of a data set, read in batches; return their number.

        Args:
            source: a Parquet, Arrow, CSV, JSON, JSON Lines or NumPy file, a folder of them (searched recursively),
                a ``pyarrow.dataset.Dataset``, or a Hugging Face ``Dataset``.
            columns: the columns to read, as names or as ``{field: column}``; all by default.

        Raises:
            DataError, StorageError: as :meth:`append_batch`, with the file if it is known.
        """
        with self._lock:
            self._chunks.raise_failure()
            table = open_table(source, self._written, columns)
            before = self._total_row_count
            self._expected_rows = None if table.rows is None else before + table.rows
            try:
                for chunk in table.pieces:
                    self._append_chunk(chunk)
            finally:
                self._expected_rows = None
            return self._total_row_count - before

    def commit(self, _async: bool = False, call_back: CallBack | None = None) -> None:
        """Finish the current chunk and its files; ``call_back`` gets their names.

        With ``_async`` this returns at once, and a failure is raised by the next call. Failed uploads are retried.

        Raises:
            StorageError: this chunk, or an earlier one, could not be written or uploaded.
        """
        with self._lock:
            self._commit(call_back)
            if not _async:
                self._chunks.wait()
                self._report()

    def close(self) -> None:
        """Commit pending rows and clean up; called at the end of the ``with`` block. Idempotent."""
        with self._lock:
            try:
                if self._buffer_row_count or self._chunks.has_undelivered:
                    self._commit(None)
                self._chunks.wait()
                self._report()
            finally:
                self._abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self._chunks.wait()
        except Exception as second:  # noqa: BLE001 - reported with the error that is being raised already
            error.add_note(f"Besides: {second}")
        finally:
            self._abandon()

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self._file_type.name} at {str(self._target)!r}: {self._total_row_count} rows, "
            f"{self._buffer_row_count} of them pending; {len(self.batch_files)} chunks, "
            f"{self._chunks.file_bytes} bytes written>"
        )

    @property
    def _target(self) -> object:
        return self._folder

    def _delivery(self) -> Deliver:
        """The function that moves finished files to their destination. It must not reference the writer, which could
        then never be garbage-collected."""
        return _names

    def _append(self, batches: Batches) -> None:
        self._drain_rows()
        for checked in self._checker.checked(batches):
            self._add(checked.batch, np.cumsum(checked.sizes))
            self._report()
        if batches.borrowed:
            self._chunks.detach_buffers()

    def _append_chunk(self, chunk: DatasetChunk) -> None:
        try:
            self._append(Batches(stream=chunk.batches))
        except DataError as error:
            raise error.at(file=error.file or chunk.name) from None

    def _add(self, batch: pa.RecordBatch, ends: npt.NDArray[np.int64]) -> None:
        """Split a batch at chunk ends: after the row with which the counted bytes exceed the chunk size.

        ``ends`` are the cumulative bytes, each row included.
        """
        start = 0
        while start < len(batch):
            counted = int(ends[start - 1]) if start else 0
            limit = self._chunk_size - self._buffer_size + counted
            stop = min(int(np.searchsorted(ends, limit, side="right")) + 1, len(batch))
            self._put(batch.slice(start, stop - start))
            self._count(stop - start, int(ends[stop - 1]) - counted)
            if self._buffer_size > self._chunk_size:
                self._commit(None)
            start = stop

    def _count(self, rows: int, size: int) -> None:
        self._total_row_count += rows
        self._buffer_row_count += rows
        self._buffer_size += size

    def _drain_rows(self) -> None:
        if len(self._rows):
            self._put(self._rows.take())
            self._report()

    def _put(self, batch: pa.RecordBatch) -> None:
        try:
            self._chunks.add(batch)
        except StorageError:
            self._buffer_row_count = self._buffer_size = 0
            raise

    def _commit(self, call_back: CallBack | None) -> None:
        self._drain_rows()
        self._chunks.end(call_back)
        self._buffer_row_count = self._buffer_size = 0

    def _report(self) -> None:
        if not self._listeners:
            return
        progress = WriteProgress(
            rows=self._total_row_count,
            files=sum(map(len, self.batch_files)),
            file_bytes=self._chunks.file_bytes,
            total_rows=self._expected_rows,
        )
        for listener in self._listeners:
            listener(progress)

    def _abandon(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._cleanup()


def _names(paths: list[Path]) -> list[str]:
    return [str(path) for path in paths]


def _clean_up(chunks: Chunks, folder: Path) -> None:
    """Close the chunks and remove the folder if it is empty. As a finalizer it also runs when a writer is
    garbage-collected, and at interpreter exit."""
    chunks.close()
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def _written_schema(schema: CollectionSchema, computed: frozenset[str]) -> CollectionSchema:
    return CollectionSchema(fields=written_fields(schema, computed), dynamic=schema.dynamic)


def _rejected_fields(schema: CollectionSchema, written: CollectionSchema) -> dict[str, str]:
    """Error messages by name of the fields that rows must not contain."""
    return {
        field.name: f"the primary key '{field.name}' is auto-generated, no need to provide"
        if schema.is_generated(field)
        else f"not allowed to provide data for BM25 function output field '{field.name}'"
        if field.type is DataType.SPARSE_FLOAT_VECTOR
        else f"the field '{field.name}' is computed by the server, no need to provide"
        for field in schema
        if written.get(field.name) is None
    }


def _layout(file_type: BulkFileType, columns: Any, config: Mapping[str, str], chunk_bytes: int) -> Layout:
    unknown = config.keys() - {"sep", "nullkey"}
    if unknown:
        raise InvalidParameter(f"config knows 'sep' and 'nullkey', not {', '.join(sorted(unknown))}")
    separator, null_key = config.get("sep", ","), config.get("nullkey", "")
    if len(separator) != 1 or separator in '\0\n\r"�':
        raise InvalidParameter(
            f"unsupported csv separator: {separator!r}; it is one character, no quote or line break"
        )
    if any(character in null_key for character in f'{separator}"\r\n'):
        raise InvalidParameter(
            f"unsupported null key: {null_key!r}; it has neither the separator {separator!r}, quotes nor line breaks"
        )
    return Layout(
        file_type=file_type, columns=columns, separator=separator, null_key=null_key, chunk_bytes=chunk_bytes
    )
