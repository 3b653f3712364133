"""``penstock collections``, ``databases`` and ``partitions``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from penstock.cli.main import cli
from tests.cli.conftest import Run
from tests.sdk.recording_server import recording_server
from tests.support.servers import RunningServer

SCHEMA = {
    "schema": {
        "enableDynamicField": True,
        "fields": [
            {"fieldName": "pk", "dataType": "VarChar", "isPrimary": True, "elementTypeParams": {"max_length": 64}},
            {"fieldName": "year", "dataType": "Int16", "nullable": True},
            {
                "fieldName": "tags",
                "dataType": "Array",
                "elementDataType": "Int64",
                "elementTypeParams": {"max_capacity": 9},
            },
            {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
        ],
    },
    "indexParams": [{"fieldName": "v", "indexType": "AUTOINDEX", "metricType": "L2"}],
}
TOML = """
enableDynamicField = false
[[fields]]
fieldName = "id"
dataType = "Int64"
isPrimary = true
[[fields]]
fieldName = "v"
dataType = "Float16Vector"
elementTypeParams = { dim = 8 }
[[indexParams]]
fieldName = "v"
indexType = "AUTOINDEX"
metricType = "IP"
"""


def test_quick_form(run: Run) -> None:
    made = run("collections", "create", "cli_quick", "--dimension", "4", "--metric", "L2")
    assert made.exit_code == 0, made.output
    assert "penstock import FILES --collection cli_quick" in made.stdout
    told = run("collections", "describe", "cli_quick").stdout
    assert "vector FloatVector, dimension 4  " in told
    assert told.rstrip().endswith("vector (L2)")
    assert "Load state    loaded\n" in told
    assert "stored as dynamic values" in told
    assert run("collections", "stats", "cli_quick").stdout == "0\n"
    assert {"name": "cli_quick", "rows": 0} in json.loads(run("collections", "list", "--json").stdout)


def test_who_queries_a_released_collection_is_told_the_call_that_loads_it(run: Run, server: RunningServer) -> None:
    run("collections", "create", "cli_released", "--dimension", "4")
    body = {"collectionName": "cli_released"}
    requests.post(f"{server.url}/v2/vectordb/collections/release", json=body, timeout=10).raise_for_status()
    done = run("query", "cli_released")
    assert done.exit_code == 1
    assert "penstock collections load NAME" in done.stderr
    assert "Load state    not loaded\n" in run("collections", "describe", "cli_released").stdout
    assert run("collections", "load", "cli_released").exit_code == 0
    assert run("query", "cli_released").exit_code == 0


def test_a_collection_that_is_dropped_while_they_are_listed_is_left_out() -> None:
    with recording_server() as server:
        server.answer("/v2/vectordb/collections/list", {"code": 0, "data": ["a", "b"]})
        dropped = {"code": 100, "message": "collection not found[collection=a]"}
        server.answer("/v2/vectordb/collections/get_stats", dropped, {"code": 0, "data": {"rowCount": 3}})
        done = CliRunner().invoke(cli, ["collections", "list", "--json", "--url", server.url])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == [{"name": "b", "rows": 3}]


def test_quick_form_with_text_ids(run: Run) -> None:
    run("collections", "create", "cli_text", "--dimension", "4", "--id-type", "VarChar", "--max-length", "36")
    assert "id     VarChar, max length 36" in run("collections", "describe", "cli_text").stdout


def test_schema_file_as_json(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    assert run("collections", "create", "cli_json", "--schema", str(path)).exit_code == 0
    told = run("collections", "describe", "cli_json").stdout
    lines = [line.split() for line in told.splitlines()]
    assert ["pk", "VarChar,", "max", "length", "64", "primary", "key"] in lines
    assert ["year", "Int16", "nullable"] in lines
    assert ["tags", "Array(Int64),", "max", "capacity", "9"] in lines
    assert ["v", "FloatVector,", "dimension", "4", "v", "(L2)"] in lines


def test_schema_file_as_toml_with_the_schema_standing_alone(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text(TOML)
    assert run("collections", "create", "cli_toml", "--schema", str(path)).exit_code == 0
    told = json.loads(run("collections", "describe", "cli_toml", "--json").stdout)
    assert [each["type"] for each in told["fields"]] == ["Int64", "Float16Vector"]
    assert told["indexes"][0]["metricType"] == "IP"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "must contain an object"),
        ('{"fields": []}', "has no fields"),
        (
            '{"fields": [{"fieldName": "a", "dataType": "Int65"}]}',
            "unknown type Int65 for field a. Did you mean Int64",
        ),
    ],
)
def test_schema_files_that_wont_do(run: Run, tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "schema.json"
    path.write_text(content)
    done = run("collections", "create", "cli_bad", "--schema", str(path))
    assert done.exit_code == 1
    assert told in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--dimension", "4", "--schema", __file__),
        ("--schema", __file__, "--metric", "L2"),
        ("--dimension", "0"),
        ("--dimension", "4", "--metric", "nearness"),
    ],
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("collections", "create", "cli_wrong", *arguments).exit_code == 2


def test_drop_asks(run: Run) -> None:
    run("collections", "create", "cli_drop", "--dimension", "4")
    assert run("collections", "drop", "cli_drop", input="n\n").exit_code == 1
    assert run("collections", "drop", "cli_drop", input="y\n").exit_code == 0
    assert "There is no collection cli_drop" in run("collections", "drop", "cli_drop", "--yes").stderr


def test_an_unknown_collection(run: Run) -> None:
    done = run("collections", "describe", "cli_absent")
    assert done.exit_code == 1
    assert "penstock collections list" in done.stderr


def test_partitions(run: Run) -> None:
    run("collections", "create", "cli_parts", "--dimension", "4")
    assert run("partitions", "create", "cli_parts", "north").exit_code == 0
    assert json.loads(run("partitions", "list", "cli_parts", "--json").stdout) == [
        {"name": "_default", "rows": 0},
        {"name": "north", "rows": 0},
    ]
    assert run("partitions", "drop", "cli_parts", "north", "--yes").exit_code == 0
    assert "north" not in run("partitions", "list", "cli_parts").stdout


def test_databases(run: Run) -> None:
    assert run("databases", "create", "cli_db").exit_code == 0
    assert "cli_db" in run("databases", "list").stdout.split()
    run("collections", "create", "inside", "--dimension", "4", "--database", "cli_db")
    assert "inside" in run("collections", "list", "--database", "cli_db").stdout
    assert run("databases", "drop", "cli_db").exit_code == 1  # not empty
    run("collections", "drop", "inside", "--yes", "--database", "cli_db")
    assert run("databases", "drop", "cli_db").exit_code == 0
    gone = run("collections", "list", "--database", "cli_db")
    assert gone.exit_code == 1
    assert "penstock databases list" in gone.stderr
