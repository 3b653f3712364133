"""``penstock check`` in use, and the reports that it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner, Result

from penstock.cli.check_reports import write_junit, write_sarif
from penstock.cli.main import cli
from penstock.domain.check_report import DuplicateKey, KeyReport, Place, Problem, Report, Severity
from tests.cli.conftest import Run
from tests.support.servers import RunningServer

SCHEMA = {
    "fields": [
        {"name": "id", "type": "int64", "primary": True},
        {"name": "vector", "type": "float_vector", "dim": 2},
    ]
}
Check = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a schema, a good file and one with a bad row and a key that occurs twice."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    rows: list[dict[str, Any]] = [{"id": number, "vector": [number, 1]} for number in range(20)]
    (tmp_path / "good.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows[3]["vector"] = [1]
    rows[9]["id"] = 8
    (tmp_path / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def check(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["check", *arguments, "--workers", "1"], prog_name="penstock")


def test_a_clean_folder(folder: Path) -> None:
    (folder / "bad.jsonl").unlink()
    done = check("*.jsonl", "--schema", "schema.json", "--for", "milvus-3.0")
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("clean: 20 rows, 1 file, 580 bytes\n")


def test_errors_are_shown_by_rule_with_places_and_reports(folder: Path) -> None:
    done = check(
        "bad.jsonl", "--schema", "schema.json", "--for", "milvus-2.5", "--sarif", "out.sarif", "--junit", "out.xml"
    )
    assert done.exit_code == 1, done.output
    lines = done.stdout.splitlines()
    assert any(line.startswith("vector_dim error") and "bad.jsonl, row 3" in line for line in lines)
    assert any(line.startswith("PS103") for line in lines)
    assert any(line.split() == ["8", "2", "bad.jsonl,", "row", "8", "bad.jsonl,", "row", "9"] for line in lines)
    log = json.loads((folder / "out.sarif").read_text())
    assert {result["ruleId"] for result in log["runs"][0]["results"]} == {"vector_dim", "PS103", "duplicate_key"}
    suite = ElementTree.parse(folder / "out.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")


def test_a_schema_is_inferred_and_all_is_printed_as_json(folder: Path) -> None:
    done = check("good.jsonl", "--json")
    assert done.exit_code == 0, done.output
    assert "inferred from the first 20 rows" in done.stderr
    report = json.loads(done.stdout)
    assert (report["rows"], report["clean"]) == (20, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.jsonl",), "no file nothing.jsonl here"),
        (("good.jsonl", "--for", "milvus-9"), "no rules for the target 'milvus-9'"),
        (("good.jsonl", "--schema", "schema.json", "--collection", "docs"), "not both"),
        (("good.jsonl", "--schema", "schema.json", "--option", "x"), "not KEY=VALUE"),
        (("good.jsonl", "--sarif", "none/out.sarif"), "none/out.sarif can't be written: there is no folder none"),
    ],
)
def test_wrong_usage(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    done = check(*arguments)
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.stderr.split())


REPORT = Report(
    files=3,
    rows=100,
    bad_rows=2,
    bytes=1000,
    problems=[
        Problem(
            rule="text_length",
            message="value length(9) for field a exceeds max_length(8)",
            field="a",
            remedy="Shorten it.",
            count=2,
            places=(
                Place(file="a b.jsonl", row=3, offset=50, value="\x00bell\x07 é"),
                Place(file="s3://bucket/c.csv", row=4, offset=60),
            ),
        ),
        Problem(rule="PS201", message="the field is nullable (refused by Milvus 2.4)", field="a", remedy="Fill it."),
        Problem(rule="PS111", message="NumPy files", severity=Severity.WARNING, places=(Place(file="d.npy"),)),
    ],
    keys=KeyReport(
        field="id",
        duplicates=1,
        keys=1,
        first=(DuplicateKey(value="7", count=2, places=(Place(file="d.npy", row=0), Place(file="d.npy", row=5))),),
    ),
)

_TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
_REGION = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"startLine": {"type": "integer", "minimum": 1}, "byteOffset": {"type": "integer", "minimum": 0}},
}
SARIF_PARTS = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "additionalProperties": False,
                                "properties": {
                                    "name": {"type": "string"},
                                    "version": {"type": "string"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "additionalProperties": False,
                                            "properties": {
                                                "id": {"type": "string"},
                                                "name": {"type": "string"},
                                                "shortDescription": _TEXT,
                                                "help": _TEXT,
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"type": "string"},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": _TEXT,
                                "occurrenceCount": {"type": "integer", "minimum": 1},
                                "locations": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {
                                            "physicalLocation": {
                                                "type": "object",
                                                "additionalProperties": False,
                                                "properties": {
                                                    "artifactLocation": {
                                                        "type": "object",
                                                        "properties": {
                                                            "uri": {"type": "string", "pattern": "^[^ \\\\]+$"}
                                                        },
                                                    },
                                                    "region": _REGION,
                                                },
                                            },
                                            "logicalLocations": {"type": "array"},
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The parts of the schema of SARIF 2.1.0 that a report uses, and nothing else."""


