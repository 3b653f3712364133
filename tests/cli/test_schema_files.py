"""Schema files: their page in the docs, lenient names, and what is wrong with one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.schema_files import read_schema_file
from penstock.domain.data_types import DataType
from penstock.domain.rest_schema import schema_from_rest
from penstock.errors import InvalidSchema
from penstock.sdk.client import Client
from tests.cli.conftest import Run
from tests.support.servers import RunningServer

PAGE = Path(__file__).parents[2] / "docs" / "schema-files.md"
EXAMPLES = re.findall(r"```(json|toml)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def read(tmp_path: Path, content: Any) -> Any:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(content))
    return read_schema_file(path)


@pytest.mark.parametrize(("suffix", "text"), EXAMPLES, ids=lambda value: value[:4])
def test_the_examples_of_the_docs(run: Run, server: RunningServer, tmp_path: Path, suffix: str, text: str) -> None:
    path = tmp_path / f"schema.{suffix}"
    path.write_text(text)
    name = f"schema_example_{suffix}"
    done = run("collections", "create", name, "--schema", str(path))
    assert done.exit_code == 0, done.output
    content = read_schema_file(path)
    schema = schema_from_rest(content.schema).check()
    assert {index["fieldName"] for index in content.indexes} == {field.name for field in schema.vectors}
    with Client(server.url) as client:
        info = client.collections.describe(name)
    assert {index.field for index in info.indexes} == {field.name for field in schema.vectors}
    assert info.dynamic
    if suffix == "json":
        types = {field.type for field in schema}
        assert types == set(DataType)


@pytest.mark.parametrize("spelling", ["int64", "Int64", "INT64", "int_64"])
def test_types_are_read_whatever_their_case(tmp_path: Path, spelling: str) -> None:
    fields = [
        {"name": "id", "type": spelling, "isPrimary": True},
        {"fieldName": "v", "datatype": "floatvector", "DIM": 4},
    ]
    schema = schema_from_rest(read(tmp_path, {"fields": fields}).schema)
    assert schema["id"].type is DataType.INT64
    assert (schema["v"].type, schema["v"].dim) == (DataType.FLOAT_VECTOR, 4)


def test_the_body_of_the_rest_call_is_read_unchanged(tmp_path: Path) -> None:
    body = {
        "schema": {
            "autoId": False,
            "enableDynamicField": True,
            "fields": [
                {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
                {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
            ],
        },
        "indexParams": [{"fieldName": "v", "metricType": "L2", "indexType": "HNSW", "params": {"M": 8}}],
        "params": {"ttlSeconds": 10},
    }
    content = read(tmp_path, body)
    assert content.schema == body["schema"]
    assert content.indexes == body["indexParams"]
    assert content.params == body["params"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("string", "unknown type string for field x. Did you mean VarChar"),
        ("flaot_vector", "Did you mean FloatVector"),
        ("money", "unknown type money for field x. Types are Bool, Int8"),
    ],
)
def test_an_unknown_type_lists_the_known_ones(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(InvalidSchema, match=message):
        read(tmp_path, {"fields": [{"name": "x", "type": kind}]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"fields": {"id": "int64"}}, "fields of the schema file .* must be a list of objects"),
        ({"fields": ["id"]}, "fields of the schema file .* must be a list of objects"),
        ({"fields": [{"name": "v", "type": "int8", "index": "HNSW"}]}, "index of field v .* must be an object"),
        (
            {"fields": [{"name": "v", "type": "int8"}], "indexes": ["HNSW"]},
            "indexParams .* must be a list of objects",
        ),
    ],
)
def test_files_of_another_form(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InvalidSchema, match=message):
        read(tmp_path, content)
