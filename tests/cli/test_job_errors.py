"""Bad rows by commands and by the Python client, with a real server: told, written to a file, corrected, replayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock import Client
from penstock.sdk.errors import ApiError
from tests.cli.conftest import Run
from tests.support.servers import RunningServer


@pytest.fixture
def collection(run: Run, request: pytest.FixtureRequest) -> str:
    """An empty collection of 2-d vectors, named after the test."""
    name = f"errors_{str(request.node.name)[:40]}"
    assert run("collections", "create", name, "--dimension", "2").exit_code == 0
    return name


@pytest.fixture
def path(server: RunningServer, request: pytest.FixtureRequest) -> Path:
    """A file of ten rows, of which two are bad."""
    folder = server.import_root / str(request.node.name)
    folder.mkdir(exist_ok=True)
    path = folder / "a.jsonl"
    rows = [{"id": number, "vector": [0.5] * (3 if number in (2, 7) else 2)} for number in range(10)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


FIELDS_OF_CSV = [
    {"name": "id", "type": "int64", "primary": True},
    {"name": "vector", "type": "float_vector", "dim": 2},
    {"name": "ok", "type": "bool"},
    {"name": "score", "type": "double"},
    {"name": "title", "type": "varchar", "max_length": 20},
    {"name": "tags", "type": "array", "element_type": "varchar", "max_length": 9, "max_capacity": 4},
    {"name": "note", "type": "varchar", "max_length": 20, "nullable": True},
]


@pytest.fixture
def write_csv(server: RunningServer) -> Path:
    """A CSV file of two rows, the second of which has a vector that is too long."""
    path = server.import_root / "errors.csv"
    path.write_text(
        "id,vector,ok,score,title,tags,note,extra\n"
        '1,"[1, 2]",false,1,one,"[]",NULL,x\n'
        '9007199254740993,"[1, 2, 3]",t,0.5,5,"[""a""]",NULL,7\n'
    )
    return path


def test_bad_rows_come_back_as_a_file_and_are_replayed(run: Run, collection: str, path: Path) -> None:
    done = run("import", str(path), "--collection", collection, "--on-error", "skip_row", "--max-errors", "20%")
    assert done.exit_code == 0, done.output
    assert "Imported 8 rows" in done.stdout
    assert "rejected rows were left out" in done.stdout
    job_id = done.stdout.partition("penstock jobs errors ")[2].split()[0]

    assert "Rejected rows" in run("jobs", "describe", job_id).stdout
    assert "2 bad rows left out" in run("jobs", "list", "--collection", collection).stdout
    shown = run("jobs", "errors", job_id)
    assert "the vector has 3 dimensions" in shown.stdout
    assert "vector_dim" in run("jobs", "errors", job_id, "--group").stdout
    more = run("jobs", "errors", job_id, "--limit", "1")
    assert "There are more" in more.stdout
    out = path.with_name("rejects.jsonl")
    assert run("jobs", "errors", job_id, "--out", str(out)).exit_code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["_error_row"] for row in rows] == [2, 7]
    out.write_text("".join(json.dumps({**row, "vector": [1, 2]}) + "\n" for row in rows))
    replay = run("jobs", "replay", job_id, "--file", str(out))
    assert replay.exit_code == 0, replay.output
    assert run("jobs", "wait", replay.stdout.split()[1]).exit_code == 0
    assert run("query", collection, "--count").stdout == "10\n"


def test_bad_rows_of_csv_come_back_with_values_and_are_replayed(
    run: Run, server: RunningServer, write_csv: Path
) -> None:
    schema = write_csv.with_suffix(".json")
    schema.write_text(json.dumps({"fields": FIELDS_OF_CSV, "dynamic": True}))
    assert run("collections", "create", "errors_csv", "--schema", str(schema)).exit_code == 0
    done = run("import", str(write_csv), "--collection", "errors_csv", "--on-error", "skip_row", "--nullkey", "NULL")
    assert "Imported 1 rows" in done.stdout
    job_id = done.stdout.partition("penstock jobs errors ")[2].split()[0]
    out = write_csv.with_name("rejects.jsonl")
    run("jobs", "errors", job_id, "--out", str(out))
    (row,) = map(json.loads, out.read_text().splitlines())
    assert {name: value for name, value in row.items() if not name.startswith("_error")} == {
        "id": 9007199254740993,
        "vector": [1, 2, 3],
        "ok": True,
        "score": 0.5,
        "title": "5",
        "tags": ["a"],
        "extra": "7",
    }
    out.write_text(json.dumps({**row, "vector": [1, 2]}))
    replay = run("jobs", "replay", job_id, "--file", str(out))
    assert "Imported 1 rows" in run("jobs", "wait", replay.stdout.split()[1]).stdout
    with Client(server.url) as client:
        (found,) = client.get(
            "errors_csv", [9007199254740993], output_fields=["ok", "score", "title", "tags", "extra"]
        )
    assert [found[name] for name in ("ok", "score", "title", "tags", "extra")] == [True, 0.5, "5", ["a"], "7"]


def test_the_client_lists_groups_and_downloads_errors(
    server: RunningServer, collection: str, path: Path, tmp_path: Path
) -> None:
    with Client(server.url) as client:
        imports = client.imports
        job = imports.wait(imports.create(collection, path, options={"on_error": "skip_row"}))
        assert (job.rows, job.rejected_rows) == (8, 2)
        errors = list(imports.errors(job, field="vector"))
        assert [(error.row, error.key, error.reasons[0].rule) for error in errors] == [
            (2, "2", "vector_dim"),
            (7, "7", "vector_dim"),
        ]
        assert list(imports.errors(job, rule="not_null")) == []
        (group,) = imports.error_groups(job)
        assert (group.rule, group.rows, len(group.examples)) == ("vector_dim", 2, 2)
        written = imports.download_errors(job, tmp_path / "rejects.parquet")
        assert written.read_bytes().startswith(b"PAR1")
        again = imports.wait(imports.replay(job))
        assert (again.replay_of, again.rows, again.rejected_rows) == (job.id, 0, 2)


def test_a_budget_that_is_no_number_is_a_clear_error(server: RunningServer, collection: str, path: Path) -> None:
    with Client(server.url) as client, pytest.raises(ApiError, match="must be a number such as 100"):
        client.imports.create(collection, path, options={"on_error": "skip_row", "max_errors": "a few"})
