"""Conform Timestamptz columns: microseconds since 1970 in UTC."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from penstock.domain.schema import Field
from penstock.domain.times import MAX_TIME, MIN_TIME, SECOND, UTC_ZONE
from penstock.readers.arrow_values import iso_texts
from penstock.rules.rule import Array, WarningSink
from penstock.rules.table import TIME
from penstock.rules.times import micros_of_texts
from penstock.validation.errors import mismatch, show
from penstock.validation.text import is_text, utf8

_CUT = "digits of times beyond microseconds were cut off"
_UNITS = {"s": SECOND, "ms": SECOND // 1000, "us": 1}
_NANOS = 1000


def to_times(array: Array, field: Field, note: WarningSink) -> Array:
    """Convert ISO 8601 text, timestamps and dates; those without a time zone are in the field's.

    Nanoseconds are cut off with a warning, as Milvus cuts them off.
    """
    if is_text(array.type):
        return micros_of_texts(utf8(array, field), field)
    if pt.is_date(array.type):
        array = array.cast(pa.date32(), safe=False).cast(pa.timestamp("s"))
    if not pt.is_timestamp(array.type):
        raise mismatch(array, field)
    micros = _micros(array, field, note)
    if array.type.tz is None and field.timezone != UTC_ZONE:
        # By their text: one rule says what a time is that clocks show twice, or never.
        return micros_of_texts(iso_texts(micros.cast(pa.timestamp("us"))), field)
    return micros


def _micros(array: Array, field: Field, note: WarningSink) -> Array:
    numbers = array.cast(pa.int64())
    values = numbers.fill_null(0).to_numpy()
    if array.type.unit == "ns":
        rows = int(np.count_nonzero(values % _NANOS))
        if rows:
            note(_CUT, rows)
        values = values // _NANOS
    else:
        factor = _UNITS[array.type.unit]
        wrong = (values < -(-MIN_TIME // factor)) | (values > MAX_TIME // factor)
        if wrong.any():
            row = int(np.argmax(wrong))
            problem = f"the time {values[row]} {array.type.unit} is outside of the years 0001 to 9999 in UTC"
            raise TIME.error(field, row=row, value=show(numbers, row), problem=problem)
        values = values * factor
    mask = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    times: Array = pa.array(values, pa.int64(), mask=mask)
    return times
