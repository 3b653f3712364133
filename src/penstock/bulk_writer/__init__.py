"""Write import files, validated and fast: a drop-in replacement for ``pymilvus.bulk_writer``."""

from __future__ import annotations

from penstock.bulk_writer.local_bulk_writer import LocalBulkWriter
from penstock.bulk_writer.progress import WriteProgress
from penstock.bulk_writer.remote_bulk_writer import RemoteBulkWriter
from penstock.sdk.v2_calls import bulk_import, get_import_progress, list_import_jobs
from penstock.writers.file_type import BulkFileType

__all__ = [
    "BulkFileType",
    "LocalBulkWriter",
    "RemoteBulkWriter",
    "WriteProgress",
    "bulk_import",
    "get_import_progress",
    "list_import_jobs",
]
