"""Names, sizes, formats, schemas, headers and texts that other servers refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.readers.base import InputFile
from penstock.readers.formats import format_of
from penstock.sources.base import Location
from penstock.targets.arrays import check_array
from penstock.targets.files import check_files
from penstock.targets.rule import Target
from penstock.targets.schemas import check_schema
from penstock.targets.texts import HEAD_BYTES, ValueSearch, check_head, check_header
from tests.support.text_files import ALL_TYPES, schema_of

LATEST = [Target.MILVUS_3_0]


def input_file(name: str, size: int = 10, **more: object) -> InputFile:
    format = format_of(name)
    assert format is not None
    location = Location(uri=f"file:///{name}", name=name, size=size)
    return InputFile(locations=[location], format=format.name, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "targets", "rules"),
    [
        ("a.parquet", list(Target), []),
        ("a.json", list(Target), []),
        ("a.csv", LATEST, []),
        ("a.orc", LATEST, ["PS101"]),
        ("a.avro", LATEST, ["PS101"]),
        ("a.h5", LATEST, ["PS101"]),
        ("a.fvecs", LATEST, ["PS101"]),
        ("a.npz", LATEST, ["PS101"]),
        ("a.tsv", LATEST, ["PS101"]),
        ("a.csv", [Target.MILVUS_2_4], ["PS102"]),
        ("a.jsonl", [Target.MILVUS_2_5], ["PS103"]),
        ("a.ndjson", LATEST, []),
        ("a.PARQUET", LATEST, ["PS104"]),
        ("a.json.gz", LATEST, ["PS105"]),
        ("a.npy", [Target.ZILLIZ], ["PS111"]),
    ],
)
def test_formats_and_names(name: str, targets: list[Target], rules: list[str]) -> None:
    assert [finding.rule for finding in check_files([input_file(name)], targets)] == rules


def test_sizes_and_numbers() -> None:
    def rules(*files: InputFile, target: Target = Target.MILVUS_3_0) -> list[str]:
        return [finding.rule for finding in check_files(files, [target])]

    large = input_file("a.parquet", 11 << 30)
    assert rules(large) == []
    assert rules(large, target=Target.ZILLIZ) == ["PS108"]
    assert rules(input_file("a.parquet", 17 << 30)) == ["PS107"]
    assert rules(*[input_file("a.parquet", 9 << 30)] * 12, target=Target.ZILLIZ) == ["PS109"]
    assert rules(*[input_file("a.parquet")] * 1025) == ["PS106"]
    assert rules(input_file("year=2024/a.parquet", columns={"year": 2024})) == ["PS110"]


@pytest.mark.parametrize(
    ("field", "target", "rule"),
    [
        (Field(name="a", type=DataType.INT64, nullable=True), Target.MILVUS_2_4, "PS201"),
        (Field(name="a", type=DataType.INT64, default=5), Target.MILVUS_2_4, "PS201"),
        (Field(name="a", type=DataType.FLOAT_VECTOR, dim=2, nullable=True), Target.MILVUS_2_5, "PS202"),
        (Field(name="a", type=DataType.INT8_VECTOR, dim=2), Target.MILVUS_2_5, "PS203"),
        (Field(name="a", type=DataType.GEOMETRY), Target.MILVUS_2_6, "PS204"),
        (Field(name="a", type=DataType.TEXT), Target.MILVUS_2_6, "PS205"),
    ],
)
def test_types_of_later_versions(field: Field, target: Target, rule: str) -> None:
    assert [finding.rule for finding in check_schema(schema_of(field), [target])] == [rule]
    assert list(check_schema(schema_of(field), LATEST)) == []


def test_numpy_files_of_collections_with_arrays() -> None:
    rules = [finding.rule for finding in check_schema(ALL_TYPES, LATEST, {"Numpy"})]
    assert rules == ["PS208", "PS208", "PS208"]


@pytest.mark.parametrize(
    ("name", "dtype", "column_major", "rules"),
    [
        ("int32", "int32", False, []),
        ("int32", "int64", False, ["PS401"]),
        ("float", "float64", False, ["PS401"]),
        ("vector", "float64", False, []),
        ("vector", "float16", False, ["PS401"]),
        ("vector", "float32", True, ["PS402"]),
        ("text", "S8", False, ["PS403"]),
        ("text", "U8", False, []),
        ("other", "int64", False, ["PS404"]),
    ],
)
def test_numpy_headers(name: str, dtype: str, column_major: bool, rules: list[str]) -> None:
    found = check_array(
        name, np.dtype(dtype), column_major=column_major, schema=ALL_TYPES, targets=LATEST, file=f"{name}.npy"
    )
    assert [finding.rule for finding in found] == rules


@pytest.mark.parametrize(
    ("head", "format", "rules"),
    [
        (b'[{"id": 1}', "JSON", []),
        (b' {"Rows": [', "JSON", []),
        (b'{"object": "list", "data": [', "JSON", ["PS503"]),
        (b'\xef\xbb\xbf[{"id": 1}', "JSON", ["PS502"]),
        (b"\xef\xbb\xbfid,vector", "CSV", ["PS502"]),
        (b"id,vector", "CSV", []),
        (b'[{"id": 1}', "JSONL", ["PS504"]),
        (b"", "JSON", []),
    ],
)
def test_how_texts_begin(head: bytes, format: str, rules: list[str]) -> None:
    assert [finding.rule for finding in check_head(head, format, LATEST, "a")] == rules


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_columns_of_a_csv_header(ending: str) -> None:
    head = f'\ufeffid,"text",other,$meta{ending}'.encode()
    assert [finding.field for finding in check_header(head, ",", ALL_TYPES, LATEST, "a.csv")] == ["other"]


def test_a_csv_header_that_is_longer_than_what_is_looked_at() -> None:
    names = [f"other_{number}" for number in range(600)]
    head = ",".join(names).encode()[:HEAD_BYTES]
    assert head.decode().rpartition(",")[2] not in names
    found = [finding.field for finding in check_header(head, ",", ALL_TYPES, LATEST, "a.csv")]
    assert found == names[: len(found)]
    assert len(found) > 350


def search(schema: CollectionSchema = ALL_TYPES) -> ValueSearch:
    found = ValueSearch.of(schema, LATEST)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("row", "rules"),
    [
        ('{"id": 1, "json": {"id": 1.0}, "float": 1.0}', []),
        ('{"id": 1.0}', ["PS501"]),
        ('{"int8" : 1e1, "vector": [1.0, 2.0]}', ["PS501"]),
        ('{"json": [1, 2]}', ["PS505"]),
        ('{"json": true}', ["PS505"]),
        ('{"json": "[1, 2]"}', []),
        ('{"text": "\\"id\\": 1.0"}', []),
    ],
)
def test_how_values_are_written(row: str, rules: list[str]) -> None:
    assert [finding.rule for finding in search().findings(row.encode(), "a.jsonl", 0, 0)] == rules


def test_a_candidate_at_the_edge_of_a_block() -> None:
    text = json.dumps({"vector": [1.5] * 4000, "id": 5}).replace("5}", "5.0}").encode()
    for cut in range(len(text) - 12, len(text)):
        assert search().has_candidates([text[:cut], text[cut:]])
    assert not search().has_candidates([text.replace(b"5.0}", b"5}")])


def test_nothing_to_look_for() -> None:
    schema = CollectionSchema(fields=(Field(name="id", type=DataType.VARCHAR, max_length=8, primary=True),))
    assert ValueSearch.of(schema, LATEST) is None
