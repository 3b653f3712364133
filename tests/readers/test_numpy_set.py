"""Checks of NumPy sets by the names of their files, before any is opened."""

from __future__ import annotations

import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import ImportRefused
from penstock.readers.numpy_set import NUMPY_SET, field_of
from tests.support.text_files import ID, VECTOR, schema_of

OPTIONAL = schema_of(
    Field(name="note", type=DataType.VARCHAR, max_length=9, nullable=True),
    Field(name="count", type=DataType.INT32, default=0),
)


def test_a_file_is_named_as_its_field() -> None:
    assert [field_of(name) for name in ("id.npy", "s3://bucket/a.b/vector.npy", "$meta.npy")] == [
        "id",
        "vector",
        "$meta",
    ]


def test_a_set_needs_a_file_for_each_field_without_null_and_default() -> None:
    NUMPY_SET.check(["x/id.npy", "x/vector.npy"], OPTIONAL)
    with pytest.raises(ImportRefused, match=r"has 1 files .* 2 required fields; missing: vector\.npy") as raised:
        NUMPY_SET.check(["x/id.npy"], OPTIONAL)
    assert raised.value.details == {"rule": "numpy_fields", "missing": ["vector"]}
    NUMPY_SET.check(["vector.npy"], CollectionSchema(fields=(ID, VECTOR), auto_id=True))


def test_the_files_of_one_set_listed_as_inputs_are_refused() -> None:
    with pytest.raises(ImportRefused, match=r'one list: \[\["id\.npy", "vector\.npy"\]\]'):
        NUMPY_SET.check_inputs([["id.npy"], ["vector.npy"]], OPTIONAL)
    NUMPY_SET.check_inputs([["a/id.npy", "a/vector.npy"], ["b/id.npy", "b/vector.npy"]], OPTIONAL)
    NUMPY_SET.check_inputs([["id.npy"], ["note.npy"]], OPTIONAL)
