"""The JSON (``{"rows": [...]}``) and JSON Lines formats, one row per line in both."""

from __future__ import annotations

from pathlib import Path

import orjson
import pyarrow as pa

from penstock.writers.base import Layout, PartFile, text_slices
from penstock.writers.columns import json_values
from penstock.writers.file_type import BulkFileType

__all__ = ["JsonChunk"]


class JsonChunk:
    """One ``<n>.json`` or ``<n>.jsonl``, streamed to disk."""

    def __init__(self, layout: Layout, folder: Path, name: str) -> None:
        self._columns = layout.columns
        self._names = [column.name for column in layout.columns]
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
        values = [json_values(column, field) for column, field in zip(batch.columns, self._columns, strict=True)]
        texts = [
            orjson.dumps(dict(zip(self._names, row, strict=True)), option=orjson.OPT_SERIALIZE_NUMPY)
            for row in zip(*values, strict=True)
        ]
        # One dumps call for all rows saves a tenth, but then row ends would have to be searched for.
        if self._lines:
            self._file.write(b"\n".join([*texts, b""]))
        else:
            self._file.write((b",\n" if self._started else b'{"rows":[\n') + b",\n".join(texts))
        self._started = True
