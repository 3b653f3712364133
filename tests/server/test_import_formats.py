"""A file of every format, from disk to searchable rows by one job each, and what a user reads when one fails."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from penstock.sdk.errors import JobFailed
from tests.support.column_files import COLUMN_FILES, VECTOR_FILES, hdf5_file, table_of
from tests.support.servers import RunningServer

ROWS = 100
LINES = "".join(json.dumps(row) + "\n" for row in table_of(ROWS).to_pylist()).encode()


def test_every_format_is_imported_and_searched(server: RunningServer) -> None:
    folder = server.import_root / "all_formats"
    folder.mkdir()
    files = {f"a.{extension}": write(table_of(ROWS), 10) for extension, write in COLUMN_FILES.items()}
    files["a.jsonl.gz"] = gzip.compress(LINES)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with server.client() as client:
        client.collections.create("all_formats", dimension=2)
        job = client.imports.create("all_formats", [[str(folder / name)] for name in files])
        client.imports.wait(job)
        assert client.count("all_formats") == ROWS * len(files)


def test_vectors_alone_get_keys(server: RunningServer) -> None:
    folder = server.import_root / "vectors_alone"
    folder.mkdir()
    vectors = np.arange(2 * ROWS).reshape(ROWS, 2)
    for extension, write in VECTOR_FILES.items():
        (folder / f"a.{extension}").write_bytes(write(vectors))
    (folder / "a.hdf5").write_bytes(hdf5_file(train=vectors.astype("f4"), test=vectors[:5].astype("f4")))
    files = [[str(path)] for path in sorted(folder.iterdir())]
    with server.client() as client:
        client.collections.create("vectors_alone", dimension=2, auto_id=True)
        client.imports.wait(client.imports.create("vectors_alone", files))
        assert client.count("vectors_alone") == ROWS * len(files)
        chosen = client.imports.create("vectors_alone", [[str(folder / "a.hdf5")]], options={"datasets": "test"})
        client.imports.wait(chosen)
        assert client.count("vectors_alone") == ROWS * len(files) + 5


def test_a_failed_job_names_file_row_and_remedy(server: RunningServer) -> None:
    folder = server.import_root / "bad_formats"
    folder.mkdir()
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(LINES + b'{"id": "x", "vector": [1, 2]}\n'))
    with server.client() as client:
        client.collections.create("bad_formats", dimension=2)
        with pytest.raises(JobFailed, match=r"a\.jsonl\.gz', row 100, field 'id'"):
            client.imports.wait(client.imports.create("bad_formats", [[str(folder / "a.jsonl.gz")]]))
        assert client.count("bad_formats") == 0
