"""Whatever encoding a file chose, and wherever in a larger array the values stand: the same values arrive."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.schema import DataType, Field
from tests.support.conforming import conform_column
from tests.support.examples import examples

SCALARS: dict[DataType, tuple[st.SearchStrategy[Any], list[Any]]] = {
    DataType.INT8: (
        st.integers(-128, 127),
        [pa.int8(), pa.int16(), pa.int64(), pa.float16(), pa.float32(), pa.float64(), pa.decimal128(22, 2)],
    ),
    DataType.INT64: (st.integers(-(2**63), 2**63 - 1), [pa.int64(), pa.decimal128(25, 0)]),
    DataType.INT32: (st.integers(0, 2**31 - 1), [pa.uint32(), pa.uint64(), pa.int64(), pa.float64()]),
    DataType.FLOAT: (
        st.floats(width=16, allow_nan=False, allow_infinity=False),
        [pa.float16(), pa.float32(), pa.float64()],
    ),
    DataType.DOUBLE: (
        st.floats(width=32, allow_nan=False, allow_infinity=False),
        [pa.float32(), pa.float64()],
    ),
    DataType.BOOL: (st.booleans(), [pa.bool_()]),
    DataType.VARCHAR: (
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=5),
        [
            pa.string(),
            pa.large_string(),
            pa.string_view(),
            pa.binary(),
            pa.large_binary(),
            pa.binary_view(),
            pa.dictionary(pa.int16(), pa.string()),
            pa.dictionary(pa.int16(), pa.string_view()),
        ],
    ),
}

DENSE: dict[DataType, tuple[st.SearchStrategy[Any], list[Any]]] = {
    DataType.FLOAT_VECTOR: (
        st.floats(width=16, allow_nan=False, allow_infinity=False),
        [pa.float16(), pa.float32(), pa.float64()],
    ),
    DataType.FLOAT16_VECTOR: (
        st.floats(width=16, allow_nan=False, allow_infinity=False),
        [pa.float16(), pa.float32(), pa.float64()],
    ),
    DataType.BFLOAT16_VECTOR: (st.integers(-256, 256).map(float), [pa.float16(), pa.float32(), pa.float64()]),
    DataType.INT8_VECTOR: (st.integers(-128, 127), [pa.int8(), pa.int16(), pa.int64(), pa.float32()]),
    DataType.BINARY_VECTOR: (st.integers(0, 255), [pa.uint8(), pa.int16(), pa.int64()]),
}


def encode(values: list[Any], kind: Any) -> Any:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        values = [None if value is None else value.encode() for value in values]
    if pa.types.is_float16(kind):
        values = [None if value is None else np.float16(value) for value in values]
    if pa.types.is_dictionary(kind):
        encoded = pa.array(values, pa.string()).dictionary_encode()
        return pa.DictionaryArray.from_arrays(encoded.indices, encoded.dictionary.cast(kind.value_type))
    if pa.types.is_decimal(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)


def list_kinds(element: Any, width: int | None) -> list[Any]:
    kinds = [pa.list_(element), pa.large_list(element), pa.list_view(element), pa.large_list_view(element)]
    return [*kinds, pa.list_(element, width)] if width else kinds


@st.composite
def slices(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> tuple[list[Any], slice]:
    """Values of a whole column, with nulls, and the part of it that is conformed."""
    column = draw(st.lists(st.none() | values, min_size=1, max_size=12))
    start = draw(st.integers(0, len(column) - 1))
    return column, slice(start, draw(st.integers(start + 1, len(column))))


@given(st.data())
@settings(max_examples=examples(60, 200), deadline=None)
def test_scalars(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(SCALARS)))
    values, encodings = SCALARS[kind]
    column, part = data.draw(slices(values))
    array = encode(column, data.draw(st.sampled_from(encodings)))
    field = Field(name="x", type=kind, max_length=100, nullable=True)
    assert conform_column(array[part], field).to_pylist() == column[part]


@given(st.data())
@settings(max_examples=examples(50, 150), deadline=None)
def test_arrays(data: st.DataObject) -> None:
    element = data.draw(st.sampled_from(list(SCALARS)))
    values, encodings = SCALARS[element]
    column, part = data.draw(slices(st.lists(values, max_size=4)))
    encoding = data.draw(
        st.sampled_from([encoding for encoding in encodings if not pa.types.is_dictionary(encoding)])
    )
    flat = encode([each for row in column for each in row or []], encoding)
    array = lists_of(flat, column, data.draw(st.sampled_from(list_kinds(encoding, None))))
    field = Field(name="x", type=DataType.ARRAY, element_type=element, max_length=100, max_capacity=4, nullable=True)
    assert conform_column(array[part], field).to_pylist() == column[part]


@given(st.data())
@settings(max_examples=examples(50, 150), deadline=None)
def test_dense_vectors(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(DENSE)))
    values, encodings = DENSE[kind]
    width = 3
    column, part = data.draw(slices(st.lists(values, min_size=width, max_size=width)))
    encoding = data.draw(st.sampled_from(encodings))
    flat = encode([each for row in column for each in row or []], encoding)
    array = lists_of(flat, column, data.draw(st.sampled_from(list_kinds(encoding, width))))
    field = Field(name="x", type=kind, dim=24 if kind is DataType.BINARY_VECTOR else width, nullable=True)
    assert conform_column(array[part], field).to_pylist() == column[part]


@given(slices(st.dictionaries(st.integers(0, 2**32 - 2), st.floats(0, 100, width=16), max_size=4)), st.booleans())
@settings(max_examples=examples(40, 100), deadline=None)
def test_sparse_vectors(drawn: tuple[list[Any], slice], as_text: bool) -> None:
    column, part = drawn
    if as_text:
        array: Any = pa.array([json.dumps(each) for each in column])
    else:
        kind = pa.struct([("indices", pa.large_list(pa.uint64())), ("values", pa.list_(pa.float64()))])
        rows = [each if each is None else {"indices": list(each), "values": list(each.values())} for each in column]
        array = pa.array(rows, kind)
    made = conform_column(array[part], Field(name="x", type=DataType.SPARSE_FLOAT_VECTOR, nullable=True))
    assert made.to_pylist() == [
        each if each is None else {"indices": sorted(each), "values": [each[at] for at in sorted(each)]}
        for each in column[part]
    ]


JSON_VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('aé"\\'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=5,
)


@given(slices(JSON_VALUES))
@settings(max_examples=examples(40, 100), deadline=None)
def test_json(drawn: tuple[list[Any], slice]) -> None:
    column, part = drawn
    texts = [None if each is None else json.dumps(each) for each in column]
    made = conform_column(
        pa.array(texts, pa.large_string())[part], Field(name="x", type=DataType.JSON, nullable=True)
    )
    assert made.to_pylist() == texts[part]


def lists_of(flat: Any, column: list[Any], kind: Any) -> Any:
    """``column`` as lists of ``kind`` whose elements, already encoded, are ``flat``."""
    mask: Any = pa.array([each is None for each in column])
    lengths = np.array([len(each or []) for each in column], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    make: Any
    if pa.types.is_fixed_size_list(kind):
        # Arrow keeps elements under a null as well: null ones here.
        places = starts[:, None] + np.arange(kind.list_size)
        hidden = np.repeat(mask.to_numpy(zero_copy_only=False), kind.list_size)
        values = flat.take(pa.array(places.reshape(-1), mask=hidden))
        make = pa.FixedSizeListArray
        return make.from_arrays(values, type=kind, mask=mask)
    if pa.types.is_list(kind):
        return pa.ListArray.from_arrays(offsets(lengths, pa.int32()), flat, type=kind, mask=mask)
    if pa.types.is_large_list(kind):
        return pa.LargeListArray.from_arrays(offsets(lengths, pa.int64()), flat, type=kind, mask=mask)
    make, index = (
        (pa.ListViewArray, pa.int32()) if pa.types.is_list_view(kind) else (pa.LargeListViewArray, pa.int64())
    )
    return make.from_arrays(pa.array(starts, index), pa.array(lengths, index), flat, type=kind, mask=mask)


def offsets(lengths: Any, kind: Any) -> Any:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), kind)
