"""Conform sparse vectors: convert JSON text or structs of lists to indices (ascending, unique) and values."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pt

from penstock.domain.arrow_schema import SPARSE
from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.arrow_values import plain
from penstock.validation.arrow_lists import FlatList, flatten, offsets_of, validity
from penstock.validation.errors import Array, WarningSink, is_list, mismatch
from penstock.validation.json_text import parse
from penstock.validation.numbers import to_floats, to_integers
from penstock.validation.text import is_text, utf8

__all__ = ["MAX_INDEX", "to_sparse"]

MAX_INDEX = 2**32 - 2

_FORMS = 'Write {"3": 0.5, "17": 1.2} or {"indices": [3, 17], "values": [0.5, 1.2]}.'


def to_sparse(array: Array, field: Field, note: WarningSink) -> Array:
    """Convert to the canonical struct. Null rows, and the JSON text ``null`` (pymilvus's writers), become null."""
    if is_text(array.type):
        return _from_text(utf8(array, field), field)
    if pt.is_struct(array.type) and {"indices", "values"} <= {child.name for child in array.type}:
        return _from_struct(array, field, note)
    raise mismatch(array, field)


def _from_text(text: Array, field: Field) -> Array:
    rows = len(text)
    lengths = np.zeros(rows, dtype=np.int64)
    valid = np.ones(rows, dtype=np.bool_)
    indices: list[list[int]] = []
    values: list[list[float]] = []
    for row, raw in enumerate(text.cast(pa.binary()).to_pylist()):
        parsed = None if raw is None else parse(raw, row, field)
        if parsed is None:
            valid[row] = False
            continue
        try:
            at, weights = _pairs(parsed, raw)
        except ValueError as error:
            raise DataError(str(error), row=row, field=field.name, value=raw.decode(), remedy=_FORMS) from None
        indices.append(at)
        values.append(weights)
        lengths[row] = len(at)
    numbers = np.fromiter(chain.from_iterable(values), dtype=np.float64, count=int(lengths.sum()))
    flat = FlatList(pa.array(numbers), lengths, None if valid.all() else valid)
    places = np.fromiter(chain.from_iterable(indices), dtype=np.int64, count=len(numbers))
    with flat.rows():
        weights32 = _weights(pa.array(numbers), field, lambda *_: None)
    return _assemble(places, weights32, flat, field, text)


def _pairs(parsed: Any, raw: bytes) -> tuple[list[int], list[float]]:
    """Extract indices and values of one parsed JSON value. Raises ValueError with the broken rule."""
    if not isinstance(parsed, dict):
        raise ValueError(f"a sparse vector is a JSON object, not {type(parsed).__name__}")
    if parsed.keys() == {"indices", "values"}:
        places, weights = parsed["indices"], parsed["values"]
        if not (isinstance(places, list) and isinstance(weights, list)):
            raise ValueError("indices and values are lists")
        if len(places) != len(weights):
            raise ValueError(f"indices and values length mismatch: {len(places)} and {len(weights)}")
    else:
        places, weights = [_index(key) for key in parsed], list(parsed.values())
        # The parser keeps the last of two equal keys: only the text still has both.
        if raw.count(b'"') > 2 * len(parsed) and not any(isinstance(weight, str) for weight in weights):
            raise ValueError("unsorted or same indices in sparse float vector")
    places = [int(place) if isinstance(place, float) and place.is_integer() else place for place in places]
    for place in places:
        if isinstance(place, bool) or not isinstance(place, int):
            raise ValueError(f"the index {place!r} is not a whole number")
        if not 0 <= place <= MAX_INDEX:
            raise ValueError(f"the index {place} is out of range (0 to {MAX_INDEX})")
    for weight in weights:
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise ValueError(f"the value {weight!r} is not a number")
    return places, weights


def _index(key: str) -> int:
    digits = key.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"the index {key!r} is not a whole number")
    return int(key)


