"""Times as Milvus's clients read them: hybrid timestamps, milliseconds since 1970 shifted left by 18 bits."""

from __future__ import annotations

from datetime import datetime

_LOGICAL_BITS = 18


def millis(time: datetime) -> int:
    """Milliseconds since 1970."""
    return int(time.timestamp() * 1000)


def hybrid_timestamp(time: datetime) -> int:
    """The hybrid timestamp of a time, with zero for its logical part."""
    return millis(time) << _LOGICAL_BITS
