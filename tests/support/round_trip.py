"""A file read, checked, written by the engine and read back: what a user sees of it after an import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from penstock.domain.jobs import JobWarning, merge_warnings
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType
from penstock.engines.base import Engine
from penstock.readers.base import FormatSpec, ReadRequest, plan_at_once
from penstock.validation import Conformer
from tests.support.in_memory import BytesSource
from tests.support.tables import import_rows, new_table

__all__ = ["round_trip"]


def round_trip(
    engine: Engine,
    format: FormatSpec,
    files: Mapping[str, bytes],
    schema: CollectionSchema,
    *,
    split_bytes: int = 1 << 30,
) -> tuple[list[dict[str, Any]], list[JobWarning]]:
    """The rows in order of their keys, JSON parsed, and the warnings. ``files`` is one file, or a NumPy set."""
    sources = [BytesSource(name, content) for name, content in files.items()]
    request = ReadRequest(sources=sources, schema=schema, batch_bytes=1 << 20)
    reader = format.reader
    batches, warnings = [], []
    for plan in plan_at_once(reader, request, split_bytes):
        conformer = Conformer(schema, [1], 1 if schema.auto_id else None)
        batches += [conformer.conform(batch) for batch in reader.read(request, plan.spec)]
        warnings += conformer.warnings
    table, _ = import_rows(engine, new_table(engine, schema), *batches)
    as_json = {field.name for field in schema if field.type is DataType.JSON}
    names = list(schema.names)
    if schema.dynamic:
        as_json.add(META_FIELD)
        names.append(META_FIELD)
    rows = [
        {name: orjson.loads(value) if name in as_json and value is not None else value for name, value in row.items()}
        for row in engine.query(table, columns=names).to_pylist()
    ]
    return rows, merge_warnings([request.warnings, warnings])
