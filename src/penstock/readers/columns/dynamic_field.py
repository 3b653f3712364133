"""Column builder for the dynamic field, ``$meta``: a row's unknown keys and its ``$meta`` key, as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from penstock.errors import DataError
from penstock.readers.columns.json_values import JsonParser, first_duplicate, is_json_object, text_of
from penstock.rules.bad_rows import BadRows, build_column, take_rows
from penstock.rules.json_texts import DYNAMIC, check_dynamic_texts
from penstock.rules.rule import WarningSink
from penstock.rules.table import DYNAMIC_KEYS, DYNAMIC_OBJECT, DYNAMIC_TEXT, JSON_SIZE, MAX_JSON_BYTES

_LEAST_PAIR_BYTES = 5
"""Minimum bytes of a key and value in a JSON object: ``"":1,``."""
_PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types of values whose text needs no check but of its length: they are no containers, and within 64 bits."""


class DynamicFieldBuilder:
    """Build the ``$meta`` column.

    Args:
        taken: names of the fields, which ``$meta`` must not hold.
        note: called for whole numbers that are rounded.
    """

    def __init__(self, taken: Sequence[str], note: WarningSink) -> None:
        self._taken = frozenset(taken)
        self._note = note
        self._texts: list[str] = []
        self._unchecked: list[int] = []
        self._inner = JsonParser()

    def add(self, extras: Mapping[str, Any], meta: Any) -> int:
        """Append a row: ``extras`` are JSON values by key. Returns the number of ``[`` in the text."""
        if len(extras) * _LEAST_PAIR_BYTES > MAX_JSON_BYTES:
            raise JSON_SIZE.error(DYNAMIC)
        text = text_of(extras) if extras else "{}"
        if meta is not None:
            keys, inner = self._open(meta)
            for key in extras:
                if key in keys:
                    raise DYNAMIC_KEYS.error(DYNAMIC, key=key).at(field=key)
            text = f"{text[:-1]},{inner}}}" if extras and inner else f"{{{inner}}}" if inner else text
        # A character has up to four bytes.
        if len(text) * 4 > MAX_JSON_BYTES and len(text.encode()) > MAX_JSON_BYTES:
            raise JSON_SIZE.error(DYNAMIC)
        if meta is not None or not _PLAIN.issuperset(map(type, extras.values())):
            self._unchecked.append(len(self._texts))
        self._texts.append(text)
        return text.count("[")

    def _open(self, meta: Any) -> tuple[set[str], str]:
        """Return the keys of a ``$meta`` value and its text without the outer braces."""
        value = meta
        if type(meta) is str:
            if len(meta) > MAX_JSON_BYTES:
                raise JSON_SIZE.error(DYNAMIC)
            try:
                value = self._inner.parse(meta.encode())
            except DataError as error:
                raise DYNAMIC_TEXT.error(DYNAMIC, value=meta, error=error.rule) from None
        if not is_json_object(value):
            raise DYNAMIC_OBJECT.error(DYNAMIC, value=text_of(value))
        if len(value) * _LEAST_PAIR_BYTES > MAX_JSON_BYTES:
            raise JSON_SIZE.error(DYNAMIC)
        keys = list(value)
        if (duplicate := first_duplicate(keys)) is not None:
            raise DYNAMIC_KEYS.error(DYNAMIC, key=duplicate).at(field=duplicate)
        return set(keys), text_of(value)[1:-1]

    def truncate(self, rows: int) -> None:
        """Keep the first rows since the last :meth:`take` only."""
        del self._texts[rows:]
        while self._unchecked and self._unchecked[-1] >= rows:
            self._unchecked.pop()

    def take(self, bad: BadRows | None = None) -> pa.Array[Any]:
        """Return the rows since the last call. Raises DataError with the row among them, or adds it to ``bad``."""
        texts, self._texts = self._texts, []
        rows, self._unchecked = self._unchecked, []
        if rows:
            column = pa.array([texts[row] for row in rows], pa.string())
            bad_texts = None if bad is None else BadRows()
            try:
                checked: pa.Array[Any] = build_column(
                    lambda places: check_dynamic_texts(take_rows(column, places), self._taken, self._note),
                    len(rows),
                    bad_texts,
                )
            except DataError as error:
                raise error.at(row=rows[error.row or 0]) from None
            if bad is not None and bad_texts:
                for place in bad_texts.rows.tolist():
                    for reason in bad_texts.errors(place):
                        bad.add(rows[place], reason.at(row=rows[place]))
            if len(rows) == len(texts):
                return checked
            for row, text in zip(rows, checked.to_pylist(), strict=True):
                texts[row] = str(text)
        return pa.array(texts, pa.string())
