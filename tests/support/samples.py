"""The sample files that ``writers/write_all_types.py`` writes, and rows read back in the form it expects them in."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.clients import ENVIRONMENTS, client_python, run_client
from tests.support.environments import made_once

__all__ = ["WRITE_ALL_TYPES", "Sample", "load_samples", "sample_folder"]

WRITE_ALL_TYPES = Path(__file__).parent / "writers" / "write_all_types.py"

_INTEGERS = frozenset({"Int8", "Int16", "Int32", "Int64"})


@dataclass(frozen=True)
class Sample:
    """One case: ``files`` and ``options`` for an import, ``schema`` for a collection, and the rows that must come.

    ``key`` is the field that tells rows apart; ``expected`` has its neutral values as keys.
    """

    name: str
    files: list[list[str]]
    schema: dict[str, Any]
    options: dict[str, str]
    key: str
    expected: dict[str, dict[str, Any]]

    def neutral(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Rows as ``penstock.Client.query`` gives them, in the form of ``expected``."""
        told = (self._neutral_row(row) for row in rows)
        return {row[self.key]: row for row in told}

    def _neutral_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        fields = {each["fieldName"]: each for each in self.schema["fields"]}
        structs = {each["fieldName"]: each["fields"] for each in self.schema.get("structFields", ())}
        generated = {
            field["fieldName"] for field in fields.values() if field.get("isPrimary") and self.schema["autoID"]
        }
        plain = {
            name: _neutral(value, fields[name]["dataType"], fields[name].get("elementDataType"))
            for name, value in row.items()
            if name in fields and name not in generated
        }
        plain |= {name: _neutral_structs(row[name], parts) for name, parts in structs.items()}
        if self.schema["enableDynamicField"]:
            plain["$meta"] = {name: value for name, value in row.items() if name not in fields}
        return plain


def sample_folder(version: str) -> Path:
    """What a release writes, made once and kept beside its environment: pymilvus's writer takes seconds for it."""
    python, home = client_python(version), ENVIRONMENTS / f"{version}-samples"
    source = f"{(python.parents[1] / 'stamp').read_text()}\n{WRITE_ALL_TYPES.read_text()}"
    return made_once(home, source, lambda: run_client(version, WRITE_ALL_TYPES, home))


def load_samples(folder: Path) -> list[Sample]:
    """All samples that the writer has left in ``folder``, with absolute paths."""
    return [_load(folder, name) for name in json.loads((folder / "cases.json").read_text())]


def _load(folder: Path, name: str) -> Sample:
    files, schema, told = (
        json.loads((folder / name / f"{part}.json").read_text()) for part in ("files", "schema", "expected")
    )
    return Sample(
        name=name,
        files=[[str(folder / file) for file in group] for group in files],
        schema=schema,
        options=told["options"],
        key=told["key"],
        expected={row[told["key"]]: row for row in told["rows"]},
    )


def _neutral_structs(structs: Any, parts: Any) -> Any:
    kinds = {part["fieldName"]: part["elementDataType"] for part in parts}
    return [{name: _neutral(value, kinds[name], None) for name, value in struct.items()} for struct in structs]


def _neutral(value: Any, kind: str, element: str | None) -> Any:
    if value is None:
        return None
    if kind in _INTEGERS:
        return str(value)
    if kind == "Float":
        return float(np.float32(value))
    if kind == "Array":
        assert element is not None
        return [_neutral(each, element, None) for each in value]
    if kind == "FloatVector":
        return [float(np.float32(each)) for each in value]
    if kind == "BinaryVector":
        return base64.b64encode(value).decode()
    if kind == "SparseFloatVector":
        return {str(index): float(np.float32(each)) for index, each in value.items()}
    return value
