"""Durations in Go's syntax, which callers of the Milvus wire use for a job's timeout."""

from __future__ import annotations

import re

from penstock.errors import ImportRefused, shorten

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+\Z")
_LONGEST = 2**63 / 1e9
"""Seconds: Go counts nanoseconds in 64 bits, 292 years."""


def parse_duration(text: str) -> float:
    """Parse ``300s``, ``1.5h`` or ``1h45m`` to seconds; a bare ``0`` is zero.

    Raises:
        ImportRefused: the text is no duration, a negative one, or longer than 292 years.
    """
    if text == "0":
        return 0.0
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if not _WHOLE.match(text) or seconds > _LONGEST:
        raise ImportRefused(
            f'parse timeout failed: time: invalid duration "{shorten(text)}". Write it like 300s, 1.5h or 1h45m',
            option="timeout",
            value=shorten(text),
        )
    return seconds
