"""The file formats of the bulk writers."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["BulkFileType"]


class BulkFileType(IntEnum):
    """File formats, with the names and numbers of ``pymilvus.bulk_writer.BulkFileType``.

    ``NPY`` and ``JSON_RB`` are the older names of ``NUMPY`` and ``JSON``.
    """

    NUMPY = 1
    NPY = 1
    JSON = 2
    JSON_RB = 2
    PARQUET = 3
    CSV = 4
    JSONL = 5