def _from_struct(array: Array, field: Field, note: WarningSink) -> Array:
    # A struct's flatten, unlike field(), puts the struct's nulls and offset on its children.
    children = {
        child.name: plain(column, child, flat=True) for column, child in zip(array.flatten(), array.type, strict=True)
    }
    indices, values = children["indices"], children["values"]
    if not (is_list(indices.type) and is_list(values.type)):
        raise mismatch(array, field)
    places, weights = flatten(indices), flatten(values)
    valid = validity(array)
    for lists in (places, weights):
        present = np.ones(len(array), dtype=np.bool_) if lists.valid is None else lists.valid
        missing = ~present if valid is None else valid & ~present
        if missing.any():
            raise _error("indices and values must not be null", int(np.argmax(missing)), field, array)
        lists.refuse_null_elements(field)
    unequal = places.lengths != weights.lengths
    if unequal.any():
        row = int(np.argmax(unequal))
        both = f"{places.lengths[row]} and {weights.lengths[row]}"
        raise _error(f"indices and values length mismatch: {both}", row, field, array)
    flat = FlatList(weights.values, weights.lengths, valid)
    rows = len(array) - array.null_count
    with flat.rows():
        weights32 = _weights(weights.values, field, lambda text, _: note(text, rows))
        numbers = _places(places.values, field)
    return _assemble(numbers, weights32, flat, field, array)


def _places(indices: Array, field: Field) -> npt.NDArray[np.int64]:
    if not len(indices):
        return np.zeros(0, dtype=np.int64)
    numbers: npt.NDArray[np.int64] = to_integers(indices, _as(field, DataType.INT64), pa.int64()).to_numpy()
    wrong = (numbers < 0) | (numbers > MAX_INDEX)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(
            f"the index {numbers[at]} is out of range (0 to {MAX_INDEX})",
            row=at,
            field=field.name,
            value=int(numbers[at]),
            remedy="Number the dimensions from 0.",
        )
    return numbers


def _weights(values: Array, field: Field, note: WarningSink) -> npt.NDArray[np.float32]:
    if not len(values):
        return np.zeros(0, dtype=np.float32)
    numbers: npt.NDArray[np.float32] = to_floats(values, _as(field, DataType.FLOAT), pa.float32(), note).to_numpy()
    if (numbers < 0).any():
        at = int(np.argmax(numbers < 0))
        raise DataError(
            "negative value in sparse float vector",
            row=at,
            field=field.name,
            value=float(numbers[at]),
            remedy="Sparse weights are zero or more.",
        )
    return numbers


def _as(field: Field, kind: DataType) -> Field:
    return Field(name=field.name, type=kind)


def _assemble(
    indices: npt.NDArray[np.int64], values: npt.NDArray[np.float32], flat: FlatList, field: Field, array: Array
) -> Array:
    """Sort each row by index, refuse duplicate indices, and build the struct."""
    rows = np.repeat(np.arange(len(flat.lengths)), flat.lengths)
    # One sort key for row, then index: rows stay below 2**31.
    keys = rows << 32 | indices
    steps = np.diff(keys)
    if (steps <= 0).any():
        order = np.argsort(keys, kind="stable")
        indices, values, keys = indices[order], values[order], keys[order]
        same = np.diff(keys) == 0
        if same.any():
            row = int(rows[int(np.argmax(same))])
            raise _error("unsorted or same indices in sparse float vector", row, field, array)
    offsets = offsets_of(flat.lengths)
    children = [
        pa.ListArray.from_arrays(offsets, pa.array(indices.astype(np.uint32))),
        pa.ListArray.from_arrays(offsets, pa.array(values)),
    ]
    mask = None if flat.valid is None else pa.array(~flat.valid)
    fields: Any = SPARSE
    return pa.StructArray.from_arrays(children, fields=list(fields), mask=mask)


def _error(rule: str, row: int, field: Field, array: Array) -> DataError:
    return DataError(rule, row=row, field=field.name, value=str(array[row].as_py()), remedy=_FORMS)
