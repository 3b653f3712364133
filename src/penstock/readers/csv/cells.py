"""Convert CSV cells, as bytes, to columns of canonical Arrow types.

Scalars are cast a column at a time; the first bad row is looked for only when a cast fails. Cells of vectors, arrays,
JSON and sparse vectors hold JSON text and use the same column builders as JSON rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.arrow_values import is_utf8
from penstock.readers.columns.json_values import JsonParser, holds
from penstock.readers.columns.row_builder import make_column
from penstock.readers.columns.scalars import INTEGER_TYPES, check_floats
from penstock.readers.columns.structs import StructColumn
from penstock.readers.columns.vectors import check_flat
from penstock.rules.bad_rows import BadRows, aligned, build_column, take_rows
from penstock.rules.forms import FORMS, type_error
from penstock.rules.geometries import wkt_of_texts
from penstock.rules.json_texts import check_json_texts
from penstock.rules.numbers import WHOLE_RANGES, float_error, integer_error, whole_number
from penstock.rules.rule import WarningSink
from penstock.rules.table import NOT_NULL, TEXT_ENCODING
from penstock.rules.texts import check_lengths
from penstock.rules.times import micros_of_texts
from penstock.rules.violations import Places, changed, each, first_refused, refuse, violation


class CellColumn(Protocol):
    """Converts the cells of some rows (binary, null where the null key is unquoted) to the field's column."""

    def __call__(self, cells: pa.Array[Any], bad: BadRows | None = None) -> pa.Array[Any]:
        """Raises DataError with the row among ``cells``, or adds it to ``bad``; its value is arbitrary then."""
        ...


TRUE_WORDS = ["1", "t", "T", "TRUE", "true", "True"]
FALSE_WORDS = ["0", "f", "F", "FALSE", "false", "False"]
_DIGITS = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MAX_DIGITS = 20
_NULL_WORDS = frozenset({"", "null", "none", "nil", "nan", "na", "n/a", "<na>", "#n/a", "\\n"})
"""Common spellings of a missing value, in lower case."""


_PARSED = {DataType.TIMESTAMPTZ: micros_of_texts, DataType.GEOMETRY: wkt_of_texts}


def cell_column(field: Field, null_key: str, note: WarningSink) -> CellColumn:
    """Return the converter for a field's cells; ``note`` is called for values that the store rounds."""
    null_bytes = null_key.encode()
    if field.type.is_vector or field.type in (DataType.ARRAY, DataType.ARRAY_OF_STRUCT):
        return lambda cells, bad=None: _nested(field, null_bytes, cells, note, bad)
    if field.type.is_text:
        return _by_columns(lambda cells: _varchar(field, null_key, cells))
    if field.type is DataType.JSON:
        return _by_columns(lambda cells: _json(field, null_bytes, cells, note))
    return _by_columns(lambda cells: _scalar(field, null_bytes, cells))


def _by_columns(convert: Callable[[pa.Array[Any]], pa.Array[Any]]) -> CellColumn:
    def column(cells: pa.Array[Any], bad: BadRows | None = None) -> pa.Array[Any]:
        if bad is None:
            return convert(cells)
        converted: pa.Array[Any] = build_column(lambda rows: convert(take_rows(cells, rows)), len(cells), bad)
        return converted

    return column


def decode_text(field: Field, cells: pa.Array[Any]) -> pa.Array[Any]:
    """Decode binary cells to strings; raises for the first that is not UTF-8."""
    try:
        return cells.cast(pa.string())
    except pa.ArrowInvalid:
        bad = [row for row, value in enumerate(cells.to_pylist()) if value is not None and not is_utf8(value)]
        if not bad:
            raise

        def error_of(row: int) -> DataError:
            return TEXT_ENCODING.error(field, value=cells[row].as_py())

        raise violation(bad[0], each(error_of), lambda: np.array(bad, np.int64)) from None


def _type_error(field: Field, text: str) -> DataError:
    """Error for a cell that spells no value of the field's type."""
    return type_error(field, "text", FORMS[field.type].json, value=text, remedy=_null_hint(field, text))


def _null_hint(field: Field, text: str) -> str | None:
    """Hint for a cell that means null in other programs' files."""
    if text.casefold() not in _NULL_WORDS:
        return None
    hint = f"If it means null, set the option nullkey to {text!r}"
    return hint if field.nullable or field.default is not None else f"{hint} and make the field nullable"


def _varchar(field: Field, null_key: str, cells: pa.Array[Any]) -> pa.Array[Any]:
    strings: Any = decode_text(field, cells)
    if strings.null_count:
        # Without null and default the null key is an ordinary text, as in Milvus: "" is a valid string.
        literal = null_key if field.default is None and not field.nullable else field.default
        if literal is not None:
            strings = pc.fill_null(strings, literal)
    check_lengths(field, strings)
    return cast("pa.Array[Any]", strings)


