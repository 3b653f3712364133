"""Our files beside those of pymilvus's own writers: the same schema, the same values, the same chunks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from penstock.bulk_writer import BulkFileType, LocalBulkWriter
from penstock.domain.rest_schema import schema_from_rest
from penstock.domain.schema import META_FIELD, DataType
from penstock.domain.times import format_time, parse_time
from tests.support.bulk_files import read_files
from tests.support.clients import run_client
from tests.support.samples import Sample, load_samples, sample_folder

pytestmark = pytest.mark.clients


BETWEEN = [pytest.param(version, marks=pytest.mark.slow) for version in ("2.5.18", "2.6.17")]


@pytest.fixture(scope="module", params=["2.4.9", *BETWEEN, "3.0.2"])
def samples(request: pytest.FixtureRequest) -> list[Sample]:
    return load_samples(sample_folder(request.param))


def rewrite(sample: Sample, folder: Path) -> list[list[str]]:
    """The sample's files converted by our writer, one chunk for each of theirs."""
    kind = BulkFileType[sample.name.split("-")[0].upper()]
    schema = schema_from_rest(sample.schema)
    times = [field.name for field in schema if field.type is DataType.TIMESTAMPTZ]
    with LocalBulkWriter(schema, folder, file_type=kind, config=sample.options) as writer:
        for group in sample.files:
            for row in read_files([group], schema, sample.options):
                texts = {name: format_time(row[name]) for name in times if row.get(name) is not None}
                writer.append_row(row | texts)
            writer.commit()
    return writer.batch_files


def values(files: list[list[str]], sample: Sample) -> list[dict[str, Any]]:
    """Rows whose JSON is parsed: its spelling may differ."""
    schema = schema_from_rest(sample.schema)
    parsed = {field.name for field in schema if field.type is DataType.JSON} | {META_FIELD}
    return [
        {name: json.loads(cell) if name in parsed and cell is not None else cell for name, cell in row.items()}
        for row in read_files(files, schema, sample.options)
    ]


def test_values_are_the_same(samples: list[Sample], tmp_path: Path) -> None:
    for sample in samples:
        ours = rewrite(sample, tmp_path / sample.name)
        assert values(ours, sample) == values(sample.files, sample), sample.name


BYTES = "list<element: uint8>"
DIFFERENT_TYPES = {
    # From 3.0.1 on theirs writes half floats that came as lists as floats, which servers before late 2.6 do not read.
    ("parquet-half_lists", "v_half"): BYTES,
    ("parquet-half_lists", "v_bhalf"): BYTES,
}
"""Sample and column: our type where it is not theirs."""


def test_parquet_files_have_the_same_types(samples: list[Sample], tmp_path: Path) -> None:
    for sample in samples:
        if not sample.name.startswith("parquet"):
            continue
        ours = rewrite(sample, tmp_path / sample.name)
        different = {column: kind for (name, column), kind in DIFFERENT_TYPES.items() if name == sample.name}
        for mine, theirs in zip(ours, sample.files, strict=True):
            assert types(mine[0]) == types(theirs[0]) | different


def types(path: str) -> dict[str, str]:
    """Arrow types of the columns, whether or not they say that there are no nulls.

    Ours say so of vectors, which saves a fifth of the work. Milvus compares types only: 2.3.5 imports such files.
    """
    return {field.name: str(field.type).replace(" not null", "") for field in pq.read_schema(path)}


def test_numpy_files_are_the_same(samples: list[Sample], tmp_path: Path) -> None:
    for sample in samples:
        if not sample.name.startswith("numpy") or "half" in sample.name:
            continue
        ours = rewrite(sample, tmp_path / sample.name)
        for mine, theirs in zip(ours, sample.files, strict=True):
            assert [Path(each).name for each in mine] == [Path(their).name for their in theirs]
            for name, other in zip(mine, theirs, strict=True):
                one, two = np.load(name), np.load(other)
                assert one.shape == two.shape
                if Path(name).stem in ("a_json", "$meta"):
                    assert [json.loads(each) for each in one] == [json.loads(each) for each in two]
                elif Path(name).stem == "a_time":  # ours are all in UTC, theirs as they came
                    assert [parse_time(each) for each in one] == [parse_time(each) for each in two]
                elif Path(name).stem == "a_place":  # ours have one form of WKT
                    assert (shapely.from_wkt(one) == shapely.from_wkt(two)).all()
                else:
                    assert one.dtype == two.dtype
                    assert np.array_equal(one, two)


