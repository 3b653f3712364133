"""The bulk writer for import files in a local folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.bulk_writer.arguments import folder_path
from penstock.bulk_writer.progress import ProgressCallback
from penstock.bulk_writer.writer import MB, BulkWriter
from penstock.writers.file_type import BulkFileType

__all__ = ["LocalBulkWriter"]


class LocalBulkWriter(BulkWriter):
    """Write import files into ``<local_path>/<uuid>/``: ``1.parquet``, ``2.parquet``, … or ``1/<field>.npy``, ….

    ::

        with LocalBulkWriter(schema, "data", file_type=BulkFileType.PARQUET) as writer:
            writer.append_row({"id": 1, "vector": [0.1, 0.2]})
            writer.append_batch({"id": ids, "vector": vectors})
        bulk_import(url, "articles", files=writer.batch_files)

    Files have hidden temporary names until they are complete. Pending rows are committed when the ``with`` block ends
    without an error.

    Args:
        schema: a pymilvus or Penstock ``CollectionSchema``, or the ``schema`` object of the REST create call.
        local_path: folder for all writers' files; created if missing.
        chunk_size: a chunk ends after the row with which it exceeds so many bytes, counted before encoding.
        file_type: the format.
        config: for CSV, ``{"sep": ",", "nullkey": ""}``.
        segment_size: the older name of ``chunk_size``; wins if given.
        progress: called with :class:`~penstock.bulk_writer.WriteProgress` after every batch.
        progress_bar: draw a bar on the terminal.

    Raises:
        InvalidSchema, Unsupported: the schema is invalid, or one of its types is unsupported in this format.
        InvalidParameter: an argument has a wrong type or value.
    """

    def __init__(
        self,
        schema: Any,
        local_path: str | Path,
        chunk_size: int = 128 * MB,
        file_type: BulkFileType = BulkFileType.PARQUET,
        config: Mapping[str, str] | None = None,
        *,
        segment_size: int = 0,
        progress: ProgressCallback | None = None,
        progress_bar: bool = False,
    ) -> None:
        super().__init__(
            schema,
            folder_path("local_path", local_path),
            chunk_size,
            file_type,
            config,
            segment_size=segment_size,
            progress=progress,
            progress_bar=progress_bar,
        )

    @property
    def data_path(self) -> Path:
        """The folder of this writer's files."""
        return self._folder
