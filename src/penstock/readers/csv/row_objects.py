"""Rows of CSV as JSON objects, for reports of rejected rows: corrected, they are imported as rows of JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from penstock.domain.schema import DataType, Field
from penstock.readers.csv.cells import FALSE_WORDS, TRUE_WORDS

_TEXT_TYPES = frozenset({DataType.VARCHAR, DataType.TEXT, DataType.TIMESTAMPTZ, DataType.GEOMETRY})
_WORDS: Mapping[str, bool] = dict.fromkeys(TRUE_WORDS, True) | dict.fromkeys(FALSE_WORDS, False)


def row_object(names: Sequence[str], cells: Sequence[str], fields: Mapping[str, Field], null_key: str) -> str:
    """The JSON text of a row: cells as values of their fields, and as text where they are none.

    Null cells are left out; but an empty cell of a text field stays, since it may have been quoted.
    """
    values: dict[str, object] = {}
    for name, cell in zip(names, cells, strict=False):
        field = fields.get(name)
        is_text = field is None or field.type in _TEXT_TYPES
        if cell == null_key and not (is_text and cell == ""):
            continue
        values[name] = cell if is_text or field is None else _value(cell, field)
    return orjson.dumps(values).decode()


def _value(cell: str, field: Field) -> object:
    if field.type is DataType.BOOL:
        return _WORDS.get(cell, cell)
    try:
        orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell
    return orjson.Fragment(cell)  # a number keeps its digits
