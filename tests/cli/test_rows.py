"""``penstock query`` and ``penstock search``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.support.servers import RunningServer

ROWS = [
    {"id": 1, "vector": [1.0, 0.0], "title": "east", "year": 1999},
    {"id": 2, "vector": [0.0, 1.0], "title": "north", "year": 2005},
    {"id": 3, "vector": [0.9, 0.1], "title": "nearly east", "year": 2010},
]


@pytest.fixture(scope="module")
def compass(server: RunningServer) -> str:
    """A collection with the rows above."""
    path = server.import_root / "compass.json"
    path.write_text(json.dumps(ROWS))
    with server.client() as client:
        client.collections.create("compass", dimension=2)
        client.imports.wait(client.imports.create("compass", [path]))
    return "compass"


def test_query(run: Run, compass: str) -> None:
    done = run("query", compass, "--filter", "year > 2000", "--output-fields", "id,title")
    assert [line.split(maxsplit=1) for line in done.stdout.splitlines()] == [
        ["id", "title"],
        ["2", "north"],
        ["3", "nearly east"],
    ]


def test_query_as_json(run: Run, compass: str) -> None:
    assert json.loads(run("query", compass, "--json").stdout) == ROWS
    assert json.loads(run("query", compass, "--json", "--limit", "1", "--offset", "1").stdout) == ROWS[1:2]


def test_count(run: Run, compass: str) -> None:
    assert run("query", compass, "--count").stdout == "3\n"
    assert json.loads(run("query", compass, "--count", "--filter", "year < 2000", "--json").stdout) == {"count": 1}


def test_no_rows(run: Run, compass: str) -> None:
    done = run("query", compass, "--filter", "id > 100")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "No rows.\n")


def test_a_filter_that_cant_be_understood(run: Run, compass: str) -> None:
    done = run("query", compass, "--filter", "year >")
    assert done.exit_code == 1
    assert "Error:" in done.stderr


def test_search_by_vector(run: Run, compass: str) -> None:
    found = json.loads(run("search", compass, "--vector", "[2, 0]", "--limit", "2", "--json").stdout)
    assert [each["id"] for each in found] == [1, 3]
    assert found[0]["distance"] == pytest.approx(1.0)
    assert (found[0]["title"], found[0]["year"]) == ("east", 1999)
    assert "vector" not in found[0]


def test_search_by_a_row(run: Run, compass: str) -> None:
    done = run("search", compass, "--id", "3", "--filter", "id != 3", "--output-fields", "title")
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["title", "east", "north"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "Give one of --vector"),
        (("--vector", "[1, 2]", "--id", "1"), 2, "Give one of --vector"),
        (("--vector", "1, 2"), 2, "not JSON"),
        (("--vector", "7"), 2, "write a list"),
        (("--vector", "[1, 2, 3]"), 1, "dimension"),
        (("--id", "x"), 2, "are numbers"),
        (("--id", "77"), 2, "has no row 77"),
    ],
)
def test_searches_that_wont_do(run: Run, compass: str, arguments: tuple[str, ...], code: int, told: str) -> None:
    done = run("search", compass, *arguments)
    assert done.exit_code == code
    assert told in done.stderr


def test_search_by_a_text(run: Run, server: RunningServer) -> None:
    (server.import_root / "songs.jsonl").write_text(
        '{"id": 1, "title": "Hey there"}\n{"id": 2, "title": "There, there"}\n{"id": 3, "title": "Let it be"}\n'
    )
    fields = [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {
            "fieldName": "title",
            "dataType": "VarChar",
            "elementTypeParams": {"max_length": 99, "enable_analyzer": True},
        },
        {"fieldName": "terms", "dataType": "SparseFloatVector"},
    ]
    function = {"name": "f", "type": "BM25", "inputFieldNames": ["title"], "outputFieldNames": ["terms"]}
    with server.client() as client:
        client.collections.create("songs", schema={"fields": fields, "functions": [function]})
        client.imports.wait(client.imports.create("songs", ["songs.jsonl"]))
    found = json.loads(run("search", "songs", "--text", "THERE", "--json").stdout)
    assert [(row["id"], row["title"]) for row in found] == [(2, "There, there"), (1, "Hey there")]


@pytest.mark.parametrize(
    "vector", ["@{}/one.npy", "@{}/many.npy[1]", "@{}/one.json", "@{}/many.json[1]", "@{}/x[1].json"]
)
def test_a_vector_from_a_file(run: Run, compass: str, tmp_path: Path, vector: str) -> None:
    np.save(tmp_path / "one.npy", np.array([0, 1], np.float32))
    np.save(tmp_path / "many.npy", np.array([[1, 0], [0, 1]], np.float16))
    (tmp_path / "one.json").write_text("[0, 1]")
    (tmp_path / "x[1].json").write_text("[0, 1]")
    (tmp_path / "many.json").write_text("[[1, 0], [0, 1]]")
    found = run("search", compass, "--vector", vector.format(tmp_path), "--limit", "1", "--json")
    assert found.exit_code == 0, found.output
    assert [row["id"] for row in json.loads(found.stdout)] == [2]


def test_standard_input(run: Run, compass: str) -> None:
    assert json.loads(run("search", compass, "--vector", "-", "--json", input="[0, 1]").stdout)[0]["id"] == 2
    assert run("query", compass, "--filter", "-", "--count", input="year > 2000\n").stdout == "2\n"


@pytest.mark.parametrize(
    ("vector", "told"),
    [
        ("@{}/absent.npy", "cannot be read as .npy"),
        ("@{}/absent.json", "cannot be read as JSON"),
        ("@{}/many.npy", "has 2 vectors; choose one: --vector '@FILE[0]'"),
        ("@{}/many.npy[2]", "has 2 vectors; the last is [1]"),
        ("@{}/words.npy", "must hold an array of numbers"),
        ("@{}/objects.npy", "cannot be read as .npy"),
    ],
)
def test_files_without_a_vector(run: Run, compass: str, tmp_path: Path, vector: str, told: str) -> None:
    np.save(tmp_path / "many.npy", np.eye(2))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    refused = run("search", compass, "--vector", vector.format(tmp_path))
    assert (refused.exit_code, told in refused.stderr) == (2, True), refused.output


def test_a_collection_that_is_nearly_named_right(run: Run, compass: str) -> None:
    refused = run("query", "compas")
    assert refused.exit_code == 1
    assert "Did you mean 'compass'?" in refused.stderr
    assert "Did you mean 'default'?" in run("query", compass, "--database", "defualt").stderr
    assert "Did you mean 'vector'?" in run("search", compass, "--vector", "[1, 2]", "--field", "vectr").stderr
    assert "Did you mean '_default'?" in run("query", compass, "--partition", "_defalt").stderr
