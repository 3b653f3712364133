"""Objects of Weaviate: what its objects call answers, a list of objects, or one object per line.

An object is ``{"id": …, "properties": {…}, "vector": […] or "vectors": {name: […]}}``, of the Python client ``uuid``
instead of ``id``. The columns are ``id``, ``vector`` or the names of the vectors, and the properties.
"""

from __future__ import annotations

from penstock.readers.base import FormatSpec
from penstock.readers.compression import CompressibleText, with_compressed
from penstock.readers.presets.records import RecordShape, reader_of

_SHAPE = RecordShape(
    store="Weaviate",
    lists=(("objects",),),
    unpacked=frozenset({"properties"}),
    vectors=frozenset({"vector", "vectors"}),
    renamed={"uuid": "id"},
    default_vector="default",
    required=frozenset({"properties"}),
)

WEAVIATE = FormatSpec(
    name="Weaviate",
    extensions=with_compressed("json", "jsonl", "ndjson"),
    reader=CompressibleText(reader_of(_SHAPE)),
)
