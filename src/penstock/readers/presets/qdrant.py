"""Points of Qdrant: what its scroll call answers, its list of points, or one point per line.

A point is ``{"id": …, "vector": […] or {name: […]}, "payload": {…}}``. The columns are ``id``, ``vector`` or the
names of the vectors, and the keys of the payload.
"""

from __future__ import annotations

from penstock.readers.base import FormatSpec
from penstock.readers.compression import CompressibleText, with_compressed
from penstock.readers.presets.records import RecordShape, reader_of

_SHAPE = RecordShape(
    store="Qdrant",
    lists=(("result", "points"), ("points",), ("result",)),
    unpacked=frozenset({"payload"}),
    vectors=frozenset({"vector", "vectors"}),
    required=frozenset({"id"}),
)

QDRANT = FormatSpec(
    name="Qdrant",
    extensions=with_compressed("json", "jsonl", "ndjson"),
    reader=CompressibleText(reader_of(_SHAPE)),
)
