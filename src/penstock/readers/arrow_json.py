"""Convert Arrow columns of any type to JSON text, vectorised, for dynamic values and fields of type JSON.

Texts, UUIDs and times become strings, numbers numbers, structs and maps objects, lists lists. Types without a JSON
form are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from penstock.errors import DataError, shorten
from penstock.readers.arrow_values import (
    floats_of_decimals,
    is_binary,
    is_json,
    is_list,
    is_string,
    is_time,
    iso_texts,
    plain,
    utf8_texts,
)
from penstock.rules.rule import Array, WarningSink

MAX_DEPTH = 100
"""Maximum nesting of types; a file's schema may have thousands of levels."""
STEP_BYTES = 32 << 20
"""Approximate bytes of text per step."""
LONGEST = 16 << 20
"""Bytes of text above which a row is refused unconverted: the limit of a JSON value is much lower."""

_NUMBER, _TIME = 24, 40
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_OTHER_CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f]"


def json_texts(array: Array, column: pa.Field[Any] | None, note: WarningSink) -> Array:
    """Convert each value to JSON text; a null stays null.

    ``column`` is the array's field in the Arrow schema. ``note`` is called for rounded decimals.

    Raises:
        DataError: a value has no JSON form; the row is that in ``array``, or None where the type has none.
    """
    slices = []
    for start, count in _steps(len(array), lambda start, count: text_bytes(array.slice(start, count), column)):
        try:
            slices.append(_Converter(note).texts(array.slice(start, count), column, 0))
        except DataError as error:
            raise error if error.row is None or not start else error.at(row=start + error.row) from None
    return pa.concat_arrays(slices) if len(slices) != 1 else slices[0]


def object_texts(columns: Mapping[str, tuple[Array, pa.Field[Any] | None]], rows: int, note: WarningSink) -> Array:
    """Build a JSON object per row, its values by the names of ``columns``. Nulls are left out.

    Raises:
        DataError: as :func:`json_texts`; names the column.
    """
    slices = []
    for start, count in _steps(rows, lambda start, count: object_bytes(columns, start, count)):
        pairs: list[Array] = []
        for name, (array, column) in columns.items():
            try:
                texts = _Converter(_naming(name, note)).texts(array.slice(start, count), column, 0)
            except DataError as error:
                row = None if error.row is None else start + error.row
                raise error.at(field=name, row=row) from None
            pairs.append(_join(f"{_quoted(name)}:", texts))
        slices.append(_objects(pairs, count))
    return pa.concat_arrays(slices)


def _naming(name: str, note: WarningSink) -> WarningSink:
    return lambda what, rows: note(f"column {shorten(name, 200)!r}: {what}", rows)


def object_bytes(columns: Mapping[str, tuple[Array, pa.Field[Any] | None]], start: int, count: int) -> int:
    """Estimate the bytes of some rows' objects. Raises DataError, with the column, for a type without a JSON form."""
    size = 0
    for name, (array, column) in columns.items():
        try:
            size += count * (2 * len(name) + 4) + text_bytes(array.slice(start, count), column)
        except DataError as error:
            raise error.at(field=name) from None
    return size


def _steps(rows: int, size_of: Callable[[int, int], int]) -> list[tuple[int, int]]:
    """Cut rows into slices (start, count) with at most ``STEP_BYTES`` of text, or of a single row."""
    steps: list[tuple[int, int]] = []
    pending = [(0, rows)]
    while pending:
        start, count = pending.pop()
        size = size_of(start, count)
        if count > 1 and size > STEP_BYTES:
            half = count // 2
            pending += [(start + half, count - half), (start, half)]
        elif count == 1 and size > LONGEST:
            raise DataError(
                f"the row takes some {size:,} bytes as JSON text, far more than a JSON value may have",
                row=start,
                remedy="Leave the large column out, or store it elsewhere.",
            )
        else:
            steps.append((start, count))
    return steps


