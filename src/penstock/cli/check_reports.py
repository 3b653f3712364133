"""Reports of a check: a table for people, JSON, SARIF 2.1.0 for code scanning, JUnit XML for test reports."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.etree import ElementTree  # XML is written here, never parsed  # nosec B405

import click

from penstock.cli.errors import Failure
from penstock.cli.output import duration_text, print_json, print_table
from penstock.domain.check_report import DuplicateKey, Estimate, Place, Problem, Report
from penstock.domain.control_characters import escape_controls
from penstock.domain.sizes import size_text
from penstock.version import package_version

if TYPE_CHECKING:
    from penstock.targets.rule import Target

DUPLICATE_RULE = "duplicate_key"
_DUPLICATE_REMEDY = "An import stores each of these rows: leave the others out, or give them keys of their own."
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def print_report(report: Report, targets: Sequence[Target], *, max_errors: int, as_json: bool) -> None:
    """Print a report: as JSON, or the problems as a table and a line that sums up."""
    if as_json:
        print_json({**report.to_json(), "targets": [target.value for target in targets]})
        return
    rows = [
        (
            problem.rule,
            problem.severity.value,
            problem.field or "",
            problem.count,
            problem.message,
            _first_place(problem),
            problem.remedy or "",
        )
        for problem in report.problems[:max_errors]
    ]
    if rows:
        print_table(["Rule", "Severity", "Field", "Count", "What", "First place", "Remedy"], rows, none="")
    if more := len(report.problems) - len(rows):
        click.echo(f"{more:,} more kinds of problems: --max-errors {len(report.problems)} shows them.")
    if report.keys is not None and report.keys.duplicates:
        keys = report.keys
        click.echo(
            f"{keys.duplicates:,} rows have a key ({keys.field}) that an earlier row has; {keys.keys:,} keys occur "
            "more than once:"
        )
        print_table(["Key", "Rows", "First", "Second"], [_key_row(duplicate) for duplicate in keys.first], none="")
        click.echo("Leave the other rows out, or give them keys of their own: an import stores all of them.")
    if report.keys is not None and report.keys.sampled:
        keys = report.keys
        click.echo(
            f"Of {keys.sampled:,} keys that were looked up, the collection has {keys.existing:,}"
            + (f": {', '.join(keys.existing_values)}" if keys.existing else "")
        )
    if report.estimate is not None:
        print_estimate(report.estimate)
    for warning in report.warnings:
        click.echo(f"Note: {escape_controls(warning.message)} ({warning.count:,} rows)", err=True)
    click.echo(summary_line(report))


def print_estimate(estimate: Estimate) -> None:
    parts = []
    if estimate.seconds is not None:
        seconds = timedelta(seconds=estimate.seconds)
        parts.append(str(duration_text(seconds)) if estimate.seconds >= 1 else "a second")
    if estimate.disk is not None:
        parts.append(f"{size_text(estimate.disk)} of disk")
    click.echo(f"The import takes about {' and '.join(parts)}, without indexes (estimated from a sample).")


def summary_line(report: Report) -> str:
    kinds = sum(problem.severity.value == "error" for problem in report.problems)
    kinds += bool(report.keys and report.keys.duplicates)
    verdict = "clean" if report.is_clean else f"{kinds:,} kind{' of error' if kinds == 1 else 's of errors'}"
    files = f"{report.files:,} file{'' if report.files == 1 else 's'}"
    bad = f", {report.bad_rows:,} of them bad" if report.bad_rows else ""
    return f"{verdict}: {report.rows:,} rows{bad}, {files}, {size_text(report.bytes)}"


def _first_place(problem: Problem) -> str:
    if not problem.places:
        return ""
    place = problem.places[0]
    return f"{_text(place)}: {place.value}" if place.value is not None else _text(place)


def _text(place: Place) -> str:
    """A place, with its file relative to the working directory if it is below it."""
    return place.text if place.file is None else replace(place, file=_relative(place.file)).text


def _key_row(duplicate: DuplicateKey) -> tuple[object, ...]:
    first, second = duplicate.places
    return duplicate.value, duplicate.count, _text(first), _text(second)


# SARIF


def write_sarif(report: Report, path: Path) -> None:
    """Write the problems as a SARIF 2.1.0 log: a result per problem and place. Raises Failure."""
    rules: dict[str, dict[str, Any]] = {}
    results = []
    for problem in (*report.problems, *_duplicate_problems(report)):
        rules.setdefault(problem.rule, _sarif_rule(problem))
        places: Sequence[Place | None] = problem.places or [None]
        results += [_sarif_result(problem, place) for place in places]
    log = {
        "$schema": _SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "penstock check", "version": package_version(), "rules": list(rules.values())}
                },
                "columnKind": "unicodeCodePoints",
                "results": results,
            }
        ],
    }
    _write(path, json.dumps(log, ensure_ascii=False, indent=1).encode())


def _sarif_rule(problem: Problem) -> dict[str, Any]:
    from penstock.targets.table import RULES_BY_ID

    known = RULES_BY_ID.get(problem.rule)
    rule: dict[str, Any] = {
        "id": problem.rule,
        "shortDescription": {"text": known.summary if known else problem.message},
    }
    if problem.remedy:
        rule["help"] = {"text": problem.remedy}
    if known:
        rule["name"] = known.name
    return rule


def _sarif_result(problem: Problem, place: Place | None) -> dict[str, Any]:
    field = f"field {problem.field}: " if problem.field else ""
    count = f" ({problem.count:,} times)" if problem.count > 1 else ""
    value = f"; value: {place.value}" if place is not None and place.value is not None else ""
    text = f"{field}{problem.message}{value}{count}"
    result: dict[str, Any] = {
        "ruleId": problem.rule,
        "level": problem.severity.value,
        "message": {"text": text},
        "occurrenceCount": problem.count,
    }
    if place is not None and place.file is not None:
        physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(place.file)}}
        region: dict[str, int] = {}
        if place.row is not None and place.file.lower().endswith((".jsonl", ".ndjson")):
            region["startLine"] = place.row + 1  # usually a row per line
        elif place.offset is not None:
            region["byteOffset"] = place.offset
        if region:
            physical["region"] = region
        location: dict[str, Any] = {"physicalLocation": physical}
        if place.row is not None:
            location["logicalLocations"] = [{"name": f"row {place.row}", "kind": "element"}]
        result["locations"] = [location]
    return result


def _uri(name: str) -> str:
    """A file as SARIF names it: relative to the working directory where it is below it, which code scanning needs."""
    if "://" in name:
        return name
    path = Path(_relative(name))
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _relative(name: str) -> str:
    """A file relative to the working directory if it is below it, as the caller most likely wrote it."""
    if not os.path.isabs(name):
        return name
    relative = os.path.relpath(name)
    return name if relative.startswith("..") else relative


# JUnit


def write_junit(report: Report, names: Sequence[str], path: Path) -> None:
    """Write a JUnit XML file: a test case per file, one for the keys, one for the schema. Raises Failure."""
    cases: dict[str, list[Problem]] = {name: [] for name in names}
    for problem in (*report.problems, *_duplicate_problems(report)):
        if problem.severity.value != "error":
            continue
        files = list(dict.fromkeys(place.file for place in problem.places if place.file in cases))
        for file in files or ["schema"]:
            cases.setdefault(str(file), []).append(problem)
    failures = sum(bool(problems) for problems in cases.values())
    suite = ElementTree.Element(
        "testsuite", name="penstock check", tests=str(len(cases)), failures=str(failures), errors="0", skipped="0"
    )
    for name, problems in cases.items():
        case = ElementTree.SubElement(
            suite, "testcase", classname="penstock.check", name=_xml(_relative(name)), time="0"
        )
        if problems:
            text = "\n\n".join(_junit_text(problem, name) for problem in problems)
            kinds = ", ".join(dict.fromkeys(problem.rule for problem in problems))
            failure = ElementTree.SubElement(case, "failure", message=_xml(problems[0].message), type=_xml(kinds))
            failure.text = _xml(text)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    _write(path, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _junit_text(problem: Problem, file: str) -> str:
    field = f", field {problem.field}" if problem.field else ""
    lines = [f"{problem.rule}{field}: {problem.message} ({problem.count:,} in all files)"]
    lines += [
        f"  {_text(place)}{'' if place.value is None else f': {place.value}'}"
        for place in problem.places
        if place.file == file
    ]
    return "\n".join([*lines, *([f"  {problem.remedy}"] if problem.remedy else [])])


def _duplicate_problems(report: Report) -> Sequence[Problem]:
    if report.keys is None or not report.keys.duplicates:
        return []
    keys = report.keys
    return [
        Problem(
            rule=DUPLICATE_RULE,
            field=keys.field,
            message=f"{keys.duplicates:,} rows have a key that an earlier row has",
            remedy=_DUPLICATE_REMEDY,
            count=keys.duplicates,
            places=tuple(_with_value(duplicate) for duplicate in keys.first),
        )
    ]


def _with_value(duplicate: DuplicateKey) -> Place:
    return replace(duplicate.places[1], value=duplicate.value)


def _xml(text: str) -> str:
    """Replace the characters that XML can't hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise Failure(f"the report {path} cannot be written: {error.strerror or error}") from None
