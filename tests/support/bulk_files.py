"""What is in import files, read as a server reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from penstock.domain.schema import META_FIELD, CollectionSchema
from penstock.readers.base import ReadRequest, plan_at_once
from penstock.readers.input_files import detect
from penstock.sources.base import Location
from penstock.sources.opening import open_source
from penstock.validation import Conformer

__all__ = ["read_batches", "read_files"]


def read_files(
    batch_files: Sequence[Sequence[str]], schema: CollectionSchema, options: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """All rows of all chunks, in order, in canonical values; without a generated key."""
    return [row for batch in read_batches(batch_files, schema, options) for row in _rows(batch, schema)]


def read_batches(
    batch_files: Sequence[Sequence[str]], schema: CollectionSchema, options: Mapping[str, str] | None = None
) -> list[pa.RecordBatch]:
    """All rows of all chunks, in order, as canonical batches of partition 0."""
    batches: list[pa.RecordBatch] = []
    for group in batch_files:
        locations = [
            Location(uri=Path(each).resolve().as_uri(), name=each, size=Path(each).stat().st_size) for each in group
        ]
        request = ReadRequest(
            sources=[open_source(location) for location in locations],
            schema=schema,
            batch_bytes=1 << 20,
            options=options or {},
        )
        reader = detect(group).reader
        for split in plan_at_once(reader, request, 1 << 30):
            conformer = Conformer(replace(schema), [0], auto_id_start=1 if schema.auto_id else None)
            batches += [conformer.conform(batch) for batch in reader.read(request, split.spec)]
        assert not request.warnings
    return batches


def _rows(batch: pa.RecordBatch, schema: CollectionSchema) -> list[dict[str, Any]]:
    names = [field.name for field in schema if not schema.is_generated(field)]
    return batch.select([*names, *([META_FIELD] if schema.dynamic else [])]).to_pylist()
