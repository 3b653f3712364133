"""Observe Arrow columns of formats that have types."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from penstock.domain.data_types import INTEGER_RANGES, DataType
from penstock.errors import DataError
from penstock.inference.json_columns import are_sparse, observe_texts, with_norms
from penstock.inference.misfits import may_be_misfits
from penstock.inference.observations import Kind, Observation
from penstock.readers.arrow_json import json_texts
from penstock.readers.arrow_values import (
    is_binary,
    is_json,
    is_list,
    is_string,
    is_time,
    iso_texts,
    plain,
    utf8_texts,
)
from penstock.rules.table import MAX_JSON_BYTES

UNREADABLE = "no type of field holds such values, nor does a dynamic value"

_INTEGERS = {
    "int8": DataType.INT8,
    "uint8": DataType.INT16,
    "int16": DataType.INT16,
    "uint16": DataType.INT32,
    "int32": DataType.INT32,
    "uint32": DataType.INT64,
    "int64": DataType.INT64,
    "uint64": DataType.INT64,
}
_WHOLE_DECIMAL_DIGITS = 18
"""Digits of which every whole decimal fits Int64."""


def observe_arrow(column: pa.ChunkedArray[Any], field: pa.Field[Any]) -> Observation:
    """Observe a column and its field in the file's schema."""
    array: Any = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    seen = Observation(
        kind=Kind.OTHER, rows=len(array), nulls=array.null_count, is_required=not field.nullable, note=str(array.type)
    )
    if array.null_count == len(array):
        return replace(seen, kind=Kind.NULL)
    if is_json(array.type):
        return _json(seen, array, field)
    try:
        values: Any = plain(array, field, flat=True)
        if is_binary(values.type):
            return _observe_bytes(seen, values)
        return _observe(seen, values, field)
    except DataError as error:
        return replace(seen, note=f"{error.rule}: {UNREADABLE}")


def _observe(seen: Observation, array: Any, field: pa.Field[Any]) -> Observation:
    """Observe a column of a plain type. Raises DataError for a value that no field holds."""
    kind = array.type
    if pt.is_boolean(kind):
        return replace(seen, kind=Kind.BOOL, note="")
    if pt.is_integer(kind):
        return _integers(seen, array)
    if pt.is_floating(kind):
        return _floats(seen, array)
    if pt.is_decimal(kind):
        if kind.scale <= 0 and kind.precision - kind.scale <= _WHOLE_DECIMAL_DIGITS:
            return replace(
                seen, kind=Kind.INTEGER, type=DataType.INT64, keys=array.drop_null().cast(pa.int64()).to_pylist()
            )
        return replace(
            seen, kind=Kind.FLOAT, type=DataType.DOUBLE, note=f"{kind}, rounded where it has too many digits"
        )
    if is_time(kind):
        return _texts(seen, iso_texts(array))
    if is_string(kind):
        return _texts(seen, utf8_texts(array))
    if pt.is_fixed_size_binary(kind):
        return replace(seen, kind=Kind.BYTES, shortest=kind.byte_width, longest=kind.byte_width, is_fixed=True)
    if pt.is_struct(kind) and _is_sparse_struct(kind):
        return _sparse_structs(seen, array, field)
    if is_list(kind):
        return _lists(seen, array, field)
    if pt.is_struct(kind) or pt.is_map(kind):
        return _json(seen, array, field)
    return replace(seen, note=f"{kind}: {UNREADABLE}")


def _observe_bytes(seen: Observation, array: Any) -> Observation:
    """Observe byte strings: texts if all are UTF-8 without control characters, as the readers take them."""
    try:
        return _texts(seen, utf8_texts(array))
    except DataError:
        lengths: Any = pc.min_max(pc.binary_length(array)).as_py()
        return replace(seen, kind=Kind.BYTES, shortest=lengths["min"], longest=lengths["max"])


def _integers(seen: Observation, array: Any) -> Observation:
    bounds: Any = pc.min_max(array).as_py()
    if bounds["max"] > INTEGER_RANGES[DataType.INT64][1]:
        return replace(seen, kind=Kind.JSON, note="whole numbers beyond those of Int64")
    return replace(
        seen, kind=Kind.INTEGER, type=_INTEGERS[str(array.type)], keys=array.drop_null().to_pylist(), note=""
    )


