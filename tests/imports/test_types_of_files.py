"""Texts, times and geometries in files of the bulk writer, of every type, through import jobs."""

from __future__ import annotations

from typing import Any

from pymilvus import DataType, MilvusClient

from penstock.bulk_writer import BulkFileType, LocalBulkWriter
from tests.support.servers import RunningServer

ROWS: list[dict[str, Any]] = [
    {"at": "2025-01-01T00:00:00Z", "place": "point(1.50 2)", "body": "long " * 20_000},
    {"at": "2025-01-01 08:00:00", "place": "LINESTRING (0 0, 1 1)", "body": "größer"},
    {"at": "2024-12-31T19:00:00.5-05:00", "place": "POLYGON ((0 0, 1 0, 1 1, 0 0))", "body": ""},
]
EXPECTED = [
    {"id": 0, "at": "2025-01-01T08:00:00+08:00", "place": "POINT (1.5 2)", "body": "long " * 20_000},
    {"id": 1, "at": "2025-01-01T08:00:00+08:00", "place": "LINESTRING (0 0, 1 1)", "body": "größer"},
    {"id": 2, "at": "2025-01-01T08:00:00.5+08:00", "place": "POLYGON ((0 0, 1 0, 1 1, 0 0))", "body": ""},
]


def test_files_of_the_bulk_writer(server: RunningServer) -> None:
    milvus = MilvusClient(server.url)
    schema = milvus.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("at", DataType.TIMESTAMPTZ)
    schema.add_field("place", DataType.GEOMETRY)
    schema.add_field("body", DataType.TEXT)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
    jobs = {}
    with server.client() as client:
        for file_type in BulkFileType:
            name = f"types_{file_type.name}"
            milvus.create_collection(name, schema=schema, properties={"timezone": "Asia/Shanghai"})
            with LocalBulkWriter(schema, server.import_root / name, file_type=file_type) as writer:
                for number, row in enumerate(ROWS):
                    writer.append_row({"id": number, "v": [number, 1.0], **row})
            jobs[name] = client.imports.create(name, [list(map(str, group)) for group in writer.batch_files])
        for name, job in jobs.items():
            client.imports.wait(job, timeout=60)
            assert list(milvus.query(name, "id >= 0", output_fields=["id", "at", "place", "body"])) == EXPECTED, name
    milvus.close()
