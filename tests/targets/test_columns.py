"""Arrow types of Parquet columns that other servers refuse."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.targets.columns import check_columns
from penstock.targets.rule import Target
from tests.support.text_files import ALL_TYPES, schema_of

FLOATS = pa.list_(pa.float32())


def struct(**fields: Any) -> Any:
    return pa.struct([pa.field(name, kind) for name, kind in fields.items()])


def rules(name: str, kind: Any, *targets: Target, schema: CollectionSchema = ALL_TYPES) -> list[str]:
    columns = pa.schema([pa.field(name, kind)])
    return [finding.rule for finding in check_columns(columns, schema, targets or [Target.MILVUS_3_0], "a.parquet")]


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("id", pa.int64()),
        ("id", pa.int8()),
        ("float", pa.float64()),
        ("double", pa.int64()),
        ("text", pa.string()),
        ("json", pa.string()),
        ("vector", FLOATS),
        ("vector", pa.list_(pa.float64())),
        ("vector", pa.list_(pa.float32(), 2)),
        ("half", pa.list_(pa.uint8())),
        ("half", pa.binary()),
        ("bytes", pa.list_(pa.int8())),
        ("bits", pa.list_(pa.uint8())),
        ("tags", pa.list_(pa.string())),
        ("sparse", pa.string()),
        ("sparse", struct(indices=pa.list_(pa.int64()), values=pa.list_(pa.float32()))),
        ("int64", pa.null()),
    ],
)
def test_types_that_milvus_reads(field: str, kind: Any) -> None:
    assert rules(field, kind) == []


@pytest.mark.parametrize(
    ("field", "kind", "rule"),
    [
        ("text", pa.large_string(), "PS301"),
        ("json", pa.string_view(), "PS301"),
        ("tags", pa.list_(pa.large_string()), "PS301"),
        ("vector", pa.large_list(pa.float32()), "PS302"),
        ("text", pa.dictionary(pa.int32(), pa.string()), "PS303"),
        ("double", pa.decimal128(10, 2), "PS304"),
        ("text", pa.timestamp("ms"), "PS305"),
        ("float", pa.float16(), "PS306"),
        ("half", pa.list_(pa.float16()), "PS306"),
        ("int64", pa.uint32(), "PS307"),
        ("int32", pa.int64(), "PS308"),
        ("id", pa.float64(), "PS308"),
        ("vector", pa.list_(pa.int32()), "PS311"),
        ("bytes", pa.list_(pa.int16()), "PS311"),
        ("json", struct(a=pa.int64()), "PS313"),
        ("sparse", pa.map_(pa.int32(), pa.float32()), "PS313"),
        ("bool", pa.int8(), "PS316"),
        ("other", pa.int8(), "PS314"),
    ],
)
def test_types_that_milvus_refuses(field: str, kind: Any, rule: str) -> None:
    assert rules(field, kind) == [rule]


def test_versions_differ() -> None:
    fixed = pa.list_(pa.float32(), 2)
    assert rules("vector", fixed, Target.MILVUS_2_5) == ["PS309"]
    assert rules("half", FLOATS, Target.MILVUS_2_5) == ["PS310"]
    assert rules("half", FLOATS, Target.MILVUS_3_0) == []
    sparse = struct(indices=pa.list_(pa.int64()), values=pa.list_(pa.float32()))
    assert rules("sparse", sparse, Target.MILVUS_2_4) == ["PS312"]


def test_dynamic_values_come_from_meta_only() -> None:
    dynamic = schema_of(dynamic=True)
    assert rules("colour", pa.string(), schema=dynamic) == ["PS315"]
    assert rules("$meta", pa.string(), schema=dynamic) == []
    assert rules("$meta", pa.large_string(), schema=dynamic) == ["PS301"]
    assert rules("__index_level_0__", pa.int64(), schema=dynamic) == []


def test_structs() -> None:
    parts = (Field(name="word", type=DataType.VARCHAR, max_length=8), Field(name="n", type=DataType.INT32))
    schema = schema_of(Field(name="parts", type=DataType.ARRAY_OF_STRUCT, max_capacity=3, fields=parts))
    good = struct(word=pa.string(), n=pa.int32())
    assert rules("parts", pa.list_(good), schema=schema) == []
    assert rules("parts", pa.list_(struct(word=pa.large_string(), n=pa.int32())), schema=schema) == ["PS301"]
    assert rules("parts", good, schema=schema) == ["PS316"]