_SCHEMA = """
from pymilvus import CollectionSchema, DataType, FieldSchema
schema = CollectionSchema([
    FieldSchema("id", DataType.INT64, is_primary=True),
    FieldSchema("tag", DataType.VARCHAR, max_length=64, nullable=True, default_value="none"),
    FieldSchema("list", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=9, max_length=9),
    FieldSchema("v", DataType.FLOAT_VECTOR, dim=16),
    FieldSchema("h", DataType.FLOAT16_VECTOR, dim=8),
    FieldSchema("s", DataType.SPARSE_FLOAT_VECTOR),
], enable_dynamic_field=True)
"""

_CHUNKS = (
    _SCHEMA
    + """
import json, sys
import pyarrow.parquet as pq
from pymilvus.bulk_writer import BulkFileType, LocalBulkWriter
rows = json.loads(open(sys.argv[1]).read())
with LocalBulkWriter(schema, sys.argv[2], chunk_size=2000) as writer:
    for row in rows:
        writer.append_row(row | {"s": {int(index): value for index, value in row["s"].items()}})
    writer.commit()
print(json.dumps([pq.ParquetFile(group[0]).metadata.num_rows for group in writer.batch_files]))
"""
)


def test_chunks_end_after_the_same_rows(tmp_path: Path) -> None:
    rows = [
        {
            "id": number,
            "tag": "ä" * (number % 32),
            "list": ["x" * (number % 9)] * (number % 7),
            "v": [0.5] * 16,
            "h": [0.5] * 8,
            "s": {str(index): 1.0 for index in range(1 + number % 3)},
            "extra": "y" * number,
        }
        for number in range(0, 200, 5)  # pymilvus's writer takes a moment for each chunk
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    theirs = json.loads(run_client("3.0.2", _CHUNKS, tmp_path / "rows.json", tmp_path / "theirs"))
    with LocalBulkWriter(_their_schema(), tmp_path / "ours", chunk_size=2000) as writer:
        for row in rows:
            writer.append_row(row)
    assert [pq.ParquetFile(group[0]).metadata.num_rows for group in writer.batch_files] == theirs


def _their_schema() -> dict[str, object]:
    return {
        "enableDynamicField": True,
        "fields": [
            {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
            {"fieldName": "tag", "dataType": "VarChar", "nullable": True, "defaultValue": "none"}
            | {"elementTypeParams": {"max_length": 64}},
            {"fieldName": "list", "dataType": "Array", "elementDataType": "VarChar"}
            | {"elementTypeParams": {"max_capacity": 9, "max_length": 9}},
            {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 16}},
            {"fieldName": "h", "dataType": "Float16Vector", "elementTypeParams": {"dim": 8}},
            {"fieldName": "s", "dataType": "SparseFloatVector"},
        ],
    }


_CONVERTED = (
    _SCHEMA
    + """
import json, sys
sys.path.insert(0, sys.argv[1])
from penstock.bulk_writer.schemas import collection_schema, function_outputs
from pymilvus import Function, FunctionType
schema.add_field("text", DataType.VARCHAR, max_length=99, enable_analyzer=True)
schema.add_field("bm25", DataType.SPARSE_FLOAT_VECTOR)
schema.add_function(Function("f", FunctionType.BM25, ["text"], ["bm25"]))
schema.verify()
print(json.dumps([collection_schema(schema).to_json(), sorted(function_outputs(schema))]))
"""
)


def test_pymilvus_schemas_are_understood(tmp_path: Path) -> None:
    """In their environment: ours needs no pymilvus, theirs has not all that our writers import."""
    package = tmp_path / "penstock"
    source = Path(__file__).parents[2] / "src" / "penstock"
    package.mkdir()
    for name in ("__init__.py", "errors.py", "domain"):
        (package / name).symlink_to(source / name)
    (package / "bulk_writer").mkdir()
    (package / "bulk_writer" / "schemas.py").symlink_to(source / "bulk_writer" / "schemas.py")
    schema, computed = json.loads(run_client("3.0.2", _CONVERTED, tmp_path))
    assert computed == ["bm25"]
    assert schema["dynamic"] is True
    assert schema["fields"][:2] == [
        {"name": "id", "type": "Int64", "primary": True},
        {"name": "tag", "type": "VarChar", "max_length": 64, "nullable": True, "default": "none"},
    ]
    assert schema["fields"][2]["element_type"] == "VarChar"
    assert schema["fields"][3] == {"name": "v", "type": "FloatVector", "dim": 16}
