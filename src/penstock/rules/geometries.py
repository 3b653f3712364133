"""Geometries, given as well-known text (WKT) or well-known binary (WKB)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.domain.schema import MAX_TEXT_BYTES, Field
from penstock.rules.rule import Array
from penstock.rules.table import GEOMETRY, MAX_GEOMETRY_DEPTH
from penstock.rules.violations import each, violation

_BRACKETS = re.compile(r"[()]")
_NOT_FINITE = re.compile(r"nan|inf", re.IGNORECASE)
_COLLECTIONS = re.compile(
    rb"\x01[\x07\xef\xd7\xbf][\x00\x03\x07\x0b]\x00|\x00[\x00\x20\x40\x80]\x00[\x00\x03\x07\x0b][\x07\xef\xd7\xbf]"
)
"""The begin of a collection in WKB, of either byte order and any number of dimensions. It may occur by chance too."""


def wkt_of_texts(texts: Array, field: Field, row_of: Callable[[int], int] = int) -> Array:
    """Parse a column of WKT, and write it in one form: ``point(1.50 2)`` becomes ``POINT (1.5 2)``. Nulls stay nulls.

    Raises:
        DataError: the first text that is not a geometry.
    """
    return _column(texts.to_pylist(), _parse_text, field, row_of)


def wkt_of_binary(values: Array, field: Field) -> Array:
    """Parse a column of WKB. Raises as :func:`wkt_of_texts`."""
    return _column(values.to_pylist(), _parse_binary, field, int)


def wkt_of_text(text: str, field: Field) -> str:
    """Parse one text. Raises as :func:`wkt_of_texts`, without a row."""
    try:
        return _write(_parse_text([text]))[0]
    except _InvalidGeometry as error:
        raise GEOMETRY.error(field, value=text, problem=error) from None


class _InvalidGeometry(ValueError):
    pass


def _column(
    values: list[Any], parse: Callable[[Sequence[Any]], Any], field: Field, row_of: Callable[[int], int]
) -> Array:
    positions = [position for position, value in enumerate(values) if value is not None]
    given = [values[position] for position in positions]
    try:
        written = _write(parse(given))
    except _InvalidGeometry:
        problems = {
            position: problem
            for position in positions
            if (problem := _problem_of(values[position], parse)) is not None
        }
        if not problems:
            raise
        bad = np.array(list(problems), np.int64)
        raise violation(
            int(bad[0]),
            each(lambda place: GEOMETRY.error(field, value=values[place], problem=problems[place])),
            lambda: bad,
            row_of,
        ) from None
    texts: list[str | None] = [None] * len(values)
    for position, text in zip(positions, written, strict=True):
        texts[position] = text
    return pa.array(texts, pa.string())


def _problem_of(value: Any, parse: Callable[[Sequence[Any]], Any]) -> str | None:
    try:
        _write(parse([value]))
    except _InvalidGeometry as error:
        return str(error)
    return None


def _parse_text(texts: Sequence[str]) -> Any:
    import shapely

    for text in texts:
        if len(text) > MAX_TEXT_BYTES:
            raise _InvalidGeometry(f"it has more than {MAX_TEXT_BYTES:,} characters")
        if "\0" in text:
            raise _InvalidGeometry("it has a NUL character")
        if text.count("(") > MAX_GEOMETRY_DEPTH:
            _check_depth(text)
    return _parsed(shapely.from_wkt, texts)


def _parse_binary(values: Sequence[bytes]) -> Any:
    import shapely

    for value in values:
        if len(value) > MAX_TEXT_BYTES:
            raise _InvalidGeometry(f"it has more than {MAX_TEXT_BYTES:,} bytes")
        # The parser calls itself for each level.
        if len(_COLLECTIONS.findall(value)) > MAX_GEOMETRY_DEPTH:
            raise _InvalidGeometry(f"it has more than {MAX_GEOMETRY_DEPTH} collections")
    return _parsed(shapely.from_wkb, values)


def _parsed(parse: Callable[..., Any], values: Sequence[Any]) -> Any:
    import shapely

    objects = np.empty(len(values), object)
    objects[:] = values
    try:
        with np.errstate(all="ignore"):
            return parse(objects)
    except (shapely.errors.ShapelyError, NotImplementedError, UnicodeError) as error:
        raise _InvalidGeometry(str(error).removeprefix("ParseException: ")) from None


def _check_depth(text: str) -> None:
    depth = 0
    for bracket in _BRACKETS.findall(text):
        depth += 1 if bracket == "(" else -1
        if depth > MAX_GEOMETRY_DEPTH:
            raise _InvalidGeometry(f"it nests more than {MAX_GEOMETRY_DEPTH} levels deep")


def _write(geometries: Any) -> list[str]:
    import shapely

    with np.errstate(all="ignore"):
        texts: list[str] = shapely.to_wkt(geometries, rounding_precision=-1, trim=True).tolist()
    for text in texts:
        if _NOT_FINITE.search(text):
            raise _InvalidGeometry("a coordinate is not a finite number")
        if text.startswith("LINEARRING"):
            raise _InvalidGeometry("a ring is part of a polygon only")
        if len(text) > MAX_TEXT_BYTES:
            raise _InvalidGeometry(f"it has more than {MAX_TEXT_BYTES:,} characters")
    return texts
