"""Conform Geometry columns: well-known text in one form."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.schema import Field
from penstock.readers.arrow_values import is_binary
from penstock.rules.geometries import wkt_of_binary, wkt_of_texts
from penstock.rules.rule import Array
from penstock.validation.errors import mismatch
from penstock.validation.text import is_text, utf8

GEOMETRY_EXTENSIONS = frozenset({b"geoarrow.wkb", b"geoarrow.wkt", b"ogc.wkb"})
"""Extension types that store what a plain column of geometries has."""

_BYTE_ORDERS = r"^(?s:[\x00\x01])"


def to_geometries(array: Array, field: Field) -> Array:
    """Convert WKT, or WKB in binary columns, whose values begin with a byte that no text has."""
    if not is_text(array.type):
        raise mismatch(array, field)
    if is_binary(array.type):
        binary = array.cast(pa.binary())
        if pc.any(pc.match_substring_regex(binary, _BYTE_ORDERS)).as_py():
            return wkt_of_binary(binary, field)
    return wkt_of_texts(utf8(array, field), field)
