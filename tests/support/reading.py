"""Reading a file through a reader as a job does: plan, then each split by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from penstock.domain.schema import CollectionSchema
from penstock.readers.base import Reader, ReadRequest, plan_at_once
from penstock.sources.base import Location
from penstock.sources.opening import open_source
from penstock.sources.roots import ImportRoots

__all__ = ["read_all", "request_for"]


def request_for(
    files: Sequence[Path | Location],
    schema: CollectionSchema,
    *,
    batch_bytes: int = 1 << 20,
) -> ReadRequest:
    """A request for files on the disk (or locations); their names in messages are the bare file names."""
    locations = [
        location
        for file in files
        for location in ([file] if isinstance(file, Location) else ImportRoots([str(file.parent)]).locate(file.name))
    ]
    return ReadRequest(
        sources=[open_source(location) for location in locations], schema=schema, batch_bytes=batch_bytes
    )


def read_all(reader: Reader, request: ReadRequest, split_bytes: int = 1 << 30) -> pa.Table:
    """All rows, after checking what every reader promises of its plans and batches."""
    batches: list[pa.RecordBatch] = []
    for plan in plan_at_once(reader, request, split_bytes):
        spec = json.loads(json.dumps(plan.spec))
        rows = done = 0
        for each in reader.read(request, spec):
            assert each.first_row == rows
            assert done <= each.bytes_read <= plan.size
            rows, done = rows + each.batch.num_rows, each.bytes_read
            batches.append(each.batch)
        assert rows <= plan.max_rows
    return pa.Table.from_batches(batches) if batches else pa.table({})
