"""Parse the literals of a filter: numbers in the syntax of C and Go, strings with Go's escapes."""

from __future__ import annotations

import re

from penstock.errors import InvalidFilter

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))", re.DOTALL
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_LONG_LIST_ITEM = re.compile(r"(\"(?:[^\"\\]++|\\.)*\"|'(?:[^'\\]++|\\.)*')|(-?[0-9]+\.[0-9]+)|(-?[0-9]+)")


def whole_number(text: str) -> int:
    """Parse a decimal, octal (``017``), hexadecimal (``0x1F``) or binary (``0b1``) integer."""
    lower = text.lower()
    try:
        if lower.startswith(("0x", "0b")):
            value = int(lower, 0)
        elif len(lower) > 1 and lower.startswith("0"):
            value = int(lower, 8)
        else:
            # An integer of thousands of digits costs quadratic time, and Python refuses it with another error.
            value = int(lower) if len(lower) < 20 else INT64_MAX + 2
    except ValueError:
        raise InvalidFilter(f"invalid integer {text}") from None
    if value > INT64_MAX + 1:
        raise InvalidFilter(f"integer {text[:40]} is out of the range of Int64")
    return value


def number(text: str) -> float:
    """Parse a decimal or hexadecimal floating-point literal."""
    value = float.fromhex(text) if text[:2] in ("0x", "0X") else float(text)
    if value in (float("inf"), float("-inf")):
        raise InvalidFilter(f"number {text[:40]} is out of the range of Double")
    return value


def string(text: str) -> str:
    """Parse a quoted string and resolve its escapes. ``\\x`` and octal escapes are bytes of UTF-8."""
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    parts: list[bytes] = []
    end = 0
    for match in _ESCAPE.finditer(inner):
        parts.append(inner[end : match.start()].encode())
        end = match.end()
        parts.append(_unescape(match, text))
    parts.append(inner[end:].encode())
    try:
        return b"".join(parts).decode()
    except UnicodeDecodeError:
        raise InvalidFilter(f"string {text[:80]} is not valid UTF-8 once its escapes are resolved") from None


def _unescape(match: re.Match[str], text: str) -> bytes:
    simple, two_hex, octal, four_hex, eight_hex, _ = match.groups()
    if simple is not None:
        return _SIMPLE.get(simple, simple).encode()
    if two_hex is not None:
        return bytes([int(two_hex, 16)])
    if octal is not None and int(octal, 8) < 256:
        return bytes([int(octal, 8)])
    point = four_hex or eight_hex
    if point is not None and int(point, 16) <= 0x10FFFF and not 0xD800 <= int(point, 16) < 0xE000:
        return chr(int(point, 16)).encode()
    raise InvalidFilter(f"string {text[:80]} has the invalid escape {match.group()}; write \\\\ for a backslash")


def raw_string(text: str) -> str:
    return text[2:-1]


def long_list(text: str) -> list[int | float | str]:
    """Parse the items of a list of strings, decimal integers and floats."""
    items: list[int | float | str] = []
    for quoted, real, whole in _LONG_LIST_ITEM.findall(text):
        if whole:
            items.append(-whole_number(whole[1:]) if whole[0] == "-" else whole_number(whole))
        elif real:
            items.append(number(real))
        else:
            items.append(string(quoted))
    return items
