"""Files of vectors alone: fvecs, ivecs, bvecs and fbin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.readers.base import ReadRequest
from penstock.readers.vector_files import FVECS
from tests.readers.test_column_formats import SCHEMA, failure, read_bytes
from tests.support.column_files import VECTOR_FILES
from tests.support.in_memory import BytesSource

VECTORS = np.arange(300).reshape(100, 3) % 250
KEY = Field(name="id", type=DataType.INT64, primary=True)
ALONE = CollectionSchema(fields=(KEY, Field(name="any", type=DataType.FLOAT_VECTOR, dim=3)), auto_id=True)


@pytest.mark.parametrize("extension", VECTOR_FILES)
@pytest.mark.parametrize("split_bytes", [1 << 30, 100])
def test_vectors_are_those_of_the_only_vector_field(extension: str, split_bytes: int) -> None:
    found = read_bytes(f"a.{extension}", VECTOR_FILES[extension](VECTORS), ALONE, split_bytes=split_bytes)
    assert [row["any"] for row in found.rows] == VECTORS.tolist()
    assert (found.ranges > 1) == (split_bytes == 100)


def test_of_several_vector_fields_one_is_named_vector() -> None:
    two = (Field(name="vector", type=DataType.FLOAT_VECTOR, dim=3), *ALONE.fields)
    content = VECTOR_FILES["fvecs"](VECTORS)
    error = failure("a.fvecs", content, CollectionSchema(fields=two, auto_id=True))
    assert (error.rule, error.field) == ("value of field 'any' is missed", "any")
    other = (Field(name="other", type=DataType.FLOAT_VECTOR, dim=3), *ALONE.fields)
    error = failure("a.fvecs", content, CollectionSchema(fields=other, auto_id=True))
    assert error.remedy is not None
    assert "dense vector fields: other, any" in error.remedy


def test_keys_must_be_generated() -> None:
    error = failure("a.fvecs", VECTOR_FILES["fvecs"](VECTORS), SCHEMA)
    assert (error.field, error.rule) == ("id", "value of field 'id' is missed")
    assert error.remedy is not None
    assert "create the collection with autoId" in error.remedy


def test_a_vector_of_another_dimension_is_named() -> None:
    content = bytearray(VECTOR_FILES["fvecs"](VECTORS))
    content[40 * 16] = 4
    error = failure("a.fvecs", bytes(content), ALONE)
    assert (error.row, error.rule) == (40, "the vector has the dimension 4, the first has 3")


def test_a_batch_of_several_blocks() -> None:
    vectors = np.arange(20_000 * 30).reshape(20_000, 30) % 250
    schema = CollectionSchema(fields=(KEY, Field(name="any", type=DataType.FLOAT_VECTOR, dim=30)), auto_id=True)

    def read(content: bytes, start: int, stop: int) -> list[Any]:
        request = ReadRequest(sources=[BytesSource("a.fvecs", content)], schema=schema, batch_bytes=1 << 30)
        (batch,) = FVECS.reader.read(request, {"rows": [start, stop]})
        return batch.batch.column("any").to_pylist()

    content = VECTOR_FILES["fvecs"](vectors)
    assert read(content, 0, 20_000) == vectors.tolist()
    assert read(content, 100, 9_000) == vectors[100:9_000].tolist()
    changed = bytearray(content)
    changed[7_000 * 31 * 4 + 2] = 1
    with pytest.raises(DataError, match="the dimension 65566, the first has 30") as caught:
        read(bytes(changed), 100, 9_000)
    assert caught.value.row == 6_900


@pytest.mark.parametrize("extension", VECTOR_FILES)
def test_files_that_are_cut_or_of_another_kind_are_refused(extension: str) -> None:
    content = VECTOR_FILES[extension](VECTORS)
    for other in (content[:-1], content[:3], b"\0" * 100, b"\xff" * 100, b'{"a": 1}' * 100):
        assert (
            failure(f"a.{extension}", other, ALONE).remedy == "Check its extension, copy it again, or write it again"
        )


def test_a_file_without_vectors() -> None:
    assert read_bytes("a.fvecs", b"", ALONE).rows == []
    assert read_bytes("a.fbin", np.array([0, 3], "<u4").tobytes(), ALONE).rows == []