def _floats(seen: Observation, array: Any) -> Observation:
    finite = pc.all(pc.is_finite(array.cast(pa.float64()))).as_py()
    note = "" if finite else "NaN or infinity, which are refused: write nulls instead"
    float_type = DataType.DOUBLE if pt.is_float64(array.type) else DataType.FLOAT
    return replace(seen, kind=Kind.FLOAT, type=float_type, note=note)


def _texts(seen: Observation, texts: Any) -> Observation:
    present = texts.drop_null().to_pylist()
    found = observe_texts(replace(seen, note=""), present)
    if all(text.lstrip()[:1] == "{" for text in present):
        try:
            values = list(map(orjson.loads, present))
        except orjson.JSONDecodeError:
            return found
        return replace(
            found, kind=Kind.SPARSE if are_sparse(values) else Kind.JSON, keys=(), note="text that holds JSON"
        )
    if all(text.lstrip()[:1] == "[" for text in present):
        return replace(found, note="text that holds lists; vectors of this format are lists of numbers")
    return found


def _json(seen: Observation, array: Any, field: pa.Field[Any]) -> Observation:
    """Observe what becomes JSON text. Raises DataError for a value that has no JSON form."""
    texts = plain(array) if is_json(array.type) else json_texts(array, field, lambda what, rows: None)
    lengths: Any = pc.binary_length(texts)
    longest: int = pc.max(lengths).as_py() or 0
    note = f"JSON of {longest:,} bytes, where a field holds {MAX_JSON_BYTES:,}" if longest > MAX_JSON_BYTES else ""
    return replace(seen, kind=Kind.JSON, longest=longest, note=note)


def _is_sparse_struct(kind: Any) -> bool:
    parts = {child.name: child.type for child in kind}
    if not parts.keys() >= {"indices", "values"} or not all(is_list(parts[name]) for name in ("indices", "values")):
        return False
    indices, weights = parts["indices"].value_type, parts["values"].value_type
    return bool(pt.is_integer(indices) and (pt.is_floating(weights) or pt.is_integer(weights)))


def _sparse_structs(seen: Observation, array: Any, field: pa.Field[Any]) -> Observation:
    if array.type.num_fields == 2 and are_sparse(array.drop_null().to_pylist()):
        return replace(seen, kind=Kind.SPARSE, note="")
    return _json(seen, array, field)


def _most_lists(seen: Observation, array: Any, field: pa.Field[Any]) -> Observation | None:
    """What the lists of the most frequent length are, if only a few lists have another length."""
    lengths: Any = pc.list_value_length(array)
    modes: Any = pc.mode(lengths)
    length = modes[0].as_py()["mode"]
    misfits: Any = pc.fill_null(pc.not_equal(lengths, length), False)
    count = pc.sum(misfits).as_py()
    if not may_be_misfits(count, seen.rows - seen.nulls):
        return None
    most = observe_arrow(pa.chunked_array([array.filter(pc.invert(misfits))]), field)
    first = pc.index(misfits, True).as_py()
    return replace(
        most, rows=seen.rows, misfits=count, misfit=f"row {first} holds a list of {lengths[first]} elements"
    )


def _lists(seen: Observation, array: Any, field: pa.Field[Any]) -> Observation:
    present = array.drop_null()
    if pt.is_list_view(array.type) or pt.is_large_list_view(array.type):
        present = present.cast(pa.large_list(array.type.value_type))
    elements: Any = pc.list_flatten(present)
    bounds: Any = pc.min_max(pc.list_value_length(present)).as_py()
    found = replace(
        seen,
        kind=Kind.LIST,
        shortest=bounds["min"],
        longest=bounds["max"],
        is_fixed=pt.is_fixed_size_list(array.type),
        note="",
    )
    if not len(elements):
        return found
    if found.length is None:
        found = replace(found, most=_most_lists(seen, array, field))
    element = observe_arrow(pa.chunked_array([elements]), array.type.value_field)
    if element.nulls or element.kind not in (Kind.BOOL, Kind.INTEGER, Kind.FLOAT, Kind.TEXT):
        return _json(replace(seen, note=""), array, field)
    found = replace(found, element=replace(element, keys=(), note="", storage=str(elements.type)))
    if found.length and found.has_numbers:
        matrix: Any = elements.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return with_norms(found, matrix.reshape(-1, found.length))
    return found
