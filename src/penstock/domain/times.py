"""Points in time as ISO 8601 text, and as microseconds since 1970 in UTC: the values of Timestamptz fields."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from penstock.errors import shorten

UTC_ZONE = "UTC"
"""The time zone of texts without an offset, unless a collection has the property ``timezone``."""
TIMEZONE = "timezone"
"""The property of collections and databases, and the parameter of queries and searches."""

SECOND = 1_000_000
DAY = 86_400 * SECOND
MIN_TIME, MAX_TIME = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND - 1
"""The first and the last microsecond with a year of four digits, 0001 to 9999, in UTC."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:(Z)|([+-])(\d\d)(?::?(\d\d))?)?)?", re.ASCII
)
_DECIMALS = 6
_MIN_OFFSET, _MAX_OFFSET = -12 * 60, 14 * 60
"""Minutes, as in Milvus."""


class InvalidTime(ValueError):
    """A text is neither a point in time nor a time zone. Where Milvus has words for it, the message has them."""


@lru_cache(maxsize=1024)
def time_zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name, such as ``Asia/Shanghai``.

    Raises:
        InvalidTime: there is none.
    """
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise InvalidTime(f"unknown or invalid IANA Time Zone ID: {shorten(name, 100)}") from None


def parse_time(text: str, timezone: str = UTC_ZONE) -> int:
    """Parse ISO 8601 text to microseconds; digits beyond are cut off, as in Milvus.

    A date alone is its midnight. ``timezone`` is for texts without an offset. Where clocks were set back such a text
    is the first of its two times, where they were set forward it is later by the gap.

    Raises:
        InvalidTime: it is no such text, has an offset that no place has, or is out of range.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise _unknown_form(text)
    year, month, day, hour, minute, second, fraction, is_utc, sign, hours, minutes = match.groups()
    try:
        date = datetime(int(year), int(month), int(day), tzinfo=UTC)
        time = date.replace(hour=int(hour or 0), minute=int(minute or 0), second=int(second or 0))
    except ValueError:
        raise _unknown_form(text) from None
    micros = (time - _EPOCH) // timedelta(microseconds=1) + int((fraction or "0")[:_DECIMALS].ljust(_DECIMALS, "0"))
    if sign:
        offset = int(f"{sign}1") * (int(hours) * 60 + int(minutes or 0))
        if int(minutes or 0) > 59:
            raise _unknown_form(text)
        if not _MIN_OFFSET <= offset <= _MAX_OFFSET:
            raise InvalidTime(f"UTC offset hour {int(offset / 60)} is out of the valid range [-12, 14]")
        micros -= offset * 60 * SECOND
    elif not is_utc and timezone != UTC_ZONE:
        shift = time.replace(tzinfo=time_zone(timezone)).utcoffset() or timedelta()
        micros -= shift // timedelta(microseconds=1)
    if not MIN_TIME <= micros <= MAX_TIME:
        raise InvalidTime(f"the time '{shorten(text, 100)}' is outside of the years 0001 to 9999 in UTC")
    return micros


def format_time(micros: int, timezone: str = UTC_ZONE) -> str:
    """Format microseconds as RFC 3339 in a time zone, with the digits of the fraction that are needed.

    In UTC where the zone's offset at that time has seconds, or its year more than four digits: then RFC 3339 has no
    such text.
    """
    time = _EPOCH + timedelta(microseconds=micros)
    if timezone != UTC_ZONE:
        try:
            local = time.astimezone(time_zone(timezone))
        except OverflowError:
            local = time
        offset = local.utcoffset() or timedelta()
        time = local if not offset % timedelta(minutes=1) else time
    text = time.replace(tzinfo=None).isoformat(timespec="microseconds").rstrip("0").rstrip(".")
    minutes = (time.utcoffset() or timedelta()) // timedelta(minutes=1)
    hours, rest = divmod(abs(minutes), 60)
    return f"{text}{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}" if minutes else f"{text}Z"


def _unknown_form(text: str) -> InvalidTime:
    return InvalidTime(f"invalid timestamp string: '{shorten(text, 100)}'. Does not match any known format")
