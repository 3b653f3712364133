"""Whole batches: which columns there are, nulls and defaults, generated ids, partitions, warnings."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from penstock.domain.arrow_schema import canonical_schema
from penstock.domain.jobs import JobWarning
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.readers.base import RowBatch
from penstock.validation import Conformer
from tests.support.conforming import conform, float_vector, int64_key, row_batch

DOCS = CollectionSchema(fields=(int64_key(), float_vector()))
COLUMNS: dict[str, Any] = {
    "id": [1, 2],
    "vector": pa.array([[0.5, 1.0], [2.0, 4.0]], pa.list_(pa.float32())),
}


def with_field(field: Field) -> CollectionSchema:
    return CollectionSchema(fields=(*DOCS.fields, field))


def failure(schema: CollectionSchema, columns: dict[str, Any], first_row: int = 0) -> DataError:
    with pytest.raises(DataError) as caught:
        conform(schema, columns, first_row=first_row)
    return caught.value


def test_a_batch_becomes_canonical() -> None:
    made = conform(DOCS, {"vector": COLUMNS["vector"], "id": pa.array([1, 2], pa.int16())})
    assert made.schema.equals(canonical_schema(DOCS))
    assert made.to_pydict() == {"id": [1, 2], "vector": [[0.5, 1.0], [2.0, 4.0]], "__part": [1, 1]}


def test_a_canonical_vector_column_is_not_copied() -> None:
    vectors: Any = COLUMNS["vector"]
    made: Any = conform(DOCS, COLUMNS).column("vector")
    assert made.values.buffers()[1].address == vectors.values.buffers()[1].address


def test_an_empty_batch_needs_no_columns() -> None:
    made = conform(DOCS, {})
    assert made.num_rows == 0
    assert made.schema.equals(canonical_schema(DOCS))


def test_rows_are_counted_from_the_start_of_the_split() -> None:
    error = failure(DOCS, {"id": [1, 2], "vector": [[0.5, 1.0], [2.0]]}, first_row=1000)
    assert error.row == 1001
    assert str(error) == (
        "row 1001, field 'vector': the vector has 1 dimensions, the field has 2; value: [2.0]. "
        "All vectors of a field have one length: correct the row, or use a field of that dim."
    )


def test_a_missing_column_names_the_ones_there_are_and_the_nearest() -> None:
    error = failure(DOCS, {"id": [1], "Vector": [[0.5, 1.0]]})
    assert str(error) == (
        "field 'vector': value of field 'vector' is missed. "
        "The file's columns: id, Vector. Did you mean 'Vector'? Names must match exactly."
    )


def test_two_columns_of_one_name() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"])
    with pytest.raises(DataError, match="there is multi field with name: id"):
        Conformer(DOCS, [1]).conform(RowBatch(batch=batch, first_row=0, bytes_read=0))


def test_unknown_columns_are_dropped_with_a_warning() -> None:
    conformer = Conformer(DOCS, [1])
    for first_row in (0, 2):
        made = conformer.conform(row_batch({**COLUMNS, "extra": ["a", "b"]}, first_row))
        assert made.schema.names == ["id", "vector", "__part"]
    assert conformer.warnings == [
        JobWarning(code="column_dropped", message="column 'extra' is not in the schema and was dropped", count=4)
    ]


def test_a_cast_that_rounds_is_a_warning_and_one_that_does_not_is_none() -> None:
    conformer = Conformer(DOCS, [1])
    conformer.conform(row_batch({"id": pa.array([1, 2], pa.int8()), "vector": [[0.1, 0.2], [0.3, 0.4]]}))
    assert conformer.warnings == [
        JobWarning(code="column_cast", message="field 'vector': float64 values were narrowed to float32", count=2)
    ]


class TestNulls:
    rank = Field(name="rank", type=DataType.INT32)
    ranks = pa.array([7, None], pa.int32())

    def test_a_field_that_takes_none(self) -> None:
        error = failure(with_field(self.rank), {**COLUMNS, "rank": self.ranks})
        assert error.rule == "the field 'rank' is not nullable but the file contains null value"
        assert error.row == 1

    def test_a_nullable_field(self) -> None:
        field = Field(name="rank", type=DataType.INT32, nullable=True)
        made = conform(with_field(field), {**COLUMNS, "rank": self.ranks})
        assert made.column("rank").to_pylist() == [7, None]

    @pytest.mark.parametrize("nullable", [True, False])
    def test_a_default_wins_over_null(self, nullable: bool) -> None:
        field = Field(name="rank", type=DataType.INT32, default=3, nullable=nullable)
        made = conform(with_field(field), {**COLUMNS, "rank": self.ranks})
        assert made.column("rank").to_pylist() == [7, 3]

    def test_a_missing_column_becomes_default_or_null(self) -> None:
        for field, value in (
            (Field(name="rank", type=DataType.INT32, default=3), 3),
            (Field(name="tag", type=DataType.VARCHAR, max_length=9, default="x", nullable=True), "x"),
            (Field(name="rank", type=DataType.INT32, nullable=True), None),
            (Field(name="other", type=DataType.FLOAT16_VECTOR, dim=2, nullable=True), None),
            (Field(name="other", type=DataType.SPARSE_FLOAT_VECTOR, nullable=True), None),
        ):
            made = conform(with_field(field), COLUMNS)
            assert made.column(field.name).to_pylist() == [value, value]
            made.validate(full=True)

    @pytest.mark.parametrize("kind", [pa.null(), pa.string(), pa.float64()])
    def test_a_column_of_nulls_may_have_any_type(self, kind: pa.DataType) -> None:
        column = pa.array([None, None], kind)
        field = Field(name="rank", type=DataType.INT32, nullable=True)
        assert conform(with_field(field), {**COLUMNS, "rank": column}).column("rank").type == pa.int32()
        assert failure(with_field(self.rank), {**COLUMNS, "rank": column}).row == 0

    def test_nulls_inside_a_dictionary_are_nulls(self) -> None:
        column = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(["a", None]))
        field = Field(name="tag", type=DataType.VARCHAR, max_length=9, default="x")
        made = conform(with_field(field), {**COLUMNS, "tag": column})
        assert made.column("tag").to_pylist() == ["a", "x"]


class TestGeneratedIds:
    schema = CollectionSchema(fields=DOCS.fields, auto_id=True)
    vectors = row_batch({"vector": COLUMNS["vector"]}, first_row=10)

    def test_follow_from_the_split_and_the_row(self) -> None:
        made = Conformer(self.schema, [1], auto_id_start=500).conform(self.vectors)
        assert made.column("id").to_pylist() == [510, 511]

    def test_are_decimal_text_in_a_varchar_key(self) -> None:
        key = Field(name="id", type=DataType.VARCHAR, max_length=32, primary=True)
        schema = CollectionSchema(fields=(key, float_vector()), auto_id=True)
        made = Conformer(schema, [1], auto_id_start=500).conform(self.vectors)
        assert made.column("id").to_pylist() == ["510", "511"]

    def test_must_not_be_in_the_file(self) -> None:
        with pytest.raises(DataError) as caught:
            Conformer(self.schema, [1], auto_id_start=500).conform(row_batch(COLUMNS))
        assert str(caught.value) == (
            "row 0, field 'id': the primary key 'id' is auto-generated, no need to provide; value: 1. "
            "Leave the column out of the file, or out of the import (--drop id, option drop_columns), or use a "
            "collection whose ids are given (autoID off)."
        )

    def test_need_a_range(self) -> None:
        with pytest.raises(ValueError, match="auto_id_start"):
            Conformer(self.schema, [1])


class TestPartitions:
    key = Field(name="tenant", type=DataType.VARCHAR, max_length=50, partition_key=True)

    def test_the_partition_key_chooses_among_several(self) -> None:
        conformer = Conformer(with_field(self.key), range(100, 116))
        made = conformer.conform(row_batch({**COLUMNS, "tenant": ["", "red"]}))
        assert made.column("__part").to_pylist() == [100, 115]

    def test_one_partition_takes_all(self) -> None:
        made = Conformer(with_field(self.key), [7]).conform(row_batch({**COLUMNS, "tenant": ["", "red"]}))
        assert made.column("__part").to_pylist() == [7, 7]

    @pytest.mark.parametrize("partitions", [[], [1, 2]])
    def test_several_need_a_key(self, partitions: list[int]) -> None:
        with pytest.raises(ValueError, match="partition key"):
            Conformer(DOCS, partitions)


class TestDynamicField:
    schema = CollectionSchema(fields=DOCS.fields, dynamic=True)

    def meta(self, column: Any) -> list[str]:
        made: Any = conform(self.schema, {**COLUMNS, "$meta": column}).column("$meta").to_pylist()
        return list(made)

    def test_absent_means_an_empty_object(self) -> None:
        assert conform(self.schema, COLUMNS).column("$meta").to_pylist() == ["{}", "{}"]

    def test_nulls_mean_empty_objects(self) -> None:
        assert self.meta(['{"a": 1}', None]) == ['{"a": 1}', "{}"]
        assert self.meta(["null", '{"a": 1}']) == ["{}", '{"a": 1}']
        assert self.meta(pa.nulls(2)) == ["{}", "{}"]

    def test_structs_become_text(self) -> None:
        assert self.meta([{"a": 1}, {"a": 2}]) == ['{"a":1}', '{"a":2}']

    @pytest.mark.parametrize("text", ["[1]", "1", '"x"'])
    def test_anything_but_an_object_is_refused(self, text: str) -> None:
        error = failure(self.schema, {**COLUMNS, "$meta": ["{}", text]})
        assert error.rule == "illegal value for dynamic field, not a JSON object"
        assert (error.row, error.value) == (1, text)

    def test_a_key_that_is_a_field_is_refused(self) -> None:
        error = failure(self.schema, {**COLUMNS, "$meta": ["{}", '{"id": 1}']})
        assert error.rule == "duplicated key is not allowed, key=id"

    def test_other_columns_are_dropped_and_the_warning_tells_how_to_keep_them(self) -> None:
        conformer = Conformer(self.schema, [1])
        conformer.conform(row_batch({**COLUMNS, "colour": ["red", "blue"]}))
        assert [warning.message for warning in conformer.warnings] == [
            "column 'colour' is not in the schema and was dropped; to keep it, put it into a '$meta' column of JSON"
        ]
