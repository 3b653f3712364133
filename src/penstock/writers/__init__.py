"""File formats: each writes canonical batches as the files of one chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from penstock.writers.base import ChunkFile, Layout
from penstock.writers.csv import CsvChunk
from penstock.writers.file_type import BulkFileType
from penstock.writers.json import JsonChunk
from penstock.writers.numpy import NumpyChunk
from penstock.writers.parquet import ParquetChunk

__all__ = ["open_chunk"]

_CHUNKS: Mapping[BulkFileType, Callable[[Layout, Path, str], ChunkFile]] = {
    BulkFileType.PARQUET: ParquetChunk,
    BulkFileType.JSON: JsonChunk,
    BulkFileType.JSONL: JsonChunk,
    BulkFileType.CSV: CsvChunk,
    BulkFileType.NUMPY: NumpyChunk,
}


def open_chunk(layout: Layout, folder: Path, name: str) -> ChunkFile:
    """Open the files of a chunk in ``folder``, under temporary names until they are finished.

    ``name`` is without the extension; NumPy files get a folder of that name.
    """
    return _CHUNKS[layout.file_type](layout, folder, name)
