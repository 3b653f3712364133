"""Rows of CSV as JSON objects, for reports of rejected rows: corrected, they are imported as rows of JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import orjson

from penstock.domain.schema import META_FIELD, DataType, Field
from penstock.readers.csv.cells import FALSE_WORDS, TRUE_WORDS

_STRIPPED = frozenset({DataType.TIMESTAMPTZ, DataType.GEOMETRY})
_WORDS: Mapping[str, bool] = dict.fromkeys(TRUE_WORDS, True) | dict.fromkeys(FALSE_WORDS, False)
_NUMBER = re.compile(r"(?=[+-]?\.?[0-9])([+-]?)0*([0-9]*)(?:\.([0-9]*))?((?:[eE][+-]?[0-9]+)?)")


def row_object(names: Sequence[str], row: str, separator: str, fields: Mapping[str, Field], null_key: str) -> str:
    """The JSON text of a row: cells as values of their fields, and as text where they are none. Null cells are left
    out."""
    values: dict[str, object] = {}
    for name, (cell, is_quoted) in zip(names, _cells(row, separator), strict=False):
        field = fields.get(name)
        is_text = name != META_FIELD if field is None else field.type.is_text
        if cell == null_key and not (is_text and (is_quoted or _is_never_null(field))):
            continue
        values[name] = cell if is_text or field is None else _value(cell, field)
    return orjson.dumps(values).decode()


def _cells(row: str, separator: str) -> Iterator[tuple[str, bool]]:
    """The cells of a row without misplaced quotes, and whether each is in quotes."""
    start = stop = 0
    while stop < len(row) or start == stop:
        is_quoted = row.startswith('"', start)
        if is_quoted:
            end = row.index('"', start + 1)
            while row.startswith('"', end + 1):
                end = row.index('"', end + 2)
            yield row[start + 1 : end].replace('""', '"'), True
            stop = end + 1
        else:
            stop = row.find(separator, start)
            stop = len(row) if stop < 0 else stop
            yield row[start:stop], False
        start = stop + 1


def _is_never_null(field: Field | None) -> bool:
    """Whether the null key is an ordinary text in a column."""
    return field is not None and not field.nullable and field.default is None


def _value(cell: str, field: Field) -> object:
    stripped = cell.strip()
    if field.type in _STRIPPED:
        return stripped
    if field.type is DataType.BOOL:
        return _WORDS.get(stripped, cell)
    if field.type.is_number:
        return _number(stripped) or cell
    try:
        orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell
    return orjson.Fragment(cell)  # its numbers keep their digits


def _number(text: str) -> orjson.Fragment | None:
    """A number with all its digits, in JSON's spelling: ``+07``, ``.5`` and ``5.`` are none there."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, exponent = match.groups()
    return orjson.Fragment(
        f"{'-' if sign == '-' else ''}{whole or '0'}{f'.{fraction}' if fraction else ''}{exponent}"
    )
