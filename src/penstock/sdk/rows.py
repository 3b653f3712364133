"""Rows and vectors between the Milvus REST wire and plain Python values.

=================  ==========================================  =================================
type               on the wire                                 here
=================  ==========================================  =================================
Int64              ``"1"``, or ``1`` where requested           int
JSON               a string that holds JSON text               the value
Array              ``{"Data": {"LongData": {"data": […]}}}``   list
BinaryVector       base64 of the bytes                         bytes
Float16Vector      base64 of little-endian halves              list of float
BFloat16Vector     base64 of little-endian bfloat16            list of float
Int8Vector         base64 of the bytes                         list of int
SparseFloatVector  ``{"1": 0.5}``                              dict of int to float
ArrayOfStruct      list of objects                             list of dict, with all of the above
=================  ==========================================  =================================

All other types, and dynamic values, are plain JSON.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.sdk.schema import CollectionInfo, FieldInfo, unwrap_union

__all__ = ["COUNT", "decode_row", "encode_vectors"]

COUNT = "count(*)"


def decode_row(row: Mapping[str, Any], collection: CollectionInfo) -> dict[str, Any]:
    """Decode a row of query, get or search to plain values. Raises ValueError, TypeError if it doesn't fit."""
    fields = {field.name: field for field in collection.fields}
    return {name: _decode(value, fields.get(name)) for name, value in row.items()}


def _decode(value: Any, field: FieldInfo | None) -> Any:
    if value is None or field is None:
        return value
    if field.fields:
        parts = {subfield.name: subfield.element_type for subfield in field.fields}
        return [{name: _single(inner, parts.get(name)) for name, inner in struct.items()} for struct in value]
    return _single(value, field.type)


def _single(value: Any, kind: str | None) -> Any:
    decode = _DECODERS.get(kind or "")
    if decode is not None:
        return decode(value)
    return value


def _array(value: Any) -> list[Any]:
    return list(unwrap_union(value) or ())


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _bytes(value: Any) -> bytes:
    return base64.b64decode(value, validate=True) if isinstance(value, str) else bytes(value)


def _halves(value: Any) -> list[float]:
    if isinstance(value, str):
        raw = _bytes(value)
        return list(struct.unpack(f"<{len(raw) // 2}e", raw))
    return [float(number) for number in value]


def _bfloats(value: Any) -> list[float]:
    if isinstance(value, str):
        raw = _bytes(value)
        # A bfloat16 is the upper half of a float32.
        widened = b"".join(b"\0\0" + raw[at : at + 2] for at in range(0, len(raw), 2))
        return list(struct.unpack(f"<{len(raw) // 2}f", widened))
    return [float(number) for number in value]


def _int8s(value: Any) -> list[int]:
    if isinstance(value, str):
        raw = _bytes(value)
        return list(struct.unpack(f"{len(raw)}b", raw))
    return [int(number) for number in value]


def _sparse(value: Any) -> dict[int, float]:
    pairs = _json(value)
    return {int(index): float(number) for index, number in pairs.items()}


_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    "Int8": int,
    "Int16": int,
    "Int32": int,
    "Int64": int,
    "Float": float,
    "Double": float,
    "JSON": _json,
    "Array": _array,
    "BinaryVector": _bytes,
    "Float16Vector": _halves,
    "BFloat16Vector": _bfloats,
    "Int8Vector": _int8s,
    "SparseFloatVector": _sparse,
}


def encode_vectors(vectors: Any) -> list[Any]:
    """Encode query vectors for the wire, always a list of vectors.

    Takes lists and arrays of numbers (also a 2-D array), bytes for binary vectors, ``{index: value}`` for sparse ones
    and texts.
    """
    items = vectors.tolist() if hasattr(vectors, "tolist") else vectors
    if not isinstance(items, Sequence) or isinstance(items, str | bytes):
        raise ValueError("give a list of query vectors; for one vector: [vector]")
    if items and isinstance(items[0], int | float):
        raise ValueError("give a list of query vectors; for one vector: [vector]")
    return [_encode(item) for item in items]


def _encode(vector: Any) -> Any:
    if isinstance(vector, bytes | bytearray):
        return base64.b64encode(vector).decode()
    if isinstance(vector, Mapping):
        return {str(index): float(value) for index, value in vector.items()}
    if hasattr(vector, "tolist"):
        return vector.tolist()
    return (
        vector
        if isinstance(vector, str)
        else [number.item() if hasattr(number, "item") else number for number in vector]
    )
