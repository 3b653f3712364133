"""The option ``--since``: a time, or how long ago it was."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_AGO = re.compile(rf"(?:{_PART.pattern})+\Z")


def parse_since(_context: click.Context, _option: click.Parameter, value: str | None) -> datetime | None:
    """Parse ``2h``, ``1d12h``, ``2026-11-30`` or ``2026-11-30T08:15``, local unless it names a time zone.

    Raises:
        click.BadParameter: it is neither.
    """
    if value is None:
        return None
    text = value.strip()
    try:
        if _AGO.match(text):
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
            return datetime.now(UTC) - timedelta(seconds=seconds)
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is not a time; write 2h or 1d12h (ago), 2026-11-30 or 2026-11-30T08:15"
        ) from None