def text_bytes(array: Array, column: pa.Field[Any] | None = None, depth: int = 0) -> int:
    """Estimate the bytes of the JSON texts without building them: keys of structs count for each value."""
    if is_json(array.type):
        return text_bytes(array.storage)
    array = plain(array, column)
    kind, count = array.type, len(array)
    if depth > MAX_DEPTH:
        raise _too_deep()
    if is_string(kind) or is_binary(kind):
        lengths: Array = pc.binary_length(array.cast(pa.large_binary()))
        return 2 * (pc.sum(lengths).as_py() or 0) + 2 * count
    if pt.is_map(kind):
        array = _entries(array)
        kind = array.type
    if is_list(kind):
        return 2 * count + text_bytes(array.flatten(), kind.value_field, depth + 1)
    if pt.is_struct(kind):
        keys = sum(2 * len(child.name) + 4 for child in kind)
        children = zip(array.flatten(), kind, strict=True)
        return count * (keys + 2) + sum(text_bytes(values, child, depth + 1) for values, child in children)
    return count * (_TIME if pt.is_temporal(kind) else _NUMBER)


def _entries(array: Array) -> Array:
    """Cast a map to its underlying list of structs."""
    kind = array.type
    entry = pa.struct([kind.key_field.with_name("key"), kind.item_field.with_name("value")])
    return array.cast(pa.list_(pa.field("entries", entry, nullable=False)))


@dataclass(frozen=True, slots=True)
class _Converter:
    """Converter of one column."""

    note: WarningSink

    def texts(self, array: Array, column: pa.Field[Any] | None, depth: int) -> Array:
        """Convert values to JSON text as ``string``; null stays null."""
        if depth > MAX_DEPTH:
            raise _too_deep()
        if is_json(array.type):
            return _checked_json(plain(array))
        array = plain(array, column)
        kind = array.type
        if pt.is_null(kind):
            return pa.nulls(len(array), pa.string())
        if pt.is_boolean(kind) or pt.is_integer(kind):
            return array.cast(pa.string())
        if pt.is_floating(kind):
            return _float_texts(array)
        if pt.is_decimal(kind):
            return self._decimal_texts(array)
        if is_string(kind) or is_binary(kind):
            return _string_texts(utf8_texts(array))
        if is_time(kind):
            return _join('"', iso_texts(array), '"')
        if is_list(kind):
            return self._list_texts(array, depth)
        if pt.is_map(kind):
            return self._map_texts(array, depth)
        if pt.is_struct(kind):
            return self._struct_texts(array, depth)
        raise DataError(
            f"values of type {kind} have no JSON form",
            remedy="Write the column as text, numbers or lists of these, or leave it out.",
        )

    def _decimal_texts(self, array: Array) -> Array:
        if array.type.scale == 0:
            return array.cast(pa.string())  # whole numbers beyond 64 bits are rounded where they are stored
        floats, rounded = floats_of_decimals(array, pa.float64())
        if rounded:
            self.note(f"{array.type} values were rounded to float64", rounded)
        return _float_texts(floats)

    def _list_texts(self, array: Array, depth: int) -> Array:
        lengths = pc.list_value_length(array).cast(pa.int64()).fill_null(0).to_numpy()
        with _row_errors(lengths):
            texts = self.texts(array.flatten(), array.type.value_field, depth + 1)
        return _bracketed("[", texts.fill_null("null"), "]", lengths, array)

    def _map_texts(self, array: Array, depth: int) -> Array:
        entries = _entries(array)
        lengths = pc.list_value_length(entries).cast(pa.int64()).fill_null(0).to_numpy()
        structs = entries.flatten()
        keys, items = structs.flatten()
        with _row_errors(lengths):
            names = _key_texts(plain(keys, array.type.key_field), lengths)
            texts = self.texts(items, array.type.item_field, depth + 1).fill_null("null")
        return _bracketed("{", _join("", names, ":", texts), "}", lengths, entries)

    def _struct_texts(self, array: Array, depth: int) -> Array:
        names = [child.name for child in array.type]
        if len(set(names)) < len(names):
            raise DataError(f"{array.type} has two fields of one name", remedy="Give each field a name of its own.")
        pairs = [
            _join(f"{_quoted(child.name)}:", self.texts(values, child, depth + 1).fill_null("null"))
            for values, child in zip(array.flatten(), array.type, strict=True)
        ]
        objects = _objects(pairs, len(array))
        return pc.if_else(array.is_valid(), objects, pa.scalar(None, pa.string())) if array.null_count else objects