def mark_nulls(cells: pa.Array[Any], null_key: bytes) -> pa.Array[Any]:
    """Replace quoted null keys by null too: outside of text, quoting makes no difference."""
    same: Any = pc.equal(cells, pa.scalar(null_key, pa.binary()))
    if not pc.any(same).as_py():
        return cells
    return cast("pa.Array[Any]", pc.if_else(pc.fill_null(same, False), pa.scalar(None, cells.type), cells))


def _refuse_nulls(field: Field, texts: Any) -> None:
    refuse(pc.is_null(texts).to_numpy(zero_copy_only=False), each(lambda _: NOT_NULL.error(field)))


def _scalar(field: Field, null_key: bytes, cells: pa.Array[Any]) -> pa.Array[Any]:
    texts: Any = pc.utf8_trim_whitespace(decode_text(field, mark_nulls(cells, null_key)))
    if texts.null_count and field.default is None and not field.nullable:
        _refuse_nulls(field, texts)
    values: Any = _values(field, texts)
    if field.default is not None:
        values = pc.fill_null(values, pa.scalar(field.default, values.type))
    return cast("pa.Array[Any]", values)


def _values(field: Field, texts: Any) -> pa.Array[Any]:
    if field.type is DataType.BOOL:
        return _bools(field, texts)
    if field.type in _PARSED:
        return _parsed(field, texts)
    return _numbers(field, texts)


def _parsed(field: Field, texts: Any) -> pa.Array[Any]:
    try:
        return cast("pa.Array[Any]", _PARSED[field.type](texts, field))
    except DataError as error:
        raise changed(
            error, lambda other: other.at(remedy=_null_hint(field, str(other.value)) or other.remedy)
        ) from None


def _bools(field: Field, texts: Any) -> pa.Array[Any]:
    true = pc.is_in(texts, pa.array(TRUE_WORDS))
    valid = pc.or_(true, pc.or_(pc.is_in(texts, pa.array(FALSE_WORDS)), pc.is_null(texts)))
    if not pc.all(valid, min_count=0).as_py():
        wrong = ~valid.to_numpy(zero_copy_only=False)
        refuse(wrong, each(lambda row: _type_error(field, texts[row].as_py())))
    return cast("pa.Array[Any]", pc.if_else(pc.is_null(texts), pa.scalar(None, pa.bool_()), true))


def _numbers(field: Field, texts: Any) -> pa.Array[Any]:
    if field.type.is_integer:
        return _integers(field, texts)
    try:
        doubles: Any = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        row = _first_failing(texts, pa.float64())
        raise violation(
            row,
            each(lambda place: _type_error(field, texts[place].as_py())),
            lambda: _uncastable(texts, row, pa.float64()),
        ) from None
    filled: Any = pc.fill_null(doubles, 0.0)
    values = filled.to_numpy()

    def error_of(row: int) -> DataError:
        text = texts[row].as_py()
        error = float_error(field, float(values[row]))
        return error.at(value=text, remedy=_null_hint(field, text) or error.remedy)

    numbers = check_floats(field, values, error_of)
    if field.type is DataType.DOUBLE:
        return cast("pa.Array[Any]", doubles)
    mask = pc.is_null(doubles).to_numpy(zero_copy_only=False) if doubles.null_count else None
    narrowed: pa.Array[Any] = pa.array(numbers, mask=mask)
    return narrowed


def _first_failing(texts: pa.Array[Any], target: pa.DataType) -> int:
    """Find the first cell that can't be cast, by binary search."""
    low, high = 0, len(texts)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            texts.slice(low, middle - low).cast(target)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _uncastable(texts: Any, first: int, target: pa.DataType) -> Places:
    """The cells that can't be cast, among those of an unusual spelling and the ``first``."""
    doubtful = sorted({first, *_unusual(texts, _DECIMAL.pattern).tolist()})
    return np.array([row for row in doubtful if not _casts(texts[row], target)], np.int64)


def _unusual(texts: Any, pattern: str) -> Any:
    """The rows of the texts that don't have the form of a pattern."""
    return np.flatnonzero(
        pc.invert(pc.match_substring_regex(texts, f"^(?:{pattern})$")).fill_null(False).to_numpy(False)
    )


def _casts(text: Any, target: pa.DataType) -> bool:
    try:
        text.cast(target)
    except pa.ArrowInvalid:
        return False
    return True


