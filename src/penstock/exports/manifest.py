"""The files next to the parts of an export: the collection's schema, and the manifest, which is written last."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from penstock.domain.exports import ExportFile, ExportJob
from penstock.domain.rest_schema import schema_to_rest
from penstock.domain.schema import CollectionSchema


def schema_file(schema: CollectionSchema) -> bytes:
    """A schema file, as ``penstock collections create --schema`` takes it."""
    return orjson.dumps(schema_to_rest(schema), option=orjson.OPT_INDENT_2) + b"\n"


def manifest_file(export: ExportJob, files: Sequence[ExportFile]) -> bytes:
    """Rows, bytes and SHA-256 of each file, and what they are an export of."""
    assert export.snapshot is not None
    content = {
        "collection": export.collection,
        "database": export.database,
        "export": str(export.id),
        "createTime": export.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "version": export.snapshot.version,
        "format": export.request.format.value,
        "filter": export.request.filter,
        "partitions": list(export.request.partitions),
        "rows": sum(file.rows for file in files),
        "files": [file.to_json() for file in files],
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n"
