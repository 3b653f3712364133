"""What holds for large filters: they are refused, or the engine evaluates them and lives."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from typing import Any

import pyarrow as pa

from penstock.domain.arrow_schema import canonical_schema
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.lance import LanceEngine
from penstock.engines.values import Table
from penstock.errors import InvalidFilter
from penstock.filters import parse
from tests.support.tables import import_rows, new_table

__all__ = ["evaluate_long_filter"]

_SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="int64", type=DataType.INT64, nullable=True),
        Field(name="text", type=DataType.VARCHAR, max_length=64, nullable=True),
        Field(name="json", type=DataType.JSON, nullable=True),
        Field(name="tags", type=DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=4, max_length=16),
        Field(name="counts", type=DataType.ARRAY, element_type=DataType.INT16, max_capacity=4, nullable=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
    ),
    dynamic=True,
)
_REPEATED = (
    "json['a'] == [{}]",
    "json['a'] != [{}]",
    "json_contains(json['a'], [{}])",
    "json_contains_any(json['a'], [{}])",
    "not json_contains_all(json['a'], [{}])",
    "array_contains_all(counts, [{}])",
    "array_contains_any(tags, [{}])",
    "json['a'] in [{}]",
    "int64 not in [{}]",
    "text in [{}]",
)
"""What takes a list; the further choices join conditions, or make a pattern."""


def evaluate_long_filter(data: bytes) -> None:
    """A filter of up to half a million repeated pieces is refused, or evaluated by the engine, which lives.

    The first byte chooses what is repeated, the second how often (in powers of two) and whether it is a template's
    value, the rest is the piece.
    """
    if len(data) < 3:
        return
    choice, times, piece = data[0], 1 << data[1] % 20, data[2:].decode(errors="replace")
    params: dict[str, Any] = {}
    if choice % 16 < len(_REPEATED):
        text = _REPEATED[choice % 16].format(", ".join([piece] * times))
        if data[1] >= 128:
            text = _REPEATED[choice % 16].replace("[{}]", "{values}")
            params = {"values": [*range(times // 2), *[piece] * (times // 2)]}
    elif choice % 16 == 10:
        deep: Any = piece
        for _ in range(min(times, 50_000)):
            deep = [deep]
        text, params = "json['a'] == {values}", {"values": deep}
    elif choice % 16 == 11:
        text, params = "text like {values}", {"values": piece * times}
    elif choice % 16 == 12:
        text, params = "not (json['a'] like {values})", {"values": piece * times}
    else:
        text = (" or ", " and ", "[0]")[choice % 16 - 13].join([piece] * times)
    try:
        tree = parse(text[: 1 << 22], _SCHEMA, params)
    except InvalidFilter:
        return
    if tree is not None:
        engine, table = _one_row()
        with suppress(InvalidFilter):
            assert len(engine.query(table, filter=tree, limit=1)) == engine.count(table, tree)


@cache
def _one_row() -> tuple[LanceEngine, Table]:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    engine = LanceEngine(folder)
    row = {
        "id": 1,
        "int64": 5,
        "text": "a" * 64,
        "json": '{"a": [1, "x", [2.0]]}',
        "tags": ["a", "b"],
        "counts": [1, 2],
        "vector": [1.0, 2.0],
        "$meta": '{"k": 5}',
        "__part": 0,
    }
    batch = pa.RecordBatch.from_pylist([row], schema=canonical_schema(_SCHEMA))
    table, _ = import_rows(engine, new_table(engine, _SCHEMA), batch)
    return engine, table
