"""Points in time as text and as microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.times import MAX_TIME, MIN_TIME, InvalidTime, format_time, parse_time

ZONES = ("UTC", "Asia/Shanghai", "America/New_York", "Europe/London", "Asia/Kathmandu", "Australia/Lord_Howe")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2025-05-01T23:59:59+08:00", "UTC", datetime(2025, 5, 1, 15, 59, 59, tzinfo=UTC)),
        ("2025-05-01 23:59:59+08", "UTC", datetime(2025, 5, 1, 15, 59, 59, tzinfo=UTC)),
        ("2025-05-01T23:59:59.25Z", "Asia/Shanghai", datetime(2025, 5, 1, 23, 59, 59, 250_000, tzinfo=UTC)),
        ("2025-05-01T23:59:59.123456789Z", "UTC", datetime(2025, 5, 1, 23, 59, 59, 123_456, tzinfo=UTC)),
        ("2025-05-01 08:00:00", "Asia/Shanghai", datetime(2025, 5, 1, tzinfo=UTC)),
        ("2025-05-01", "Asia/Shanghai", datetime(2025, 4, 30, 16, tzinfo=UTC)),
        ("2025-05-01", "UTC", datetime(2025, 5, 1, tzinfo=UTC)),
        ("2025-11-02T01:30:00", "America/New_York", datetime(2025, 11, 2, 5, 30, tzinfo=UTC)),
        ("2025-03-09T02:30:00", "America/New_York", datetime(2025, 3, 9, 7, 30, tzinfo=UTC)),
        ("1969-12-31T23:59:59.999999Z", "UTC", datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_texts(text: str, zone: str, expected: datetime) -> None:
    assert parse_time(text, zone) == micros(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid timestamp string: ''. Does not match any known format"),
        ("soon", "invalid timestamp string: 'soon'"),
        ("2025-02-29T00:00:00Z", "invalid timestamp string"),
        ("2025-13-01T00:00:00Z", "invalid timestamp string"),
        ("2025-01-01T24:00:00Z", "invalid timestamp string"),
        ("2025-01-01T00:00Z", "invalid timestamp string"),
        ("2025-01-01T00:00:00+01:60", "invalid timestamp string"),
        ("٢٠٢٥-01-01T00:00:00Z", "invalid timestamp string"),
        ("2025-01-01T00:00:00+15:00", r"UTC offset hour 15 is out of the valid range \[-12, 14\]"),
        ("2025-01-01T00:00:00-12:30", r"UTC offset hour -12 is out of the valid range"),
        ("0001-01-01T00:00:00+01:00", "outside of the years 0001 to 9999"),
        ("9999-12-31T23:59:59-01:00", "outside of the years 0001 to 9999"),
    ],
)
def test_texts_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidTime, match=message):
        parse_time(text)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "America", "a\0b", "x" * 9999])
def test_time_zones_refused(zone: str) -> None:
    with pytest.raises(InvalidTime, match="unknown or invalid IANA Time Zone ID"):
        parse_time("2025-01-01T00:00:00", zone)


@pytest.mark.parametrize(
    ("text", "zone", "shown"),
    [
        ("2025-01-01T00:00:00Z", "Asia/Shanghai", "2025-01-01T08:00:00+08:00"),
        ("2025-01-01T00:00:00.120Z", "America/New_York", "2024-12-31T19:00:00.12-05:00"),
        ("2025-01-01T00:00:00Z", "Europe/London", "2025-01-01T00:00:00Z"),
        ("1900-01-01T00:00:00Z", "Asia/Shanghai", "1900-01-01T00:00:00Z"),  # the offset was +08:05:43
        ("9999-12-31T23:59:59Z", "Asia/Shanghai", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00Z", "UTC", "0001-01-01T00:00:00Z"),
        ("2025-01-01T00:00:10Z", "UTC", "2025-01-01T00:00:10Z"),
    ],
)
def test_times_as_text(text: str, zone: str, shown: str) -> None:
    assert format_time(parse_time(text), zone) == shown


@given(st.integers(MIN_TIME, MAX_TIME), st.sampled_from(ZONES), st.sampled_from(ZONES))
def test_every_time_comes_back(time: int, zone: str, other: str) -> None:
    assert parse_time(format_time(time, zone), other) == time
