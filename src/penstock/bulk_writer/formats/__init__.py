"""File formats: each writes canonical batches as the files of one chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from penstock.bulk_writer.file_type import BulkFileType
from penstock.bulk_writer.formats.base import ChunkFile, Layout
from penstock.bulk_writer.formats.csv import CsvChunk
from penstock.bulk_writer.formats.json import JsonChunk
from penstock.bulk_writer.formats.numpy import NumpyChunk
from penstock.bulk_writer.formats.parquet import ParquetChunk

__all__ = ["open_chunk"]

_CHUNKS: Mapping[BulkFileType, Callable[[Layout, Path, int], ChunkFile]] = {
    BulkFileType.PARQUET: ParquetChunk,
    BulkFileType.JSON: JsonChunk,
    BulkFileType.JSONL: JsonChunk,
    BulkFileType.CSV: CsvChunk,
    BulkFileType.NUMPY: NumpyChunk,
}


def open_chunk(layout: Layout, folder: Path, number: int) -> ChunkFile:
    """Open the files of chunk ``number`` in ``folder``, under temporary names until they are finished."""
    return _CHUNKS[layout.file_type](layout, folder, number)
