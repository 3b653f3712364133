"""Struct arrays in the bulk writers: forms that are taken, what is refused, and schemas from a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest

from penstock.bulk_writer import BulkFileType, LocalBulkWriter
from penstock.bulk_writer.convert import fetch_schema
from penstock.domain.rest_schema import schema_to_rest
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError, Unsupported
from penstock.sdk.client import Client
from tests.support.bulk_files import read_files
from tests.support.http import http_server, make_services

CHUNKS = Field(
    name="chunks",
    type=DataType.ARRAY_OF_STRUCT,
    max_capacity=2,
    nullable=True,
    fields=(
        Field(name="n", type=DataType.INT8),
        Field(name="text", type=DataType.VARCHAR, max_length=4),
        Field(name="v", type=DataType.BFLOAT16_VECTOR, dim=2),
        Field(name="bits", type=DataType.BINARY_VECTOR, dim=8),
    ),
)
SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
        CHUNKS,
    )
)


def chunk(**changes: Any) -> dict[str, Any]:
    return {"n": 1, "text": "a", "v": [0.5, 1.0], "bits": [170], **changes}


def row(chunks: Any) -> dict[str, Any]:
    return {"id": 1, "vector": [0.0, 1.0], "chunks": chunks}


FORMS = [
    chunk(v=np.array([0.5, 1.0], ml_dtypes.bfloat16), bits=b"\xaa"),
    chunk(n=np.int8(1), v=np.array([0.5, 1.0]), bits=[1, 0, 1, 0, 1, 0, 1, 0]),
]


MASKED = np.ma.array([True] * 8, mask=[True] + [False] * 7)


@pytest.mark.parametrize("way", ["row", "batch"])
def test_parts_may_come_in_the_forms_of_their_types(tmp_path: Path, way: str) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        if way == "row":
            writer.append_row(row(FORMS))
            # The half vector that came as wider floats counts twice, as in pymilvus.
            assert writer.buffer_size == 8 + 8 + 2 * (1 + 1 + 2 * 2 + 1) + 2 * 2
        else:
            writer.append_batch({"id": [1], "vector": [[0.0, 1.0]], "chunks": [FORMS]})
    assert read_files(writer.batch_files, SCHEMA) == [row([chunk(), chunk()])]


@pytest.mark.parametrize("way", ["row", "batch"])
@pytest.mark.parametrize(
    ("chunks", "field", "rule"),
    [
        ({"n": 1}, "chunks", "the field is ArrayOfStruct"),
        ([1], "chunks", "the field is ArrayOfStruct"),
        ([chunk()] * 3, "chunks", "array capacity(3) for field chunks exceeds max_capacity(2)"),
        ([chunk(), {"n": 1}], "chunks", "inconsistent field count in StructArray element: position=1"),
        ([chunk(more=1)], "chunks", "unexpected field in StructArray element: more"),
        ([chunk(n=None)], "chunks[n]", "array element is not allowed to be null value for field 'chunks[n]'"),
        ([chunk(n=128)], "chunks[n]", "out of range for Int8 (-128 to 127)"),
        ([chunk(text="abcde")], "chunks[text]", "exceeds max_length(4)"),
        ([chunk(v=[1.0])], "chunks[v]", "the vector has 1 dimensions, the field has 2"),
        ([chunk(v=[1.0, float("nan")])], "chunks[v]", "value 'NaN'"),
        ([chunk(bits=MASKED)], "chunks[bits]", "the value is masked, or has masked elements"),
    ],
)
def test_bad_values_name_row_and_part(tmp_path: Path, way: str, chunks: Any, field: str, rule: str) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        with pytest.raises(DataError) as caught:
            if way == "row":
                writer.append_row(row([chunk()]))
                writer.append_row(row(chunks))
            else:
                columns = {"id": [1, 2], "vector": [[0.0, 1.0]] * 2, "chunks": [[chunk()], chunks]}
                writer.append_batch(columns)
        assert (caught.value.row, caught.value.field) == (1, field)
        assert rule in caught.value.rule
        assert caught.value.remedy or "null" in rule or "out of range" in rule


def test_an_array_may_be_filled_again_for_the_next_row(tmp_path: Path) -> None:
    bits = np.zeros(1, np.uint8)
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        for byte in (170, 85):
            bits[:] = byte
            writer.append_row(row([chunk(bits=bits)]))
    assert read_files(writer.batch_files, SCHEMA) == [row([chunk(bits=[170])]), row([chunk(bits=[85])])]


def test_arrow_columns_are_checked_as_a_whole(tmp_path: Path) -> None:
    rows = [[chunk()], None, [chunk(n=300)]]
    table = pa.table({"id": [1, 2, 3], "vector": [[0.0, 1.0]] * 3, "chunks": pa.array(rows)})
    with LocalBulkWriter(SCHEMA, tmp_path) as writer, pytest.raises(DataError) as caught:
        writer.append_batch(table)
    assert (caught.value.row, caught.value.field) == (2, "chunks[n]")


def test_numpy_files_hold_none(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="ArrayOfStruct can't be written to NumPy files"):
        LocalBulkWriter(SCHEMA, tmp_path, file_type=BulkFileType.NUMPY)


@pytest.mark.parametrize("nullable", [False, True])
def test_the_schema_of_a_served_collection(tmp_path: Path, nullable: bool) -> None:
    schema = replace(SCHEMA, fields=(*SCHEMA.fields[:2], replace(CHUNKS, nullable=nullable)))
    with make_services(tmp_path) as services, http_server(services) as url:
        with Client(url) as client:
            client.collections.create("docs", schema=schema_to_rest(schema))
        assert fetch_schema(url, "docs") == schema
