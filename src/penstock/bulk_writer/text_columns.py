"""Columns of times and geometries, which are text in files of every format."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from penstock.bulk_writer.values import MIDNIGHT
from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.arrow_values import iso_texts, plain
from penstock.rules.rule import Array
from penstock.rules.times import micros_of_texts
from penstock.validation.errors import mismatch
from penstock.validation.geometries import to_geometries
from penstock.validation.text import is_text, utf8

__all__ = ["text_column"]

_DATE_LENGTH = 10


def text_column(array: Array, field: Field) -> Array:
    """Check a column of times or geometries, and convert it to the text of files.

    Raises:
        DataError: the first value that is none, with its row, or the column's type.
    """
    if array.null_count == len(array):
        return pa.nulls(len(array), pa.string())
    try:
        values = plain(array)
        return to_geometries(values, field) if field.type is DataType.GEOMETRY else _times(values, field)
    except DataError as error:
        raise error.at(field=field.name) from None


def _times(array: Array, field: Field) -> Array:
    """A time without an offset stays one: its time zone is that of the collection."""
    if is_text(array.type):
        texts = utf8(array, field)
    elif pt.is_date(array.type) or pt.is_timestamp(array.type):
        texts = iso_texts(array)
    else:
        raise mismatch(array, field)
    micros_of_texts(texts, field)
    lengths: Array = pc.utf8_length(texts)
    is_date: Array = pc.equal(lengths, pa.scalar(_DATE_LENGTH, lengths.type))
    return pc.if_else(is_date, pc.binary_join_element_wise(texts, MIDNIGHT, ""), texts)
