"""Sizes in bytes as people write and read them."""

from __future__ import annotations

import re

from penstock.domain.parameter_values import MAX_INT64
from penstock.errors import InvalidParameter, shorten

_PREFIXES = "kmgtpe"
_SIZE = re.compile(
    r"(?P<number>\d+(?:\.\d+)?|\.\d+)\s*(?:(?P<prefix>[kmgtpe])(?:(?P<binary>i)b|b)?|b)?", re.IGNORECASE
)


def parse_size(text: str) -> int:
    """Parse ``134217728``, ``128MiB``, ``128 MiB`` or ``1.5GB``, as in the settings of a server.

    Units are multiples of 1,000, or of 1,024 with ``i``; case doesn't matter.

    Raises:
        InvalidParameter: the text is no size.
    """
    match = _SIZE.fullmatch(text.strip().replace("_", ""))
    if match is None:
        raise InvalidParameter(f"{shorten(text)!r} is not a size; write 128MiB or 1GB", value=shorten(text))
    power = _PREFIXES.index(match["prefix"].lower()) + 1 if match["prefix"] else 0
    size = float(match["number"]) * (1024 if match["binary"] else 1000) ** power
    if size > MAX_INT64:
        raise InvalidParameter(f"{shorten(text)!r} is more than any disk holds", value=shorten(text))
    return int(size)


def size_text(size: int) -> str:
    """Format a size such as ``12.3 MB``, in multiples of 1,000."""
    if size < 1000:
        return f"{size:,} byte{'' if size == 1 else 's'}"
    value = float(size)
    for prefix in _PREFIXES:
        value /= 1000
        # What would be rounded to 1,000.0 is one of the next unit.
        if value < 999.95 or prefix == _PREFIXES[-1]:
            break
    return f"{value:,.1f} {'k' if prefix == 'k' else prefix.upper()}B"
