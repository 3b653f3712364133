"""Job and collection numbers: 63-bit, time-ordered, unique across processes."""

from __future__ import annotations

import secrets
import threading
import time

from penstock.domain.parse_int import number_of_digits

DAY_MILLIS = 24 * 3600 * 1000

_RANDOM_BITS = 18
_LARGEST = 2**63 - 1
_lock = threading.Lock()
_last = 0


def new_id() -> int:
    """Draw a number below 2**63 whose high bits are the milliseconds since 1970.

    Ids of one process always increase. Between processes 18 random bits make an equal id within one millisecond
    unlikely; the catalog's primary key refuses it and the caller draws again. Today's ids have 18 digits, as
    Milvus's have.
    """
    global _last
    with _lock:
        candidate = (time.time_ns() // 1_000_000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        _last = max(candidate, _last + 1)
        return _last


def parse_id(text: str) -> int | None:
    """Parse the digits of an id; None for a text that can't be one."""
    number = number_of_digits(text) if text.isdecimal() else None
    return number if number is not None and number <= _LARGEST else None


def millis_of(number: int) -> int:
    """Return when the id was drawn, in milliseconds since 1970."""
    return number >> _RANDOM_BITS


def day_of(number: int) -> int:
    """Return the UTC day on which the id was drawn, in days since 1970."""
    return millis_of(number) // DAY_MILLIS


def first_id_at(millis: int) -> int:
    """Return the least id drawn at ``millis`` since 1970: every id drawn before is smaller."""
    return min(max(millis, 0) << _RANDOM_BITS, _LARGEST)
