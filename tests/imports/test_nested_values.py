"""A path into JSON texts: they are parsed many at once, with the values and errors of each alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.imports import nested_values
from penstock.imports.nested_values import take_from_texts, take_from_unchecked_texts
from penstock.readers.columns.row_builder import make_column
from penstock.rules.json_texts import check_json_texts
from tests.support.examples import examples

FIELDS: Mapping[str, Field] = {
    "numbers": Field(name="f", type=DataType.INT64, nullable=True),
    "text": Field(name="f", type=DataType.VARCHAR, max_length=5, nullable=True),
    "vectors": Field(name="f", type=DataType.FLOAT_VECTOR, dim=2, nullable=True),
    "arrays": Field(name="f", type=DataType.ARRAY, element_type=DataType.INT64, max_capacity=3, nullable=True),
    "JSON": Field(name="f", type=DataType.JSON, nullable=True),
}
TEXTS = [
    None,
    "null",
    "5",
    '{"a": 1}',
    '{"a": {"b": [2, 3]}}',
    '{"a": {"b": "text"}}',
    '{"a": {"b": [1, 2], "c": [[1]]}}',
    '{"a": {"b": [[1], [2]]}}',
    '{"a": {"b": 123456789012345678901234567890}}',
    '{"a": {"b": "too long for it"}}',
]
BROKEN = ["", "{", "1, 2", "[1", "2]", '{"a": 1}, {"a": 2}', '{"a": [1', "]}", '"']
STEPS: Sequence[Sequence[str | int]] = [["a"], ["a", "b"], ["a", "b", 0], ["a", "b", 0, 0], ["x"]]


def outcome(take: Any) -> Any:
    try:
        return take().to_pylist()
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("kind", FIELDS)
@settings(max_examples=examples(60, 2_000), deadline=None)
@given(
    texts=st.lists(st.sampled_from(TEXTS) | st.sampled_from([*TEXTS, *BROKEN]), max_size=12),
    steps=st.sampled_from(STEPS),
    chunk=st.sampled_from([1, 40, 1000]),
)
def test_values_are_those_of_each_text_alone(
    kind: str, texts: list[str | None], steps: Sequence[str | int], chunk: int
) -> None:
    field, column = FIELDS[kind], pa.array(texts, pa.string())

    def one_by_one() -> Any:
        builder = make_column(field, len(texts), lambda *_: None)
        nested_values._add_one_by_one(builder, field, steps, column, 0)
        return builder.take()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nested_values, "_CHUNK_BYTES", chunk)
        found = outcome(lambda: take_from_texts(column, steps, field, lambda *_: None))

    assert found == outcome(one_by_one)


DOUBTFUL = [
    '{"a": 1, "a": 2}',
    '{"a": null, "a": 3}',
    '{"a": 1, "\\u0061": 2}',
    '{"b": "\\"a\\"", "a": 4}',
    '{"a": {"b": 1, "b": [7]}, "b": 2}',
    '{"a": [1e999]}',
    '{"a": 5, "x": ' + "[" * 200 + "]" * 200 + "}",
    '{"a": 6, "x": "' + "x" * 70_000 + '"}',
]


@pytest.mark.parametrize("kind", FIELDS)
@settings(max_examples=examples(60, 2_000), deadline=None)
@given(
    texts=st.lists(st.sampled_from(TEXTS) | st.sampled_from([*TEXTS, *BROKEN, *DOUBTFUL]), max_size=12),
    steps=st.sampled_from(STEPS),
)
def test_unchecked_texts_have_the_values_and_errors_of_checked_ones(
    kind: str, texts: list[str | None], steps: Sequence[str | int]
) -> None:
    field, source, column = FIELDS[kind], FIELDS["JSON"], pa.array(texts, pa.string())
    notes: list[list[tuple[str, int]]] = [[], []]

    def sink(number: int) -> Any:
        return lambda what, rows: notes[number].append((what, rows))

    found = outcome(lambda: take_from_unchecked_texts(column, steps, field, source, sink(0)))

    def checked() -> Any:
        return take_from_texts(check_json_texts(column, source, sink(1)), steps, field, sink(1))

    assert found == outcome(checked)
    if not isinstance(found, str):
        assert notes[0] == notes[1]


def test_texts_that_are_json_together_only_are_no_json() -> None:
    column = pa.array(['{"a": 1}', "1], [2", "[[3", "4]]", '{"a": 5}'], pa.string())

    with pytest.raises(DataError, match=r"row 1.*invalid JSON"):
        take_from_texts(column, ["a"], FIELDS["numbers"], lambda *_: None)


def test_the_first_bad_row_is_named_whatever_finds_it() -> None:
    column = pa.array(['{"a": "too long"}', '{"a": {}}', '{"a": {}}'], pa.string())

    with pytest.raises(DataError, match=r"row 0.*exceeds max_length") as refused:
        take_from_texts(column, ["a"], FIELDS["text"], lambda *_: None)
    assert refused.value.row == 0

    with pytest.raises(DataError, match=r"row 0.*the value is object"):
        take_from_texts(column[1:], ["a"], FIELDS["text"], lambda *_: None)


def test_a_slice_of_a_column_has_its_own_values() -> None:
    column = pa.array([f'{{"a": {row}}}' for row in range(100)], pa.string()).slice(20, 30)

    taken = take_from_texts(column, ["a"], FIELDS["numbers"], lambda *_: None)

    assert taken.to_pylist() == list(range(20, 50))
