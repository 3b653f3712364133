"""Avro files: a few bytes can't decode to any number of values, nor to any depth of them."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.readers.avro import AVRO
from penstock.readers.base import ReadRequest, plan_at_once
from penstock.readers.columnar import ColumnarReader
from tests.support.in_memory import BytesSource

SCHEMA = CollectionSchema(fields=(Field(name="id", type=DataType.INT64, primary=True),))
LINK = {"type": "record", "name": "Link", "fields": [{"name": "next", "type": ["null", "Link"]}]}
EMPTY = {"type": "record", "name": "Empty", "fields": []}


def whole_number(number: int) -> bytes:
    """A number as Avro writes it."""
    number <<= 1
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def avro_file(other: Any, value: bytes) -> bytes:
    """A file of one row: the key 1, and ``value`` in a column of the type ``other`` that no collection needs."""
    fields = [{"name": "id", "type": "long"}, {"name": "other", "type": other}]
    file = io.BytesIO()
    fastavro.writer(file, {"type": "record", "name": "Row", "namespace": "test", "fields": fields}, [])
    header = file.getvalue()
    row = whole_number(1) + value
    return header + whole_number(1) + whole_number(len(row)) + row + header[-16:]


def rows(content: bytes) -> int:
    request = ReadRequest(sources=[BytesSource("a.avro", content)], schema=SCHEMA, batch_bytes=1 << 20)
    plans = plan_at_once(AVRO.reader, request, 1 << 20)
    return sum(batch.batch.num_rows for plan in plans for batch in AVRO.reader.read(request, plan.spec))


def test_a_type_that_contains_itself_is_refused() -> None:
    """The library calls itself for each level, and the process ended by a segmentation fault."""
    with pytest.raises(DataError, match=r"'a.avro'.*'test.Link' contains itself"):
        rows(avro_file(LINK, whole_number(1) * 20_000 + whole_number(0)))


@pytest.mark.parametrize(
    "element", ["null", {"type": "null"}, EMPTY, {"type": "fixed", "name": "Nothing", "size": 0}], ids=str
)
def test_elements_that_take_no_bytes_are_refused(element: Any) -> None:
    """A count of a few bytes claims any number of them."""
    with pytest.raises(DataError, match="elements take no bytes"):
        rows(avro_file({"type": "array", "items": element}, whole_number(1 << 40) + whole_number(0)))


def test_records_that_multiply_nulls_are_refused() -> None:
    """Each of thirty records has the one before twice: a row would have a billion nulls."""
    types: Any = "null"
    for number in range(30):
        first = {"name": "first", "type": types}
        second = {"name": "second", "type": types if isinstance(types, str) else types["name"]}
        types = {"type": "record", "name": f"Pair{number}", "fields": [first, second]}
    with pytest.raises(DataError, match="take no bytes"):
        rows(avro_file(types, b""))


@pytest.mark.parametrize(
    ("other", "value"),
    [
        ("null", b""),
        (EMPTY, b""),
        (
            {"type": "array", "items": {"type": "record", "name": "A", "fields": [{"name": "b", "type": "int"}]}},
            b"\0",
        ),
        ({"type": "map", "values": "null"}, b"\0"),
        (["null", {"type": "enum", "name": "E", "symbols": ["A"]}], whole_number(1) + whole_number(0)),
        ({"type": "fixed", "name": "F", "size": 2}, b"ab"),
    ],
    ids=str,
)
def test_other_types_of_columns_that_are_left_out_are_read_past(other: Any, value: bytes) -> None:
    assert rows(avro_file(other, value)) == 1


def test_a_batch_of_long_rows_is_bounded() -> None:
    fields = [{"name": "id", "type": "long"}, {"name": "other", "type": "bytes"}]
    file = io.BytesIO()
    written = [{"id": number, "other": bytes(100_000)} for number in range(300)]
    fastavro.writer(file, {"type": "record", "name": "Row", "fields": fields}, written)
    request = ReadRequest(sources=[BytesSource("a.avro", file.getvalue())], schema=SCHEMA, batch_bytes=1 << 30)
    reader = AVRO.reader
    assert isinstance(reader, ColumnarReader)
    with reader.open_file(request) as opened:
        batches = list(opened.batches(0, ["id", "other"]))
    assert max(batch.nbytes for batch in batches) < 5 << 20
    assert [key for batch in batches for key in batch["id"].to_pylist()] == list(range(300))
