"""Files of all formats checked without a server: every bad row, duplicate keys, and what other servers refuse."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.domain.check_report import Problem, Report, Severity
from penstock.domain.schema import CollectionSchema
from penstock.imports.dry_run.local import LocalCheck
from penstock.imports.planner import resolve_files
from penstock.imports.requests import StoreCredentials
from penstock.runners.local import LocalRunner
from penstock.sources.roots import ImportRoots
from penstock.targets.rule import Target
from tests.support.column_files import COLUMN_FILES, table_of
from tests.support.schemas import KEY_AND_VECTOR
from tests.support.worlds import job_settings

ROWS = 200
BAD = (17, 18, 150)
"""Rows whose text is too long."""


class Checker:
    def __init__(self, folder: Path, runner: LocalRunner) -> None:
        self.folder = folder
        self.runner = runner

    def __call__(
        self,
        *names: str | Sequence[str],
        schema: CollectionSchema = KEY_AND_VECTOR,
        targets: Sequence[Target] = (),
        split_bytes: int = 64 << 20,
        **options: str,
    ) -> Report:
        groups = [[name] if isinstance(name, str) else list(name) for name in names]
        return LocalCheck(
            files=resolve_files(groups, ImportRoots([str(self.folder)]), StoreCredentials()),
            schema=schema,
            options=options,
            targets=targets,
            settings=job_settings(split_bytes=split_bytes),
            runner=self.runner,
            spool=self.folder / "spool",
        ).run()


@pytest.fixture
def check(tmp_path: Path, runner: LocalRunner) -> Checker:
    return Checker(tmp_path, runner)


def table(bad: Sequence[int] = BAD) -> pa.Table:
    texts = ["x" * 100 if row in bad else f"é{row}" for row in range(ROWS)]
    return table_of(ROWS).set_column(2, "text", pa.array(texts))


def rows(bad: Sequence[int] = BAD) -> list[dict[str, Any]]:
    return table(bad).to_pylist()


def lines(bad: Sequence[int] = BAD) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows(bad))


def csv() -> str:
    return "id,vector,text\n" + "".join(
        f'{row["id"]},"{json.dumps(row["vector"])}",{row["text"]}\n' for row in rows()
    )


def only(report: Report) -> Problem:
    (problem,) = report.problems
    return problem


def write(folder: Path, name: str) -> str:
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(table(), path, row_group_size=64)
    elif (write_columns := COLUMN_FILES.get(path.suffix[1:])) is not None:
        path.write_bytes(write_columns(table(), 64))
    else:
        text = {"a.jsonl": lines, "a.json": lambda: json.dumps(rows()), "a.csv": csv}[name.removesuffix(".gz")]()
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return name


@pytest.mark.parametrize(
    "name", ["a.parquet", "a.jsonl", "a.json", "a.csv", "a.jsonl.gz", *(f"a.{suffix}" for suffix in COLUMN_FILES)]
)
def test_all_bad_rows_of_a_file(check: Checker, name: str) -> None:
    report = check(write(check.folder, name))
    problem = only(report)
    assert (report.rows, report.bad_rows) == (ROWS, len(BAD))
    assert (problem.rule, problem.field, problem.count) == ("text_length", "text", len(BAD))
    assert [place.row for place in problem.places] == list(BAD)
    assert {place.file for place in problem.places} == {name}
    assert problem.remedy is not None
    assert not report.is_clean


def test_rows_count_in_the_file_across_its_splits(check: Checker) -> None:
    (check.folder / "a.jsonl").write_text(lines())
    report = check("a.jsonl", split_bytes=1000)
    assert [place.row for place in only(report).places] == list(BAD)


def test_a_numpy_set(check: Checker) -> None:
    np.save(check.folder / "id.npy", np.arange(ROWS))
    np.save(check.folder / "vector.npy", np.ones((ROWS, 2), np.float32))
    np.save(check.folder / "text.npy", np.array(["x" * (100 if row in BAD else 1) for row in range(ROWS)]))
    report = check(["id.npy", "vector.npy", "text.npy"])
    assert (report.files, report.rows, only(report).count) == (1, ROWS, len(BAD))


def test_good_files_are_clean(check: Checker) -> None:
    (check.folder / "a.jsonl").write_text(lines(()))
    report = check("a.jsonl")
    assert report.is_clean
    assert (report.rows, report.bad_rows, list(report.problems)) == (ROWS, 0, [])
    assert Report.from_json(json.loads(json.dumps(report.to_json()))).to_json() == report.to_json()


def test_a_broken_file_does_not_hide_the_others(check: Checker) -> None:
    pq.write_table(table(), check.folder / "a.parquet")
    (check.folder / "b.parquet").write_bytes((check.folder / "a.parquet").read_bytes()[:500])
    (check.folder / "c.jsonl").write_text(lines(()) + '{"id": 1')
    report = check("b.parquet", "a.parquet", "c.jsonl")
    files = {place.file for problem in report.problems for place in problem.places}
    assert files == {"a.parquet", "b.parquet", "c.jsonl"}
    assert report.rows >= ROWS


def test_a_column_of_another_type_is_one_problem(check: Checker) -> None:
    pq.write_table(
        table(()).set_column(0, "id", pa.array([f"{row}" for row in range(ROWS)])), check.folder / "a.parquet"
    )
    problem = only(check("a.parquet"))
    assert (problem.field, problem.count) == ("id", 1)


def test_keys_that_occur_more_than_once(check: Checker) -> None:
    (check.folder / "a.jsonl").write_text(lines(()))
    again = [{"id": 5, "vector": [0, 0], "text": "a"}] * 2
    (check.folder / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in again))
    report = check("a.jsonl", "b.jsonl", split_bytes=1000)
    assert report.keys is not None
    assert (report.keys.field, report.keys.duplicates, report.keys.keys) == ("id", 2, 1)
    duplicate = report.keys.first[0]
    assert (duplicate.value, duplicate.count) == ("5", 3)
    assert [place.text for place in duplicate.places] == ["a.jsonl, row 5", "b.jsonl, row 0"]
    assert not report.is_clean


def test_rules_of_a_target(check: Checker) -> None:
    large = table(()).set_column(2, "text", table(()).column("text").cast(pa.large_string()))
    pq.write_table(large, check.folder / "a.parquet")
    (check.folder / "b.json").write_text('\ufeff{"rows": [{"id": 1000.0, "vector": [1, 2], "text": "a", "more": 1}]}')
    report = check("a.parquet", "b.json", targets=[Target.MILVUS_2_5])
    found = {problem.rule: problem for problem in report.problems}
    assert found.keys() == {"PS301", "PS309", "PS501", "PS502"}
    place = found["PS501"].places[0]
    assert (place.file, place.row, place.value, found["PS501"].field) == ("b.json", 0, "1000.0", "id")
    assert report.rows == ROWS + 1
    assert {problem.severity for problem in report.problems} == {Severity.ERROR}
    assert check("a.parquet", "b.json").is_clean


def test_keys_and_columns_without_a_field(check: Checker) -> None:
    (check.folder / "a.jsonl").write_text('{"id": 1, "vector": [1, 2], "more": 1}\n' * 2)
    (check.folder / "b.csv").write_text('id,vector,more\n1,"[1, 2]",x\n')
    (check.folder / "c.jsonl").write_text("\n")
    for name, count in (("a.jsonl", 2), ("b.csv", 1)):
        problem = only(check(name, targets=[Target.MILVUS_3_0]))
        assert (problem.rule, problem.count, problem.severity) == ("PS314", count, Severity.WARNING)
    assert only(check("c.jsonl", targets=[Target.MILVUS_3_0])).rule == "PS112"


def test_a_fortran_ordered_matrix_would_be_read_transposed(check: Checker) -> None:
    np.save(check.folder / "id.npy", np.arange(ROWS))
    np.save(check.folder / "vector.npy", np.asfortranarray(np.ones((ROWS, 2), np.float32)))
    report = check(["id.npy", "vector.npy"], targets=[Target.MILVUS_3_0])
    assert only(report).rule == "PS402"


def test_options_of_the_import_apply(check: Checker) -> None:
    (check.folder / "a.csv").write_text('key;vector\n1;"[1, 2]"\n2;"[1, 2, 3]"\n')
    report = check("a.csv", sep=";", mapping='{"id": "key"}')
    assert (report.rows, only(report).rule, only(report).places[0].row) == (2, "vector_dim", 1)
