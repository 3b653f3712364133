"""Imports compute the outputs of BM25 functions from the input texts, in every format, and refuse given ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.analyzers import analyzer_from_params
from penstock.analyzers.term_vectors import query_vector, term_id
from penstock.bulk_writer import BulkFileType, LocalBulkWriter
from penstock.domain.collections import Collection
from penstock.domain.index import Metric
from penstock.domain.jobs import JobState
from penstock.domain.rest_schema import schema_from_rest
from penstock.domain.schema import CollectionSchema
from penstock.engines.values import SearchRequest, Table
from tests.support.bm25_oracle import bm25
from tests.support.worlds import World

ENGLISH = {"type": "english"}
TEXTS = ["The cats ran", "a dog, a cat, a cat", "", "running running", "no such word"]


def schema(auto_id: bool = False) -> CollectionSchema:
    analyzed = {"max_length": 99, "enable_analyzer": True, "analyzer_params": ENGLISH}
    return schema_from_rest(
        {
            "autoId": auto_id,
            "fields": [
                {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
                {"fieldName": "terms", "dataType": "SparseFloatVector"},
                {"fieldName": "text", "dataType": "VarChar", "elementTypeParams": analyzed},
            ],
            "functions": [{"name": "f", "type": "BM25", "inputFieldNames": ["text"], "outputFieldNames": ["terms"]}],
        }
    ).check()


def scores(world: World, collection: Collection, text: str) -> dict[int, float]:
    current = world.catalog.collections.by_id(collection.id)
    assert current is not None
    query = query_vector(text, analyzer_from_params(json.dumps(ENGLISH)))
    request = SearchRequest(field_name="terms", queries=[query], metric=Metric.BM25, limit=99)
    (hits,) = world.engine.search(Table.of(current), request)
    keys: list[Any] = hits.rows["id"].to_pylist()
    return dict(zip(keys, hits.scores.tolist(), strict=True))


@pytest.mark.parametrize(
    "kind",
    [BulkFileType.PARQUET, BulkFileType.JSON, BulkFileType.JSONL, BulkFileType.CSV, BulkFileType.NUMPY],
)
def test_files_of_the_bulk_writers_hold_the_texts_only(world: World, kind: BulkFileType) -> None:
    with LocalBulkWriter(schema(), world.files, file_type=kind) as writer:
        for key, text in enumerate(TEXTS):
            writer.append_row({"id": key, "text": text})
    docs = world.collection("docs", schema())
    group = [str(Path(file).relative_to(world.files)) for file in writer.batch_files[0]]
    job = world.imported(group, collection="docs")
    assert (job.state, job.reason) == (JobState.COMPLETED, None)
    assert job.warnings == ()
    rows = sorted(world.rows(docs).to_pylist(), key=lambda row: row["id"])
    assert rows[3]["terms"] == {"indices": [term_id("run")], "values": [2.0]}
    assert rows[2]["terms"] == {"indices": [], "values": []}
    stems = {0: ["cat", "ran"], 1: ["dog", "cat", "cat"], 2: [], 3: ["run", "run"], 4: ["such", "word"]}
    stems[4] = analyzer_from_params(json.dumps(ENGLISH)).terms(TEXTS[4])
    assert scores(world, docs, "cats running") == pytest.approx(bm25(stems, ["cat", "run"]), rel=1e-5)


def test_ids_can_be_generated_too(world: World) -> None:
    (world.files / "a.jsonl").write_text('{"text": "one"}\n{"text": "two one"}\n')
    docs = world.collection("docs", schema(auto_id=True))
    job = world.imported(["a.jsonl"], collection="docs")
    assert job.state is JobState.COMPLETED, job.reason
    assert len(scores(world, docs, "one")) == 2


def write_parquet(folder: Path) -> list[str]:
    pq.write_table(pa.table({"id": [1], "text": ["a"], "terms": ['{"1": 0.5}']}), folder / "a.parquet")
    return ["a.parquet"]


def write_json(folder: Path) -> list[str]:
    (folder / "a.json").write_text('[{"id": 1, "text": "a", "terms": {"1": 0.5}}]')
    return ["a.json"]


def write_json_lines(folder: Path) -> list[str]:
    (folder / "a.jsonl").write_text('{"id": 1, "text": "a", "terms": {"1": 0.5}}\n')
    return ["a.jsonl"]


def write_csv(folder: Path) -> list[str]:
    (folder / "a.csv").write_text('id,text,terms\n1,a,"{""1"": 0.5}"\n')
    return ["a.csv"]


def write_numpy(folder: Path) -> list[str]:
    names: dict[str, Any] = {"id": [1], "text": ["a"], "terms": [0.5]}
    for name, values in names.items():
        np.save(folder / f"{name}.npy", np.array(values))
    return [f"{name}.npy" for name in names]


@pytest.mark.parametrize("write", [write_parquet, write_json, write_json_lines, write_csv, write_numpy])
def test_a_given_output_is_refused_with_milvus_words(world: World, write: Callable[[Path], list[str]]) -> None:
    world.collection("docs", schema())
    job = world.imported(write(world.files), collection="docs")
    assert job.state is JobState.FAILED
    assert "not allowed to provide data for BM25 function output field 'terms'" in (job.reason or "")
    assert "Leave the column out of the file" in (job.reason or "")
