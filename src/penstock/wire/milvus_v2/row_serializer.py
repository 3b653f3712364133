"""Serialize rows and values for the Milvus v2 wire.

An Arrow table in canonical types becomes JSON rows: Int64 as strings (numbers for clients that accept them),
JSON fields as text, arrays as the reference server's union, binary and half-precision vectors as base64, dynamic
fields flattened into the row. Whole columns are converted at once; vectors and arrays of numbers stay NumPy slices,
and orjson writes these from their buffers, float32 as the shortest numbers that give the same float32 back.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, cast

import ml_dtypes
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from penstock.collections.entities import OutputFields
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.domain.times import format_time

UNION_MEMBERS = {
    DataType.BOOL: "BoolData",
    DataType.INT8: "IntData",
    DataType.INT16: "IntData",
    DataType.INT32: "IntData",
    DataType.INT64: "LongData",
    DataType.FLOAT: "FloatData",
    DataType.DOUBLE: "DoubleData",
    DataType.VARCHAR: "StringData",
    DataType.TEXT: "StringData",
    DataType.TIMESTAMPTZ: "StringData",
    DataType.GEOMETRY: "StringData",
}
"""The member of the wire's union for values of a type, in arrays and default values."""


def render_rows(
    table: pa.Table, schema: CollectionSchema, fields: OutputFields, *, int64_as_number: bool
) -> list[dict[str, Any]]:
    """Serialize each row of ``table`` to a JSON object, with the columns and dynamic keys of ``fields``."""
    names = list(fields.columns)
    columns = [_column(table[name].combine_chunks(), schema[name], int64_as_number) for name in names]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    if schema.dynamic and fields.with_meta:
        keys = None if fields.meta_keys is None else dict.fromkeys(fields.meta_keys)
        for row, text in zip(rows, table[META_FIELD].to_pylist(), strict=True):
            _add_dynamic(row, orjson.loads(text or "{}"), keys)
    return rows


def _add_dynamic(row: dict[str, Any], document: Mapping[str, Any], keys: Mapping[str, None] | None) -> None:
    """Add the requested keys of a row's dynamic values; a field of the same name wins.

    Callers may request many keys of rows that have few: the shorter of the two is iterated.
    """
    if keys is None:
        visible_keys: Iterable[str] = document
    elif len(keys) <= len(document):
        visible_keys = (key for key in keys if key in document)
    else:
        visible_keys = (key for key in document if key in keys)
    for key in visible_keys:
        if key not in row:
            row[key] = document[key]


def _column(array: pa.Array[Any], field: Field, int64_as_number: bool) -> Iterable[Any]:
    if field.type is DataType.INT64 and not int64_as_number:
        array = pc.cast(array, pa.string())
    render = _RENDERERS.get(field.type)
    return render(array, field) if render is not None else array.to_pylist()


def _spread(values: Iterable[Any], array: pa.Array[Any]) -> Iterable[Any]:
    """Put None between the values for rows that are null."""
    if not array.null_count:
        return values
    rest = iter(values)
    return [next(rest) if valid else None for valid in array.is_valid().to_pylist()]


def _floats(array: pa.Array[Any], field: Field) -> Iterable[Any]:
    del field
    return _spread(array.drop_null().to_numpy(), array)


def _slices(lists: pa.Array[Any], values: Any) -> Iterator[Any]:
    """Split ``values``, the flattened elements of the non-null lists, into one slice per list."""
    ends = np.cumsum(lists.value_lengths().drop_null().to_numpy())  # type: ignore[attr-defined]
    return (values[start:end] for start, end in pairwise((0, *ends.tolist())))


def _times(array: pa.Array[Any], field: Field) -> Iterable[Any]:
    return [None if micros is None else format_time(micros, field.timezone) for micros in array.to_pylist()]


def _arrays(array: pa.Array[Any], field: Field) -> Iterable[Any]:
    assert field.element_type is not None
    member = UNION_MEMBERS[field.element_type]
    elements = cast(Any, array).flatten()
    numbers = field.element_type.is_number and not elements.null_count
    slices = _slices(array, elements.to_numpy() if numbers else elements.to_pylist())
    return _spread(({"Data": {member: {"data": slice_} if len(slice_) else {}}} for slice_ in slices), array)


def _structs(array: pa.Array[Any], field: Field) -> Iterable[Any]:
    """Render lists of objects; Int64 within them as numbers, as in arrays."""
    structs = cast(Any, array).flatten()
    names = [subfield.name for subfield in field.fields]
    columns = [
        _column(values, subfield, True) for values, subfield in zip(structs.flatten(), field.fields, strict=True)
    ]
    objects = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return _spread(_slices(array, objects), array)


def _matrix(array: pa.Array[Any], field: Field) -> npt.NDArray[Any]:
    """The vectors of the non-null rows."""
    values: npt.NDArray[Any] = cast(Any, array).flatten().to_numpy(zero_copy_only=False)
    return values.reshape(-1, field.width)


def _float_vectors(array: pa.Array[Any], field: Field) -> Iterable[Any]:
    return _spread(np.ascontiguousarray(_matrix(array, field), np.float32), array)


def _bytes_of(dtype: npt.DTypeLike) -> Callable[[pa.Array[Any], Field], Iterable[Any]]:
    def render(array: pa.Array[Any], field: Field) -> Iterable[Any]:
        rows = np.ascontiguousarray(_matrix(array, field).astype(dtype, copy=False))
        return _spread((base64.b64encode(row.tobytes()).decode() for row in rows), array)

    return render


def _sparse_vectors(array: pa.Array[Any], field: Field) -> Iterable[Any]:
    del field
    indices, weights = cast(Any, array.drop_null()).flatten()
    keys = pc.cast(indices.flatten(), pa.string()).to_pylist()
    rows = zip(_slices(indices, keys), _slices(weights, weights.flatten().to_numpy()), strict=True)
    return _spread((dict(zip(*row, strict=True)) for row in rows), array)


_RENDERERS: Mapping[DataType, Callable[[pa.Array[Any], Field], Iterable[Any]]] = {
    DataType.FLOAT: _floats,
    DataType.TIMESTAMPTZ: _times,
    DataType.ARRAY: _arrays,
    DataType.ARRAY_OF_STRUCT: _structs,
    DataType.FLOAT_VECTOR: _float_vectors,
    DataType.FLOAT16_VECTOR: _bytes_of(np.float16),
    DataType.BFLOAT16_VECTOR: _bytes_of(ml_dtypes.bfloat16),
    DataType.INT8_VECTOR: _bytes_of(np.int8),
    DataType.BINARY_VECTOR: _bytes_of(np.uint8),
    DataType.SPARSE_FLOAT_VECTOR: _sparse_vectors,
}