def _integers(field: Field, texts: Any) -> pa.Array[Any]:
    target = INTEGER_TYPES[field.type]
    # Arrow accepts hexadecimal digits too, and nothing but digits.
    if not pc.any(pc.match_substring_regex(texts, "[xX]")).as_py():
        try:
            return cast("pa.Array[Any]", texts.cast(target))
        except pa.ArrowInvalid:
            pass
    numbers: list[int | None] = []
    for row, text in enumerate(texts.to_pylist()):
        try:
            numbers.append(None if text is None else _integer(field, text))
        except DataError:
            raise first_refused(
                row,
                lambda place: _integer(field, texts[place].as_py()),
                partial(_doubtful_integers, field, texts, row),
            ) from None
    return pa.array(numbers, target)


def _doubtful_integers(field: Field, texts: Any, first: int) -> list[int]:
    """The cells that aren't a few digits, and the ``first`` bad one."""
    digits = len(str(WHOLE_RANGES[field.type][1])) - 1
    return sorted({first, *_unusual(texts, rf"[+-]?[0-9]{{1,{digits}}}").tolist()})


def _integer(field: Field, text: str) -> int:
    """Parse digits with an optional sign; with a fraction or exponent only if exact, as in JSON."""
    low, high = WHOLE_RANGES[field.type]
    if _DIGITS.fullmatch(text):
        # Without leading zeros, which may be more digits than the interpreter parses.
        digits = text.lstrip("+-0") or "0"
        number = int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
        number = -number if text.startswith("-") else number
        if low <= number <= high:
            return number
        raise integer_error(field, number, shown=text)
    if not _DECIMAL.fullmatch(text):
        raise _type_error(field, text)
    return whole_number(field, float(text), shown=text)


def _nested(
    field: Field, null_key: bytes, cells: pa.Array[Any], note: WarningSink, bad: BadRows | None = None
) -> pa.Array[Any]:
    cells = mark_nulls(cells, null_key)
    column = make_column(field, len(cells), note)
    # A new parser per call: one that failed can't be reused, since the error keeps what was parsed alive.
    parser = JsonParser()
    flat = field.type.is_dense_vector
    kept: list[int] = []
    with np.errstate(over="ignore"):
        for row, text in enumerate(cells.to_pylist()):
            try:
                value = None if text is None else parser.parse(text)
                column.add(value)
                # The parser flattens nested lists silently.
                if text is not None and value is not None:
                    if flat:
                        if not holds(text, b"[", 1):
                            check_flat(field, value)
                    elif isinstance(column, StructColumn) and not holds(text, b"[", column.brackets):
                        column.check_flat(value)
                kept.append(row)
            except DataError as error:
                cell_error = _cell_error(error, field, text).at(row=row)
                if bad is None:
                    raise cell_error from None
                bad.add(row, cell_error)
                column.truncate(len(kept))
                value, parser = None, JsonParser()
            # The parser can't be reused while a proxy of its last text is alive.
            value = None
    if bad is None:
        return column.take()
    bad_kept = BadRows()
    taken: pa.Array[Any] = column.take(bad_kept)
    for place in bad_kept.rows.tolist():
        for reason in bad_kept.errors(place):
            bad.add(kept[place], reason.at(row=kept[place]))
    return cast("pa.Array[Any]", aligned(taken, np.array(kept, np.int64), len(cells)))


def _json(field: Field, null_key: bytes, cells: pa.Array[Any], note: WarningSink) -> pa.Array[Any]:
    """Check that cells are JSON, and keep their text unchanged. ``null`` is null in all fields."""
    texts: Any = decode_text(field, mark_nulls(cells, null_key))
    is_null: Any = pc.match_substring_regex(texts, r"^\s*null\s*$")
    if pc.any(is_null).as_py():
        texts = pc.if_else(is_null, pa.scalar(None, pa.string()), texts)
    if texts.null_count and not field.nullable:
        _refuse_nulls(field, texts)
    try:
        return cast("pa.Array[Any]", check_json_texts(texts, field, note))
    except DataError as error:
        # The value of the error is the text, cut where it is far longer than a word that means null.
        raise changed(error, lambda other: _cell_error(other, field, str(other.value).encode())) from None


def _cell_error(error: DataError, field: Field, text: bytes | None) -> DataError:
    value = error.value if error.value is not None or text is None else text[:80].decode(errors="replace")
    # For a struct array the bad part, else the column: a JSON error may name a key within the cell.
    part = error.field if error.field and error.field.startswith(f"{field.name}[") else field.name
    hint = _null_hint(field, str(value).strip()) if text is not None and len(text) < _MAX_DIGITS else None
    return error.at(field=part, value=value, offset=None, remedy=hint or error.remedy)
