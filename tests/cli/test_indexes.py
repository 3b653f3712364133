"""``penstock indexes`` and ``client.indexes``, against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run
from tests.support.servers import RunningServer

ROWS = 12_000
SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
    ]
}


@pytest.fixture(scope="module")
def rows(server: RunningServer) -> str:
    """A collection without indexes, with enough rows for one on a number and too few for one on the vectors."""
    path = server.import_root / "indexed.parquet"
    pq.write_table(pa.table({"id": range(ROWS), "v": list(np.ones((ROWS, 4), np.float32))}), path)
    with server.client() as client:
        client.collections.create("cli_indexed", schema=SCHEMA)
        client.imports.wait(client.imports.create("cli_indexed", [path]))
    return "cli_indexed"


@pytest.fixture
def no_indexes(server: RunningServer, rows: str) -> Iterator[str]:
    yield rows
    with server.client() as client:
        client.collections.release(rows)
        for name in client.indexes.list(rows):
            client.indexes.drop(rows, name)
        assert client.indexes.list(rows) == ()


def test_a_collection_without_an_index_says_so_once_with_the_command_that_makes_one(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    made = run("collections", "create", "cli_bare", "--schema", str(path))
    command = made.stderr.rpartition("To create one: penstock ")[2].split()
    assert command == ["indexes", "create", "cli_bare", "v"]
    assert run(*command).exit_code == 0
    assert "There is no index" not in run("collections", "create", "cli_bare", "--schema", str(path)).output
    assert "There is no index" not in run("collections", "create", "cli_bare_quick", "--dimension", "4").output


def test_rows_that_are_in_an_index_and_rows_that_are_searched_exactly(run: Run, no_indexes: str) -> None:
    assert f"penstock indexes create {no_indexes} FIELD" in run("indexes", "list", no_indexes).stderr
    built = run("indexes", "create", no_indexes, "id", "--type", "stl_sort", "--wait")
    assert built.exit_code == 0, built.output
    assert "Finished 100 %, 12,000 rows built" in built.stderr
    made = run("indexes", "create", no_indexes, "v", "--metric", "l2", "--name", "near")
    assert f"penstock indexes describe {no_indexes} --wait" in made.stdout
    lines = [line.split(maxsplit=5) for line in run("indexes", "list", no_indexes).stdout.splitlines()[1:]]
    assert lines[0][:3] == ["id", "id", "STL_SORT"]
    assert lines[1] == ["near", "v", "AUTOINDEX", "L2", "Finished", "12,000 rows, all searched exactly"]
    told = json.loads(run("indexes", "list", no_indexes, "--json").stdout)
    assert [index["builtRows"] for index in told] == [ROWS, 0]
    shown = run("indexes", "describe", no_indexes, "near").stdout
    assert "Rows    12,000 rows, all searched exactly" in shown


def test_parameters(run: Run, no_indexes: str) -> None:
    made = run("indexes", "create", no_indexes, "v", "--type", "hnsw", "--metric", "cosine", "--param", "M=8")
    assert made.exit_code == 0, made.output
    assert '"M":"8"' in run("indexes", "describe", no_indexes).stdout
    assert run("indexes", "create", no_indexes, "v", "--param", "M").exit_code == 2
    assert "'HNSW'" in run("indexes", "create", no_indexes, "v", "--type", "HNWS", "--metric", "L2").stderr
    assert "Did you mean 'v'?" in run("indexes", "create", no_indexes, "vv").stderr


def test_drop(run: Run, server: RunningServer, no_indexes: str) -> None:
    run("indexes", "create", no_indexes, "v")
    assert run("indexes", "drop", no_indexes, "v", input="n\n").exit_code == 1
    with server.client() as client:
        client.collections.load(no_indexes)
    refused = run("indexes", "drop", no_indexes, "v", "--yes")
    assert refused.exit_code == 1
    command = refused.stderr.rpartition("Release it first: penstock ")[2].split()
    assert run(*command).exit_code == 0
    assert run("indexes", "drop", no_indexes, "v", "--yes").exit_code == 0
    assert "has no index v" in run("indexes", "drop", no_indexes, "v", "--yes").stderr


def test_wait_calls_back_with_what_is_built(server: RunningServer, no_indexes: str) -> None:
    seen: list[int] = []
    with server.client() as client:
        client.indexes.create(no_indexes, "id")
        client.indexes.wait(no_indexes, "id", progress=lambda index: seen.append(index.progress))
    assert seen == sorted(seen)
    assert seen[-1] == 100
