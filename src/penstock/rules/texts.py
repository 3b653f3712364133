"""Lengths of texts."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow.compute as pc

from penstock.domain.schema import Field
from penstock.errors import DataError
from penstock.rules.rule import Array
from penstock.rules.table import TEXT_LENGTH
from penstock.rules.violations import each, refuse


def check_lengths(field: Field, texts: Array, row_of: Callable[[int], int] = int) -> None:
    """Raise DataError for the first text with more bytes of UTF-8 than its field's maximum.

    ``row_of`` gives the row of a position in ``texts``: for elements of arrays.
    """
    limit = field.max_bytes
    if limit is None:
        return
    lengths: Array = pc.binary_length(texts)
    longest: int | None = pc.max(lengths).as_py()
    if longest is not None and longest > limit:

        def error_of(place: int) -> DataError:
            return TEXT_LENGTH.error(field, value=texts[place].as_py(), length=lengths[place].as_py())

        refuse(lengths.fill_null(0).to_numpy() > limit, each(error_of), row_of)
