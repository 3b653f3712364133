"""The same rows give the same schema from files of every format that can hold them."""

from __future__ import annotations

import bz2
import gzip
import io
import json

import fastavro
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pytest

from penstock.domain.data_types import DataType
from penstock.domain.index import Metric
from tests.support.inference import infer

ROWS = [{"id": number, "name": f"row {number}", "emb": [float(number), 1.0, 2.0]} for number in range(20)]
VECTORS = np.array([row["emb"] for row in ROWS], np.float32)
TYPES: dict[str, pa.DataType] = {"id": pa.int64(), "name": pa.string(), "emb": pa.list_(pa.float32())}
TABLE = pa.Table.from_pylist(ROWS, pa.schema(TYPES))


def arrow_file() -> bytes:
    file = io.BytesIO()
    pyarrow.feather.write_feather(TABLE, file)
    return file.getvalue()


def orc_file() -> bytes:
    file = io.BytesIO()
    pyarrow.orc.write_table(TABLE, file)
    return file.getvalue()


def avro_file() -> bytes:
    fields = [
        {"name": "id", "type": "long"},
        {"name": "name", "type": "string"},
        {"name": "emb", "type": {"type": "array", "items": "float"}},
    ]
    file = io.BytesIO()
    fastavro.writer(file, {"type": "record", "name": "row", "fields": fields}, ROWS)
    return file.getvalue()


def hdf5_file() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as writer:
        writer["id"] = TABLE["id"].to_numpy()
        writer["name"] = TABLE["name"].to_pylist()
        writer["emb"] = VECTORS
    return file.getvalue()


def npz_file() -> bytes:
    file = io.BytesIO()
    np.savez(file, id=TABLE["id"].to_numpy(), name=np.array(TABLE["name"].to_pylist()), emb=VECTORS)
    return file.getvalue()


LINES = "\n".join(map(json.dumps, ROWS)).encode()
CSV = "id,name,emb\n" + "".join(f'{row["id"]},{row["name"]},"{json.dumps(row["emb"])}"\n' for row in ROWS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.feather", arrow_file()),
        ("rows.orc", orc_file()),
        ("rows.avro", avro_file()),
        ("rows.h5", hdf5_file()),
        ("rows.npz", npz_file()),
        ("rows.jsonl.gz", gzip.compress(LINES)),
        ("rows.json.bz2", bz2.compress(json.dumps(ROWS).encode())),
        ("rows.csv.gz", gzip.compress(CSV.encode())),
        ("rows.tsv", CSV.replace(",", "\t", 2).replace(",row", "\trow").replace(',"[', '\t"[').encode()),
    ],
)
def test_the_same_rows(name: str, content: bytes) -> None:
    inferred = infer({name: content})
    types = {field.name: (field.type, field.dim) for field in inferred.schema.fields}
    assert types == {
        "id": (DataType.INT64, None),
        "name": (DataType.VARCHAR, None),
        "emb": (DataType.FLOAT_VECTOR, 3),
    }
    assert inferred.schema.primary.name == "id"


def test_vectors_alone() -> None:
    content = b"".join(np.int32(3).tobytes() + vector.tobytes() for vector in VECTORS)
    inferred = infer({"sift.fvecs": content})
    assert [(field.name, field.type) for field in inferred.schema.fields if not field.primary] == [
        ("vector", DataType.FLOAT_VECTOR)
    ]
    assert inferred.schema.auto_id
    assert inferred.indexes[0].metric is Metric.L2
