"""The bytes of Arrow values once they are decoded: slices count what they hold, and not what they share."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from penstock.readers.shared_values import decoded_bytes


def runs_of(values: Any) -> Any:
    return pa.RunEndEncodedArray.from_arrays(pa.array(range(1, len(values) + 1), pa.int32()), values)


TEXTS = pa.array(["a" * 1_000, None, "bb"] * 1_000)
ENCODED: dict[str, Any] = {
    "dictionary": TEXTS.dictionary_encode(),
    "dictionary of views": pa.DictionaryArray.from_arrays(
        pa.array([0, None, 1] * 1_000, pa.int32()), pa.array(["a" * 1_000, "bb"], pa.string_view())
    ),
    "runs": runs_of(TEXTS),
    "views": TEXTS.cast(pa.string_view()),
    "bytes": TEXTS.cast(pa.binary_view()),
    "structs": pa.StructArray.from_arrays([TEXTS.dictionary_encode()], ["text"]),
    "lists": pa.ListArray.from_arrays(pa.array(range(3_001), pa.int32()), TEXTS.dictionary_encode()),
    "plain": TEXTS,
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_a_slice_has_the_bytes_of_its_own_rows(encoding: str) -> None:
    batch = pa.record_batch({"text": ENCODED[encoding]})
    assert 1_002_000 <= decoded_bytes(batch) < 1_002_000 + 30 * 3_000
    assert 2_004 <= decoded_bytes(batch.slice(1_500, 6)) < 2_004 + 30 * 6
    assert decoded_bytes(batch.slice(1, 1)) < 50
    assert decoded_bytes(batch.slice(0, 0)) < 10


def test_numbers_of_a_dictionary_and_of_runs_are_counted_one_by_one() -> None:
    numbers = pa.array([1.5, 2.5] * 500)
    for encoded in (numbers.dictionary_encode(), runs_of(numbers)):
        batch = pa.record_batch({"number": encoded})
        assert decoded_bytes(batch.slice(0, 100)) in (800, 1_200)


def test_views_of_lists_have_the_bytes_of_their_elements() -> None:
    vectors = pa.array([[1.0, 2.0]] * 1_000, pa.list_view(pa.float32()))
    batch = pa.record_batch({"vector": vectors})
    assert decoded_bytes(batch.slice(990, 10)) == 10 * (2 * 4 + 8)
