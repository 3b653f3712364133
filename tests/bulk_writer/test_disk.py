"""A disk that is full: one clear error, no half-written file, and what is complete stays."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

_PROGRAM = """
import json, resource, signal, sys
import numpy as np
from penstock.bulk_writer import BulkFileType, LocalBulkWriter
from penstock.errors import StorageFull

# A file may not exceed two megabytes: the system answers as it does when a disk is full.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
schema = {"fields": [
    {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
    {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 256}},
]}
def columns(rows):
    return {"id": np.arange(rows), "vector": np.ones((rows, 256), np.float32)}

writer = LocalBulkWriter(schema, sys.argv[1], file_type=BulkFileType[sys.argv[2]])
errors = []
with writer:
    writer.append_batch(columns(100))
    writer.commit()
    try:
        writer.append_batch(columns(20_000))
        writer.commit()
    except StorageFull as error:
        errors.append(str(error))
    writer.append_batch(columns(50))
print(json.dumps({"errors": errors, "files": writer.batch_files, "folder": str(writer.data_path)}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize("file_type", ["PARQUET", "NUMPY", "JSON", "JSONL", "CSV"])
def test_a_full_disk(tmp_path: Path, file_type: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path), file_type],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["errors"]) == 1
    assert "no space is left. The chunk that begins with row 100 of this writer is not written" in told["errors"][0]
    assert "1 chunks before are complete" in told["errors"][0]
    assert len(told["files"]) == 2
    there = {str(path) for path in Path(told["folder"]).rglob("*") if path.is_file()}
    assert there == {each for group in told["files"] for each in group}
    if file_type == "PARQUET":
        assert [pq.ParquetFile(group[0]).metadata.num_rows for group in told["files"]] == [100, 50]
