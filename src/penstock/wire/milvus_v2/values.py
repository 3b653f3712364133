"""How values go out on the Milvus v2 wire.

An Arrow table in canonical types becomes JSON rows: Int64 as strings (numbers when the caller says it takes them),
JSON fields as text, arrays as the reference server's union, binary and half-precision vectors as base64, dynamic
fields flattened into the row. Whole columns are turned at once; a float vector's numbers never become Python objects
one by one but in a single ``tolist`` per row.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import ml_dtypes
import numpy as np
import orjson
import pyarrow as pa

from penstock.collections.entities import OutputFields
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field

__all__ = ["key_values", "render_rows", "text_values", "value_text"]

_UNION_MEMBERS = {
    DataType.BOOL: "BoolData",
    DataType.INT8: "IntData",
    DataType.INT16: "IntData",
    DataType.INT32: "IntData",
    DataType.INT64: "LongData",
    DataType.FLOAT: "FloatData",
    DataType.DOUBLE: "DoubleData",
    DataType.VARCHAR: "StringData",
}


def key_values(properties: Mapping[str, str]) -> list[dict[str, str]]:
    """``{"a": "b"}`` as ``[{"key": "a", "value": "b"}]``."""
    return [{"key": key, "value": value} for key, value in properties.items()]


def text_values(given: Mapping[str, Any] | None) -> dict[str, str]:
    """Free-typed parameters as text."""
    return {key: value_text(value) for key, value in (given or {}).items()}


def value_text(value: Any) -> str:
    """A string as it is, anything else as JSON writes it."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def render_rows(
    table: pa.Table, schema: CollectionSchema, fields: OutputFields, *, int64_as_number: bool
) -> list[dict[str, Any]]:
    """One JSON object per row of ``table``, with the columns and dynamic keys that ``fields`` asks for."""
    names = [name for name in fields.columns if name in table.column_names]
    columns = [_column(table[name].combine_chunks(), schema[name], int64_as_number) for name in names]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    if schema.dynamic and fields.with_meta and META_FIELD in table.column_names:
        for row, text in zip(rows, table[META_FIELD].to_pylist(), strict=True):
            _add_dynamic(row, orjson.loads(text or "{}"), fields.meta_keys)
    return rows


def _add_dynamic(row: dict[str, Any], document: Mapping[str, Any], keys: Sequence[str] | None) -> None:
    for key in document if keys is None else keys:
        if key in document and key not in row:
            row[key] = document[key]


def _column(array: pa.Array[Any], field: Field, int64_as_number: bool) -> list[Any]:
    render = _RENDERERS.get(field.type)
    if render is not None:
        return render(array, field)
    if field.type is DataType.INT64 and not int64_as_number:
        return [None if value is None else str(value) for value in array.to_pylist()]
    if field.type is DataType.FLOAT:
        return _floats(array)
    values: list[Any] = array.to_pylist()
    return values


def _floats(array: pa.Array[Any]) -> list[Any]:
    """float32 values as the shortest numbers that give the same float32 back."""
    return [None if value is None else shortest(value) for value in array.to_pylist()]


def shortest(value: float) -> float:
    return float(str(np.float32(value)))


def _array(array: pa.Array[Any], field: Field) -> list[Any]:
    assert field.element_type is not None
    member = _UNION_MEMBERS[field.element_type]
    numbers = shortest if field.element_type is DataType.FLOAT else None
    rendered: list[Any] = []
    for values in array.to_pylist():
        if values is None:
            rendered.append(None)
        elif not values:
            rendered.append({"Data": {member: {}}})
        else:
            rendered.append({"Data": {member: {"data": [numbers(v) for v in values] if numbers else values}}})
    return rendered


def _vectors(array: pa.Array[Any], field: Field, of_row: Callable[[np.ndarray[Any, Any]], Any]) -> list[Any]:
    matrix = cast(Any, array).flatten().to_numpy(zero_copy_only=False)
    if array.null_count:
        # flatten() leaves the values of null rows out.
        rows = iter(matrix.reshape(-1, field.width))
        return [of_row(next(rows)) if valid else None for valid in array.is_valid().to_pylist()]
    return [of_row(row) for row in matrix.reshape(-1, field.width)]


def _float_vectors(array: pa.Array[Any], field: Field) -> list[Any]:
    # orjson writes float32 arrays as the shortest numbers, straight from the buffer.
    return _vectors(array, field, lambda row: np.ascontiguousarray(row, dtype=np.float32))


def _bytes_of(dtype: Any) -> Callable[[pa.Array[Any], Field], list[Any]]:
    def render(array: pa.Array[Any], field: Field) -> list[Any]:
        return _vectors(array, field, lambda row: base64.b64encode(row.astype(dtype).tobytes()).decode())

    return render


def _sparse(array: pa.Array[Any], field: Field) -> list[Any]:
    del field
    rendered: list[Any] = []
    for value in array.to_pylist():
        if value is None:
            rendered.append(None)
            continue
        pairs = zip(value["indices"], value["values"], strict=True)
        rendered.append({str(index): shortest(weight) for index, weight in pairs})
    return rendered


_RENDERERS: Mapping[DataType, Callable[[pa.Array[Any], Field], list[Any]]] = {
    DataType.ARRAY: _array,
    DataType.FLOAT_VECTOR: _float_vectors,
    DataType.FLOAT16_VECTOR: _bytes_of(np.float16),
    DataType.BFLOAT16_VECTOR: _bytes_of(ml_dtypes.bfloat16),
    DataType.INT8_VECTOR: _bytes_of(np.int8),
    DataType.BINARY_VECTOR: _bytes_of(np.uint8),
    DataType.SPARSE_FLOAT_VECTOR: _sparse,
}
