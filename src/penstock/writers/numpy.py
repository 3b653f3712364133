"""The NumPy format: a folder ``<n>`` with one ``.npy`` file per field, as Milvus reads them.

Vectors and numbers are streamed to disk. Text needs one width for all rows, which is known only at the end, so text
columns are buffered in memory (as Arrow strings, without padding).
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.schema import DataType, Field
from penstock.rules.rule import Array
from penstock.writers.base import Layout, sync_folder
from penstock.writers.columns import file_bytes, vector_matrix
from penstock.writers.file_schema import TEXT_TYPES

__all__ = ["NumpyChunk"]

_TEXT_BYTES = 16 << 20
_SCALARS: dict[DataType, str] = {
    DataType.BOOL: "|b1",
    DataType.INT8: "|i1",
    DataType.INT16: "<i2",
    DataType.INT32: "<i4",
    DataType.INT64: "<i8",
    DataType.FLOAT: "<f4",
    DataType.DOUBLE: "<f8",
}


class NumpyChunk:
    """A folder that is written under a temporary name. A field without any value has no file."""

    def __init__(self, layout: Layout, folder: Path, name: str) -> None:
        self._columns = layout.columns
        self._folder = folder / name
        self._temporary = folder / f".{name}.part"
        self._temporary.mkdir()
        self._arrays: dict[str, _NumberFile | _TextFile] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        for column, field in zip(batch.columns, self._columns, strict=True):
            if column.null_count:
                # Rejected at append unless the whole field is null.
                continue
            if field.name not in self._arrays:
                kind = _TextFile if field.type in TEXT_TYPES else _NumberFile
                self._arrays[field.name] = kind(self._temporary / f"{field.name}.npy", field)
            self._arrays[field.name].add(column)

    def detach_buffers(self) -> None:
        for array in self._arrays.values():
            array.detach_buffers()

    def finish(self) -> list[Path]:
        for array in self._arrays.values():
            array.finish()
        sync_folder(self._temporary)
        self._temporary.rename(self._folder)
        sync_folder(self._folder.parent)
        return [self._folder / f"{name}.npy" for name in self._arrays]

    def discard(self) -> None:
        for array in self._arrays.values():
            array.discard()
        shutil.rmtree(self._temporary, ignore_errors=True)


class _NumberFile:
    """An array of numbers: the header is rewritten at the end with the row count."""

    def __init__(self, path: Path, field: Field) -> None:
        self._field = field
        self._rows = 0
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(_SCALARS.get(field.type, "|u1"))
        self._stream: BinaryIO = path.open("wb", buffering=1 << 18)

    def add(self, column: Array) -> None:
        values = self._values(column)
        if not self._rows:
            self._shape, self._dtype = values.shape[1:], values.dtype
            self._write_header()
        self._rows += len(values)
        self._stream.write(values.data.cast("B"))

    def detach_buffers(self) -> None:
        """No Arrow buffers are kept."""

    def finish(self) -> None:
        self._stream.seek(0)
        self._write_header()
        _sync_and_close(self._stream)

    def discard(self) -> None:
        _close_quietly(self._stream)

    def _values(self, column: Array) -> np.ndarray[Any, Any]:
        if self._field.type.is_vector:
            return np.ascontiguousarray(file_bytes(vector_matrix(column, self._field), self._field))
        values = column.to_numpy(zero_copy_only=False)
        return np.ascontiguousarray(values, dtype=_SCALARS[self._field.type])

    def _write_header(self) -> None:
        # NumPy pads headers so that the first axis can grow: both calls write the same number of bytes.
        _write_header(self._stream, self._dtype, (self._rows, *self._shape))


class _TextFile:
    """An array of fixed-width Unicode text."""

    def __init__(self, path: Path, _field: Field) -> None:
        self._stream: BinaryIO = path.open("wb", buffering=1 << 18)
        self._parts: list[Array] = []
        self._detached = 0

    def add(self, column: Array) -> None:
        self._parts.append(column)

    def detach_buffers(self) -> None:
        copies = [pa.concat_arrays([part, part.slice(0, 0)]) for part in self._parts[self._detached :]]
        self._parts[self._detached :] = copies
        self._detached = len(self._parts)

    def finish(self) -> None:
        width = max([1, *(_max_length(part) for part in self._parts)])
        dtype = np.dtype(f"<U{width}")
        _write_header(self._stream, dtype, (sum(map(len, self._parts)),))
        step = max(1, _TEXT_BYTES // dtype.itemsize)
        for part in self._parts:
            for start in range(0, len(part), step):
                texts = np.array(part.slice(start, step).to_pylist(), dtype=dtype)
                self._stream.write(texts.tobytes())
        _sync_and_close(self._stream)

    def discard(self) -> None:
        _close_quietly(self._stream)


def _max_length(texts: Array) -> int:
    lengths: Array = pc.utf8_length(texts)
    return pc.max(lengths).as_py() or 0


def _write_header(stream: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)


def _sync_and_close(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())
    stream.close()


def _close_quietly(stream: BinaryIO) -> None:
    with suppress(OSError):  # on a full disk the last flush fails again; the folder is removed anyway
        stream.close()
