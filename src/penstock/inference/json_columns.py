"""Observe columns of JSON values and of cells of text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from penstock.domain.data_types import INTEGER_RANGES, DataType
from penstock.inference.misfits import MOST_MISFITS, parsed_cells, with_most_lists
from penstock.inference.observations import Kind, Observation
from penstock.rules.numbers import EXACT_IN_DOUBLE
from penstock.rules.table import MAX_JSON_BYTES, MAX_JSON_DEPTH

MAX_SPARSE_INDEX = 2**32 - 2
UNIT_NORM_TOLERANCE = 1e-2
"""Deviation from the norm 1 of a normalised vector; half floats and printed digits round."""
_BOOLS = frozenset({"true", "false", "True", "False", "TRUE", "FALSE"})
"""Cells that are booleans for certain; 1, 0, t and f are read as such too, but may be numbers and texts."""
_WHOLE = re.compile(r"0|-?[1-9][0-9]*")
_DECIMAL = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PADDED = re.compile(r"-?0[0-9]|-0\Z")
"""Digits that mean more than their number, such as a postal code."""
_LOW, _HIGH = INTEGER_RANGES[DataType.INT64]


def observe_json(values: Sequence[Any]) -> Observation:
    """Observe JSON values; None is null."""
    seen = _observe_json(values)
    if seen.kind is Kind.LIST and seen.length is not None:
        return seen
    return with_most_lists(seen, values, _observe_json)


def _observe_json(values: Sequence[Any], *, are_cells: bool = False) -> Observation:
    """Observe JSON values strictly. ``are_cells``: they were parsed from cells of CSV."""
    present = [value for value in values if value is not None]
    kinds = set(map(type, present))
    nulls = len(values) - len(present)
    seen = Observation(kind=Kind.OTHER, rows=len(values), nulls=nulls)
    if not present:
        return replace(seen, kind=Kind.NULL)
    if kinds == {bool}:
        return replace(seen, kind=Kind.BOOL)
    if kinds == {int}:
        if min(present) >= _LOW and max(present) <= _HIGH:
            return replace(seen, kind=Kind.INTEGER, type=DataType.INT64, keys=present)
        return replace(seen, kind=Kind.JSON, note="whole numbers beyond those of Int64")
    if kinds <= {int, float}:
        if any(type(number) is int and abs(number) > EXACT_IN_DOUBLE for number in present):
            return replace(seen, kind=Kind.JSON, note="numbers that no one type holds exactly")
        return replace(seen, kind=Kind.FLOAT, type=DataType.DOUBLE)
    if kinds == {str}:
        return observe_texts(seen, present)
    if kinds == {dict} and are_sparse(present):
        return replace(seen, kind=Kind.SPARSE)
    if kinds == {list}:
        return _observe_lists(seen, present)
    # In a JSON file, a text in a field of type JSON must itself be JSON; in a CSV cell it has its quotes.
    if str in kinds and not are_cells:
        names = {bool: "booleans", int: "numbers", float: "numbers", str: "texts", list: "lists", dict: "objects"}
        mixture = " and ".join(sorted({names.get(kind, "numbers") for kind in kinds}))
        return replace(seen, note=f"{mixture} mixed")
    return _check_json_size(replace(seen, kind=Kind.JSON), present)


def observe_texts(seen: Observation, texts: Sequence[str]) -> Observation:
    """Observe texts, none of them null."""
    lengths = [len(text) if text.isascii() else len(text.encode(errors="replace")) for text in texts]
    return replace(seen, kind=Kind.TEXT, shortest=min(lengths), longest=max(lengths), keys=texts)


def observe_cells(cells: Sequence[str | None], null_text: str) -> Observation:
    """Observe cells of text. ``null_text`` is null, in quotes too, where the other cells are no text."""
    seen = _observe_cells(cells, null_text)
    lists = sum(cell is not None and cell.lstrip()[:1] == "[" for cell in cells)
    is_vector = seen.kind is Kind.LIST and seen.length is not None
    if is_vector or lists < (1 - MOST_MISFITS) * (seen.rows - seen.nulls):
        return seen
    return with_most_lists(seen, parsed_cells(cells, null_text), partial(_observe_json, are_cells=True))


def _observe_cells(cells: Sequence[str | None], null_text: str) -> Observation:
    texts = [cell for cell in cells if cell is not None]
    as_text = Observation(kind=Kind.NULL, rows=len(cells), nulls=len(cells) - len(texts), is_cell=True)
    if texts:
        as_text = observe_texts(as_text, texts)
    stripped = [text.strip() for text in texts if text != null_text]
    if not stripped:
        return as_text
    seen = replace(as_text, nulls=len(cells) - len(stripped), keys=(), is_cell=True)
    if _BOOLS.issuperset(stripped):
        return replace(seen, kind=Kind.BOOL)
    if all(map(_WHOLE.fullmatch, stripped)):
        # A number of more digits than Int64 has is an identifier.
        if all(len(text) <= _DIGITS and _LOW <= int(text) <= _HIGH for text in stripped):
            numbers = [int(text) for text in stripped]
            return replace(seen, kind=Kind.INTEGER, type=DataType.INT64, keys=numbers)
        return as_text
    if all(map(_is_decimal, stripped)):
        return replace(seen, kind=Kind.FLOAT, type=DataType.DOUBLE)
    if all(text.startswith(("[", "{")) for text in stripped):
        try:
            values = list(map(orjson.loads, stripped))
        except orjson.JSONDecodeError:
            if "," not in stripped[0] and stripped[0][0] == "[":
                return replace(
                    as_text,
                    note="lists as NumPy prints them, without commas: write them with json.dumps(vector.tolist())",
                )
            return as_text
        parsed = _observe_json(values, are_cells=True)
        return replace(
            parsed,
            rows=seen.rows,
            nulls=seen.nulls,
            is_cell=True,
            longest=parsed.longest if parsed.kind is Kind.LIST else seen.longest,
        )
    return as_text


_DIGITS = 20
"""The most characters that a whole number of Int64 has, with its sign."""


def _is_decimal(text: str) -> bool:
    is_number = _DECIMAL.fullmatch(text) is not None and _PADDED.match(text) is None
    return is_number and math.isfinite(float(text))


def are_sparse(objects: Sequence[Mapping[str, Any]]) -> bool:
    """Whether objects are sparse vectors: numbers by index, or the lists ``indices`` and ``values``."""
    return any(objects) and all(map(_is_sparse, objects))


def _is_sparse(value: Mapping[str, Any]) -> bool:
    if value.keys() == {"indices", "values"}:
        indices, weights = value["indices"], value["values"]
        if not (isinstance(indices, list) and isinstance(weights, list) and len(indices) == len(weights)):
            return False
    else:
        if not all(key.isascii() and key.isdecimal() and len(key) <= 10 for key in value):
            return False
        indices, weights = list(map(int, value)), list(value.values())
    whole = all(type(index) is int and 0 <= index <= MAX_SPARSE_INDEX for index in indices)
    return whole and all(type(weight) in (int, float) and weight >= 0 for weight in weights)


def _observe_lists(seen: Observation, lists: Sequence[list[Any]]) -> Observation:
    lengths = list(map(len, lists))
    elements = list(chain.from_iterable(lists))
    element = _observe_json(elements)
    scalar = element.kind in (Kind.BOOL, Kind.INTEGER, Kind.FLOAT, Kind.TEXT)
    if elements and (element.nulls or not scalar):
        what = "lists with nulls" if element.nulls else f"lists of {element.describe()}"
        return _check_json_size(replace(seen, kind=Kind.JSON, note=what), lists)
    found = replace(seen, kind=Kind.LIST, shortest=min(lengths), longest=max(lengths))
    if not elements:
        return found
    found = replace(found, element=replace(element, keys=()))
    if found.length and found.has_numbers:
        return with_norms(found, np.array(elements, np.float64).reshape(-1, found.length))
    return found


def with_norms(seen: Observation, matrix: npt.NDArray[np.float64]) -> Observation:
    """Add whether the vectors of a matrix have the norm 1, and numbers within the range of float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(matrix, axis=1)
        unit_norms = bool(np.all(np.abs(norms - 1) < UNIT_NORM_TOLERANCE))
        out_of_range = bool(np.any(np.abs(matrix) > np.finfo(np.float32).max))
    return replace(seen, unit_norms=unit_norms, fits_vector=not out_of_range)


def _check_json_size(seen: Observation, values: Sequence[Any]) -> Observation:
    """Add the longest JSON text, and a note where a field of type JSON can't hold it."""
    try:
        longest = max(len(orjson.dumps(value, default=str)) for value in values)
    except orjson.JSONEncodeError:
        note = f"JSON that is nested more than {MAX_JSON_DEPTH} deep"
        return replace(seen, longest=MAX_JSON_BYTES + 1, note=note)
    note = (
        f"JSON of {longest:,} bytes, where a field holds {MAX_JSON_BYTES:,}"
        if longest > MAX_JSON_BYTES
        else seen.note
    )
    return replace(seen, longest=longest, note=note)
