"""The JSON (``{"rows": [...]}``) and JSON Lines formats, one row per line in both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from penstock.domain.schema import Field
from penstock.writers.base import Layout, PartFile, text_slices
from penstock.writers.columns import json_values
from penstock.writers.file_type import BulkFileType

__all__ = ["JsonChunk", "json_objects"]


class JsonChunk:
    """One ``<n>.json`` or ``<n>.jsonl``, streamed to disk."""

    def __init__(self, layout: Layout, folder: Path, name: str) -> None:
        self._columns = layout.columns
        self._lines = layout.file_type is BulkFileType.JSONL
        self._file = PartFile(folder / f"{name}.{'jsonl' if self._lines else 'json'}")
        self._started = False

    def add(self, batch: pa.RecordBatch) -> None:
        for part in text_slices(batch):
            self._write(part)

    def detach_buffers(self) -> None:
        """No Arrow buffers are kept."""

    def finish(self) -> list[Path]:
        if not self._lines:
            self._file.write(b"\n]}\n" if self._started else b'{"rows":[]}\n')
        return [self._file.finish()]

    def discard(self) -> None:
        self._file.discard()

    def _write(self, batch: pa.RecordBatch) -> None:
        texts = [
            orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in json_objects(batch.columns, self._columns)
        ]
        # One dumps call for all rows saves a tenth, but then row ends would have to be searched for.
        if self._lines:
            self._file.write(b"\n".join([*texts, b""]))
        else:
            self._file.write((b",\n" if self._started else b'{"rows":[\n') + b",\n".join(texts))
        self._started = True


def json_objects(columns: Sequence[Any], fields: Sequence[Field]) -> Iterable[dict[str, Any]]:
    """Convert canonical columns to an object per row, for ``orjson.dumps(…, option=OPT_SERIALIZE_NUMPY)``."""
    names = [field.name for field in fields]
    values = [json_values(column, field) for column, field in zip(columns, fields, strict=True)]
    return (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))
