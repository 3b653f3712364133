"""Lengths of texts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow.compute as pc

from penstock.domain.schema import Field
from penstock.rules.rule import Array, rows_of
from penstock.rules.table import TEXT_LENGTH


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
        too_long = lengths.fill_null(0).to_numpy() > limit
        position = int(np.argmax(too_long))
        raise TEXT_LENGTH.error(
            field,
            row=row_of(position),
            value=texts[position].as_py(),
            length=lengths[position].as_py(),
            bad_rows=lambda: rows_of(np.flatnonzero(too_long), row_of),
        )
