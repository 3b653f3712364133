"""Columns of Python objects, NumPy arrays and pandas frames: what becomes of their values."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.bulk_writer import LocalBulkWriter
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from tests.bulk_writer.test_refusals import GOOD, SCHEMA
from tests.readers.test_text_round_trip import texts, values
from tests.support.bulk_files import read_files
from tests.support.examples import examples


@pytest.mark.parametrize("columns", [{1: [1], "1": [2]}, {"a": [1], "b": [2]}])
def test_columns_of_one_name_are_refused(tmp_path: Path, columns: dict[Any, Any]) -> None:
    collection = CollectionSchema(fields=SCHEMA.fields[:2], dynamic=True)
    data: Any = {"id": [1], "vector": np.zeros((1, 2)), **columns}
    if "a" in columns:
        pandas = pytest.importorskip("pandas")
        data = pandas.DataFrame({**data, "vector": [[0.0, 0.0]]}).rename(columns={"b": "a"})
    with (
        LocalBulkWriter(collection, tmp_path) as writer,
        pytest.raises(DataError, match="2 columns with the name"),
    ):
        writer.append_batch(data)


@pytest.mark.parametrize(
    "values", [np.zeros(1, "c8"), np.zeros(1, "g"), np.zeros(1, [("a", "i4")]), np.zeros((1, 2), "g")]
)
def test_arrays_of_types_that_arrow_lacks_are_refused(tmp_path: Path, values: Any) -> None:
    collection = CollectionSchema(fields=SCHEMA.fields[:2], dynamic=True)
    with LocalBulkWriter(collection, tmp_path) as writer:
        with pytest.raises(DataError, match="can't be converted") as caught:
            writer.append_batch({"id": [1], "vector": np.zeros((1, 2)), "x": values})
        assert caught.value.field == "x"


@pytest.mark.parametrize(
    ("column", "values", "text"),
    [
        ("vector", [[0.5, 1.0], [0.5, True]], "the value is list, the field is FloatVector(2)"),
        ("weight", [0.5, True], "the value is bool, the field is Float"),
        ("half", [[0.5, 1.0], (0.5, False)], "the value is tuple, the field is Float16Vector(2)"),
        ("list", [[1], {1, 2}], "the value is set"),
        ("vector", [[0.5, 1.0], {0.5, 1.0}], "the value is set"),
        ("tag", ["a", "\ud800"], "the column's values are not of one type"),
        ("tag", [None, np.datetime64("2020-01-01")], "the column's values are not of one type"),
    ],
)
def test_columns_of_objects_that_arrow_would_change_are_refused(
    tmp_path: Path, column: str, values: list[Any], text: str
) -> None:
    data: Any = {"id": [1, 2], "vector": [[0.5, 1.0]] * 2, column: values}
    with LocalBulkWriter(SCHEMA, tmp_path) as writer, pytest.raises(DataError, match=re.escape(text)) as caught:
        writer.append_batch(data)
    assert caught.value.field == column
    assert caught.value.row in (1, None)


@settings(max_examples=examples(20, 300), deadline=None)
@given(st.lists(st.tuples(values, st.dictionaries(texts, values, max_size=2)), min_size=1, max_size=4))
@example([({"a": 1}, {"a": 1}), ({"b": 0.5}, {"b": 2})])
@example([([0.5, True, 2**53 + 1], {}), ([1], {})])
@example([(2**64 - 1, {}), (-1, {}), (None, {}), ("{}", {}), (True, {}), (0.5, {})])
def test_dynamic_values_in_columns_are_those_in_rows(data: list[tuple[Any, dict[str, Any]]]) -> None:
    collection = CollectionSchema(fields=SCHEMA.fields[:2], dynamic=True)
    metas = [{f"{key}_": value for key, value in meta.items()} for _, meta in data]
    dynamic = [value for value, _ in data]
    with tempfile.TemporaryDirectory() as folder:
        with LocalBulkWriter(collection, folder) as rows, LocalBulkWriter(collection, folder) as columns:
            for value, meta in zip(dynamic, metas, strict=True):
                # Null in a column is no value.
                rows.append_row({**GOOD, "$meta": meta, **({} if value is None else {"x": value})})
            ids = [GOOD["id"]] * len(data)
            vectors = [GOOD["vector"]] * len(data)
            columns.append_batch({"id": ids, "vector": vectors, "$meta": metas, "x": dynamic})
        one, other = (
            [_parts(row["$meta"]) for row in read_files(writer.batch_files, collection)] for writer in (rows, columns)
        )
    assert one == other


def test_dynamic_dicts_of_any_class_keep_their_own_keys(tmp_path: Path) -> None:
    collection = CollectionSchema(fields=SCHEMA.fields[:2], dynamic=True)
    with LocalBulkWriter(collection, tmp_path) as writer:
        writer.append_batch({"id": [1, 2], "vector": np.zeros((2, 2)), "words": [Counter("a"), Counter("bb")]})
    metas = [json.loads(row["$meta"]) for row in read_files(writer.batch_files, collection)]
    assert metas == [{"words": {"a": 1}}, {"words": {"b": 2}}]


def _parts(text: str) -> list[str]:
    """The keys and values of an object; 1, 1.0 and true are different."""
    return sorted(map(repr, json.loads(text).items()))


def test_missing_values_of_pandas_are_nulls(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    collection = CollectionSchema(
        fields=(*SCHEMA.fields[:4], SCHEMA["weight"], Field(name="at", type=DataType.TIMESTAMPTZ, nullable=True)),
        dynamic=True,
    )
    frame = pandas.DataFrame(
        {
            "id": [1, 2],
            "vector": [[0.5, 1.0]] * 2,
            "tag": pandas.array(["a", None], dtype="string"),
            "small": pandas.Series([1, pandas.NA], dtype=object),
            "weight": pandas.arrays.SparseArray([0.5, float("nan")]),
            "at": [pandas.Timestamp("2020-01-01"), pandas.NA],
            "x": pandas.to_datetime(["2020-01-01", None]),
        }
    )
    with LocalBulkWriter(collection, tmp_path) as writer:
        writer.append_batch(frame)
    row = read_files(writer.batch_files, collection)[1]
    assert [row[name] for name in ("tag", "small", "weight", "at", "$meta")] == [None, None, None, None, "{}"]


def test_texts_of_arrays_keep_what_follows_a_nul(tmp_path: Path) -> None:
    with LocalBulkWriter(SCHEMA, tmp_path) as writer:
        writer.append_batch({"id": [1, 2], "vector": np.zeros((2, 2)), "tag": np.array(["a\0b", "c"])})
    assert [row["tag"] for row in read_files(writer.batch_files, SCHEMA)] == ["a\0b", "c"]


@pytest.mark.parametrize("values", ["ab", b"ab", {"a": 1, "b": 2}, {1, 2}, 5])
def test_what_has_no_value_per_row_is_no_column(tmp_path: Path, values: Any) -> None:
    with (
        LocalBulkWriter(SCHEMA, tmp_path) as writer,
        pytest.raises(DataError, match="one value per row") as caught,
    ):
        writer.append_batch({"id": [1, 2], "vector": [[0.5, 1.0]] * 2, "tag": values})
    assert caught.value.field == "tag"