def test_sarif_has_the_form_of_its_schema(tmp_path: Path) -> None:
    write_sarif(REPORT, tmp_path / "a.sarif")
    log = json.loads((tmp_path / "a.sarif").read_text(encoding="utf-8"))
    jsonschema.validate(log, SARIF_PARTS)
    results = log["runs"][0]["results"]
    assert len(results) == 5
    uris = [
        location["physicalLocation"]["artifactLocation"]["uri"]
        for result in results
        for location in result.get("locations", [])
    ]
    assert uris == ["a%20b.jsonl", "s3://bucket/c.csv", "d.npy", "d.npy"]
    assert results[0]["locations"][0]["physicalLocation"]["region"] == {"startLine": 4}


def test_junit_has_a_case_per_file_and_no_characters_that_xml_lacks(tmp_path: Path) -> None:
    write_junit(REPORT, ["a b.jsonl", "s3://bucket/c.csv", "d.npy", "good.json"], tmp_path / "a.xml")
    root = ElementTree.parse(tmp_path / "a.xml").getroot()
    suite = root[0]
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    cases = {case.get("name"): case.find("failure") for case in suite}
    assert (suite.get("tests"), suite.get("failures")) == ("5", "4")
    assert [name for name, failure in cases.items() if failure is None] == ["good.json"]
    text = cases["a b.jsonl"]
    assert text is not None
    assert text.text is not None
    assert "\N{REPLACEMENT CHARACTER}bell" in text.text


@pytest.mark.slow
def test_a_dry_run_on_a_server(folder: Path, run: Run, server: RunningServer) -> None:
    bad = server.import_root / "checked" / "bad.jsonl"
    bad.parent.mkdir()
    bad.write_text((folder / "bad.jsonl").read_text())
    assert run("collections", "create", "checked_docs", "--schema", "schema.json").exit_code == 0
    done = run("import", str(bad), "--collection", "checked_docs", "--dry-run")
    assert done.exit_code == 1, done.output
    assert "nothing was imported" in done.stdout
    assert "vector_dim" in done.stdout
    listed = json.loads(run("jobs", "list", "--collection", "checked_docs", "--json").stdout)
    assert (listed[0]["dryRun"], listed[0]["state"]) == (True, "Completed")
    described = run("jobs", "describe", listed[0]["jobId"])
    assert "vector_dim" in described.stdout
    refused = run("import", "bad.jsonl", "--collection", "checked_more", "--create", "--dry-run")
    assert (refused.exit_code, "penstock check FILES" in refused.stderr) == (2, True)
    checked = run("check", "good.jsonl", "--collection", "checked_docs", "--workers", "1")
    assert checked.exit_code == 0, checked.output
