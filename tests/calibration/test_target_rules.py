"""Rules of targets that hold for every version of Milvus, asked of a real Milvus 2.3.5."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.imports.dry_run.target_task import TargetTask, check_for_targets
from penstock.readers.base import InputFile
from penstock.readers.formats import format_of
from penstock.sources.base import Location
from penstock.targets.files import check_files
from penstock.targets.rule import Target
from tests.calibration.milvus_server import Milvus, milvus, python

__all__ = ["milvus", "python"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROGRAM = Path(__file__).with_name("imports.py")
ROWS = 4
VECTORS = np.arange(2 * ROWS, dtype=np.float32).reshape(ROWS, 2)
DEPARTURES: Mapping[str, str] = {"large_list": "read by Milvus 2.3, refused from 2.4 on"}
"""Cases in which Milvus 2.3.5 does otherwise than the rule says of later versions, and why."""


Fields: TypeAlias = tuple[tuple[str, DataType, dict[str, int]], ...]


@dataclass(frozen=True)
class Case:
    """``rule``: what is broken, None if nothing; ``write`` writes the files into a folder and names them."""

    rule: str | None
    write: Callable[[Path], list[Path]]
    fields: Fields = ()
    dynamic: bool = False


def parquet(**columns: Any) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        table = {"id": pa.array(range(ROWS)), "vector": pa.array(VECTORS.tolist(), pa.list_(pa.float32())), **columns}
        pq.write_table(pa.table(table), folder / "a.parquet")
        return [folder / "a.parquet"]

    return write


def text(name: str, content: str | bytes) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return [folder / name]

    return write


def numpy(**arrays: Any) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        for name, array in {"id": np.arange(ROWS), "vector": VECTORS, **arrays}.items():
            np.save(folder / f"{name}.npy", array)
        return sorted(folder.iterdir())

    return write


def write_orc(folder: Path) -> list[Path]:
    orc.write_table(pa.table({"id": pa.array([1]), "vector": pa.array([[1.0, 2.0]])}), folder / "a.orc")
    return [folder / "a.orc"]


JSON_ROWS = '[{"id": 1, "vector": [1, 2]}]'
TEXT = (("text", DataType.VARCHAR, {"max_length": 16}),)
DOUBLE: Fields = (("number", DataType.DOUBLE, {}),)
INT32: Fields = (("number", DataType.INT32, {}),)
WORDS = ["a", "b", "c", "d"]
CASES: Mapping[str, Case] = {
    "Parquet": Case(None, parquet()),
    "JSON": Case(None, text("a.json", f'{{"rows": {JSON_ROWS}}}')),
    "NumPy": Case(None, numpy()),
    "large_string": Case("PS301", parquet(text=pa.array(WORDS, pa.large_string())), TEXT),
    "large_list": Case("PS302", parquet(vector=pa.array(VECTORS.tolist(), pa.large_list(pa.float32())))),
    "dictionary": Case("PS303", parquet(text=pa.array(WORDS).dictionary_encode()), TEXT),
    "decimal": Case("PS304", parquet(number=pa.array([1, 2, 3, 4]).cast(pa.decimal128(30, 2))), DOUBLE),
    "timestamp": Case("PS305", parquet(text=pa.array([1, 2, 3, 4]).cast(pa.timestamp("ms"))), TEXT),
    # Without a case: half floats (PS306). A column of them ends the process of Milvus 2.3.5.
    "unsigned": Case("PS307", parquet(number=pa.array([1, 2, 3, 4], pa.uint32())), INT32),
    "wider": Case("PS308", parquet(number=pa.array([1, 2, 3, 4])), INT32),
    "fixed-size list": Case("PS309", parquet(vector=pa.array(VECTORS.tolist(), pa.list_(pa.float32(), 2)))),
    "list of integers": Case("PS311", parquet(vector=pa.array([[1, 2]] * 4))),
    "unknown column": Case("PS314", parquet(more=pa.array(WORDS))),
    "1.0": Case("PS501", text("a.json", JSON_ROWS.replace('"id": 1', '"id": 1.0'))),
    "byte order mark": Case("PS502", text("a.json", b"\xef\xbb\xbf" + JSON_ROWS.encode())),
    "root key": Case("PS503", text("a.json", f'{{"object": "list", "data": {JSON_ROWS}}}')),
    "extension": Case("PS104", text("a.JSON", f'{{"rows": {JSON_ROWS}}}')),
    "gzip": Case("PS105", text("a.json.gz", gzip.compress(JSON_ROWS.encode()))),
    "CSV": Case("PS102", text("a.csv", 'id,vector\n1,"[1, 2]"\n')),
    "JSON Lines": Case("PS103", text("a.jsonl", JSON_ROWS[1:-1])),
    "ORC": Case("PS101", write_orc),
    "dtype": Case("PS401", numpy(number=np.arange(ROWS)), INT32),
    "Fortran order": Case("PS402", numpy(vector=np.asfortranarray(VECTORS))),
}


class _Context:
    def report(self, done_bytes: int, done_rows: int) -> None:
        """Nothing is shown."""

    def check(self) -> None:
        """Nothing is cancelled."""


def found(case: Case, files: list[Path]) -> set[str]:
    fields = [
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
        *(Field(name=name, type=kind, **params) for name, kind, params in case.fields),  # type: ignore[arg-type]
    ]
    format = format_of(files[0].name)
    assert format is not None
    locations = [Location(uri=path.as_uri(), name=str(path), size=path.stat().st_size) for path in files]
    schema = CollectionSchema(fields=tuple(fields), dynamic=case.dynamic)
    file = InputFile(locations=locations, format=format.name)
    targets = [Target.MILVUS_2_4]
    problems = check_for_targets(TargetTask(files=[file], schema=schema, targets=targets), _Context())
    return {problem.rule for problem in problems} | {finding.rule for finding in check_files([file], targets)}


def test_milvus_refuses_what_the_rules_say(python: Path, milvus: Milvus, tmp_path: Path) -> None:
    cases: dict[str, Any] = {}
    for number, (label, case) in enumerate(CASES.items()):
        folder = milvus.storage / "import" / str(number)
        folder.mkdir(parents=True)
        files = case.write(folder)
        assert found(case, files) == ({case.rule} if case.rule else set()), label
        cases[label] = {
            "fields": [
                ("id", "INT64", {}),
                ("vector", "FLOAT_VECTOR", {"dim": 2}),
                *((name, kind.name, params) for name, kind, params in case.fields),
            ],
            "files": [str(path) for path in files],
            "read": case.rule == "PS402",
        }
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    command = [str(python), "-I", str(PROGRAM), milvus.address, str(tmp_path / "cases.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    answers = dict(json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 0, f"after {list(answers.items())[-1:]}: {done.stderr[-2000:]}"
    transposed = answers.pop("Fortran order")
    different = {
        label: answer
        for label, answer in answers.items()
        if answer["completed"] != (CASES[label].rule is None) and label not in DEPARTURES
    }
    assert different == {}
    assert [label for label in DEPARTURES if not answers[label]["completed"]] == []
    assert transposed["completed"]
    assert transposed["vectors"]["1"] != VECTORS[1].tolist()
