"""Conform sparse vectors: convert JSON text or structs of lists to indices (ascending, unique) and values."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pt

from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.arrow_values import is_list, plain
from penstock.rules.forms import FORMS, type_error
from penstock.rules.json_texts import parse_json
from penstock.rules.rule import Array, WarningSink
from penstock.rules.sparse import (
    check_sparse_lengths,
    indices_of_keys,
    indices_of_numbers,
    sparse_column,
    weights_of_numbers,
)
from penstock.rules.table import NO_NULL_ELEMENTS, SPARSE_INDEX, SPARSE_LENGTHS, SPARSE_ORDER
from penstock.rules.violations import each, first_refused, refuse
from penstock.validation.arrow_lists import flatten, validity
from penstock.validation.errors import mismatch
from penstock.validation.numbers import to_floats, to_integers
from penstock.validation.text import is_text, utf8

_Pairs: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]

_LIST_QUOTES = 4
"""Quotes of the keys ``indices`` and ``values``."""
_EMPTY: Array = pa.nulls(0, pa.int64())  # pa.array() of a list would import pandas


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
    indices = [np.empty(0, np.int64)]
    values = [np.empty(0, np.float64)]
    raws = text.cast(pa.binary()).to_pylist()

    def parse(row: int) -> _Pairs | None:
        return _parsed_pairs(field, raws[row])

    for row in range(rows):
        try:
            pairs = parse(row)
        except DataError:
            raise first_refused(row, parse, lambda: range(rows)) from None
        if pairs is None:
            valid[row] = False
            continue
        places, weights = pairs
        indices.append(places)
        values.append(weights)
        lengths[row] = len(places)
    return sparse_column(
        field, np.concatenate(indices), np.concatenate(values), lengths, None if valid.all() else valid
    )


def _parsed_pairs(field: Field, raw: bytes | None) -> _Pairs | None:
    """Parse the JSON text of a vector; None for null."""
    parsed = None if raw is None else parse_json(raw, field, limit=None)
    if raw is None or parsed is None:
        return None
    try:
        return _pairs(field, parsed, raw)
    except DataError as error:
        raise error.at(value=raw.decode()) from None


def _pairs(field: Field, parsed: Any, raw: bytes) -> _Pairs:
    """Extract indices and values of one parsed JSON value."""
    if not isinstance(parsed, dict):
        raise type_error(field, type(parsed).__name__, FORMS[field.type].json)
    if parsed.keys() == {"indices", "values"}:
        places, weights = parsed["indices"], parsed["values"]
        if not (isinstance(places, list) and isinstance(weights, list)):
            raise type_error(field, "object", FORMS[field.type].json)
        check_sparse_lengths(field, len(places), len(weights))
        pairs = indices_of_numbers(field, places), weights_of_numbers(field, weights)
        if raw.count(b'"') > _LIST_QUOTES:
            twice = "indices" if raw.count(b'"indices"') > 1 else "values"
            raise SPARSE_INDEX.error(field, index=twice)
        return pairs
    weights = list(parsed.values())
    # The parser keeps the last of two equal keys: only the text still has both.
    if raw.count(b'"') > 2 * len(parsed) and str not in map(type, weights):
        raise SPARSE_ORDER.error(field)
    return indices_of_keys(field, list(parsed)), weights_of_numbers(field, weights)


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
        refuse(missing, each(lambda _: NO_NULL_ELEMENTS.error(field)))
        lists.refuse_null_elements(field)

    def length_error(row: int) -> DataError:
        return SPARSE_LENGTHS.error(field, indices=int(places.lengths[row]), values=int(weights.lengths[row]))

    refuse(places.lengths != weights.lengths, each(length_error))
    rows = len(array) - array.null_count

    def note_rows(text: str, _: int) -> None:
        note(text, rows)

    with places.rows():
        # The element type of empty lists is arbitrary.
        indices = to_integers(places.values, _as(field, DataType.INT64), pa.int64()) if len(places.values) else _EMPTY
        values = _EMPTY
        if len(indices):
            values = to_floats(weights.values, _as(field, DataType.FLOAT), pa.float32(), note_rows)
    return sparse_column(field, indices.to_numpy(), values.to_numpy(), places.lengths, valid)


def _as(field: Field, kind: DataType) -> Field:
    return Field(name=field.name, type=kind)