@contextmanager
def _row_errors(lengths: Any) -> Iterator[None]:
    """Translate the element index of errors raised inside to the row of the list that holds it."""
    try:
        yield
    except DataError as error:
        if error.row is None:
            raise
        raise error.at(row=int(np.searchsorted(np.cumsum(lengths), error.row, side="right"))) from None


def _too_deep() -> DataError:
    return DataError(
        f"more than {MAX_DEPTH} types stand in each other", remedy="Write the column flatter, or as JSON text."
    )


def _quoted(name: str) -> str:
    return orjson.dumps(name).decode()


def _join(*parts: Any) -> Array:
    strings: list[Any] = [pa.scalar(part) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*strings, "")


def _objects(pairs: Sequence[Array], count: int) -> Array:
    """Join pairs to objects; null pairs are left out."""
    if not pairs:
        return pa.repeat(pa.scalar("{}"), count)
    # With null_handling="skip" pyarrow 26 omits the value of a row of nulls.
    objects = _join("{", *(_join(",", pair).fill_null("") for pair in pairs), "}")
    return pc.replace_substring(objects, "{,", "{", max_replacements=1)


def _bracketed(start: str, texts: Array, end: str, lengths: Any, array: Array) -> Array:
    places = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=places[1:])
    offsets: Any = pa.array(places)
    mask = array.is_null() if array.null_count else None
    lists = pa.ListArray.from_arrays(offsets, texts, mask=mask)
    return _join(start, pc.binary_join(lists, ","), end)


def _float_texts(array: Array) -> Array:
    """Format floats with the shortest digits that round-trip; whole ones end in ``.0``."""
    if pt.is_float16(array.type):
        array = array.cast(pa.float32())
    finite: Array = pc.is_finite(array)
    row = finite.index(False).as_py()
    if row >= 0:
        value = array[row].as_py()
        name = "NaN" if value != value else "Inf" if value > 0 else "-Inf"
        raise DataError(
            f"value '{name}' is not a number or infinity",
            row=row,
            value=name,
            remedy="Replace it by a finite number or null, or leave the row out.",
        )
    return pc.replace_substring_regex(array.cast(pa.string()), r"^(-?\d+)$", r"\1.0")


def _string_texts(texts: Array) -> Array:
    escaped = texts
    for character, escape in _ESCAPES.items():
        escaped = pc.replace_substring(escaped, character, escape)
    rare: Array = pc.match_substring_regex(texts, _OTHER_CONTROLS)
    if pc.any(rare).as_py():
        rare_texts = [_quoted(text)[1:-1] for text in texts.filter(rare).to_pylist()]
        escaped = pc.replace_with_mask(escaped, rare.fill_null(False), pa.array(rare_texts, pa.string()))
    return _join('"', escaped, '"')


def _key_texts(keys: Array, lengths: Any) -> Array:
    """Convert keys of maps to JSON strings. Rows in errors count keys."""
    if pt.is_integer(keys.type):
        texts = keys.cast(pa.string())
    elif is_string(keys.type) or is_binary(keys.type):
        texts = utf8_texts(keys)
    elif is_time(keys.type):
        texts = iso_texts(keys)
    else:
        raise DataError(f"maps with keys of type {keys.type} have no JSON form", remedy="Write the keys as text.")
    codes = texts.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((codes, rows))
    same = (np.diff(rows[order]) == 0) & (np.diff(codes[order]) == 0)
    if same.any():
        at = int(order[1:][same].min())
        raise DataError(
            f"the map has the key {texts[at].as_py()!r} twice", row=at, remedy="Give each key of a map once."
        )
    return _string_texts(texts)


def _checked_json(texts: Array) -> Array:
    """Check that each value is JSON: invalid text would change the meaning of the objects it is joined into."""
    texts = utf8_texts(texts)
    for row, value in enumerate(texts.to_pylist()):
        if value is not None:
            try:
                orjson.loads(value)
            except orjson.JSONDecodeError as error:
                raise DataError(
                    f"the text is not JSON: {error}",
                    row=row,
                    value=value,
                    remedy="Write each value with a JSON library; a plain word needs quotes.",
                ) from None
    return texts
