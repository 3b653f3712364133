"""Parse Thrift's compact protocol, in which Parquet writes its footer and its page headers."""

from __future__ import annotations

import struct
from typing import Any, TypeAlias

from penstock.domain.varints import parse_varint

__all__ = ["Malformed", "Struct", "parse_struct"]

Struct: TypeAlias = dict[int, Any]
"""Values by the number of their field; structs and lists nest."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_MAX_DEPTH = 8
"""The footer nests to a depth of six."""


class Malformed(Exception):
    """The bytes are not of the protocol, or end too early."""


def parse_struct(data: bytes, start: int = 0) -> tuple[Struct, int]:
    """Parse the struct that begins at ``start``; returns it and the position behind it.

    Raises:
        Malformed
    """
    try:
        return _struct(data, start, 0)
    except (IndexError, ValueError, struct.error) as error:
        raise Malformed("the bytes end within a struct, or an integer is too long") from error


def _struct(data: bytes, at: int, depth: int) -> tuple[Struct, int]:
    if depth > _MAX_DEPTH:
        raise Malformed(f"structs nest deeper than {_MAX_DEPTH}")
    fields: Struct = {}
    number = 0
    while header := data[at]:
        at += 1
        if header >> 4:
            number += header >> 4
        else:
            number, at = _zigzag(data, at)
        kind = header & 15
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], at = _value(data, at, kind, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (_I16, _I32, _I64):
        return _zigzag(data, at)
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    if kind == _BINARY:
        size, at = parse_varint(data, at)
        if at + size > len(data):
            raise Malformed("a text goes beyond the end")
        return data[at : at + size], at + size
    if kind in (_LIST, _SET):
        return _list(data, at, depth)
    if kind == _DOUBLE:
        return struct.unpack_from("<d", data, at)[0], at + 8
    if kind in (_BYTE, _TRUE, _FALSE):  # a truth value within a list takes a byte
        return data[at], at + 1
    raise Malformed(f"a value is of the unknown type {kind}")  # the footer has no maps


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    header = data[at]
    size, at = header >> 4, at + 1
    if size == 15:
        size, at = parse_varint(data, at)
    values = []
    for _ in range(size):  # each takes at least a byte, so a false size ends with an IndexError
        value, at = _value(data, at, header & 15, depth)
        values.append(value)
    return values, at


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = parse_varint(data, at)
    return (value >> 1) ^ -(value & 1), at
