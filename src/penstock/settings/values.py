"""Types of setting values: time spans, sizes, counts, lists, addresses."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: object) -> object:
    """Convert ``90``, ``"90"``, ``"90s"`` or ``"1h30m"`` to seconds."""
    if not isinstance(value, str) or re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
        return value
    parts = _DURATION_PART.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value.replace(" ", ""):
        raise ValueError("a time span is a number of seconds, or numbers with ms, s, m, h or d, such as 1h30m")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def _roots(value: object) -> object:
    """Split a text of roots at commas. Not at ``:``, which is part of ``s3://bucket``."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for network in value:
        ip_network(network)
    return value


def _size(value: object) -> object:
    """Accept ``64MiB``, ``64 MiB`` or a bare number of bytes, as TOML and flags have it."""
    return value.replace("_", "") if isinstance(value, str) else value


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]
Bytes = Annotated[ByteSize, BeforeValidator(_size), Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
Roots = Annotated[tuple[str, ...], BeforeValidator(_roots)]
Networks = Annotated[tuple[str, ...], BeforeValidator(_roots), AfterValidator(_networks)]
BucketUrl = Annotated[str, Field(pattern=r"^s3://[A-Za-z0-9][A-Za-z0-9._-]{1,254}(/[A-Za-z0-9._=-]+)*/?$")]
SuccessCode = Annotated[Literal[0, 200], BeforeValidator(_number)]
