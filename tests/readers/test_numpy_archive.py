"""Compressed archives of arrays, whatever the order in which their values are stored."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import StorageFull
from penstock.readers import numpy_archive
from penstock.readers.base import ReadRequest
from penstock.readers.numpy_archive import NUMPY_ARCHIVE
from tests.support.in_memory import BytesSource
from tests.support.reading import read_all

ROWS, DIM = 5_000, 16
SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=DIM),
    )
)
VECTORS = np.random.default_rng(7).random((ROWS, DIM), dtype=np.float32)


@dataclass(frozen=True)
class CountingSource(BytesSource):
    """Counts the bytes that are read."""

    counts: list[int] = field(default_factory=list)

    def open_arrow(self) -> pa.NativeFile:
        counts = self.counts

        class Counting(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                data = super().read(size)
                counts.append(len(data))
                return data

        return pa.PythonFile(Counting(self.content), mode="r")


def archive(vectors: Any) -> CountingSource:
    stream = io.BytesIO()
    np.savez_compressed(stream, id=np.arange(ROWS), vector=vectors)
    return CountingSource("a.npz", stream.getvalue())


def request_of(source: CountingSource) -> ReadRequest:
    return ReadRequest(sources=[source], schema=SCHEMA, batch_bytes=1 << 14)  # two dozen batches


@pytest.mark.parametrize("in_memory", [1, 1 << 30], ids=["in a file", "in memory"])
def test_an_array_in_fortran_order_is_decompressed_no_more_often_the_more_batches_it_has(
    monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(numpy_archive, "_COPY_IN_MEMORY", in_memory)
    source = archive(np.asfortranarray(VECTORS))
    table = read_all(NUMPY_ARCHIVE.reader, request_of(source), 1 << 30)
    assert table["vector"].to_pylist() == VECTORS.tolist()
    assert sum(source.counts) < 4 * source.size


def test_an_array_in_c_order_needs_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", None)
    source = archive(VECTORS)
    assert read_all(NUMPY_ARCHIVE.reader, request_of(source), 1 << 30).num_rows == ROWS
    assert sum(source.counts) < 3 * source.size


def test_no_room_for_the_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda *_, **__: Full())
    with pytest.raises(StorageFull, match=r"a temporary copy of it could not be written to .*: No space left"):
        read_all(NUMPY_ARCHIVE.reader, request_of(archive(np.asfortranarray(VECTORS))), 1 << 30)
