"""Columns of every type that Arrow has, each with the values that a person reads in it: an oracle without Arrow."""

from __future__ import annotations

import datetime
import json
import struct
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

__all__ = ["COLUMNS", "NO_VALUE", "ArrowColumn", "Stranger"]

NO_VALUE = object()
"""Nothing that a person reads, or nothing that is certain: such values must be refused."""


@dataclass(frozen=True, slots=True)
class ArrowColumn:
    """``make`` builds an array of raw values (None for null); ``read`` is what a person reads in one.

    ``is_text`` tells that the type is one of text, which a JSON field parses. ``in_parquet``: whether Parquet has it.
    """

    raw: st.SearchStrategy[Any]
    make: Callable[[list[Any]], Any]
    read: Callable[[Any], Any]
    is_text: bool = False
    in_parquet: bool = True


class Stranger(pa.ExtensionType):
    """An extension type that only the program that wrote a file knows."""

    def __init__(self, storage: Any) -> None:
        super().__init__(storage, "somewhere.stranger")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: Any, serialized: bytes) -> Stranger:
        return cls(storage)


def _typed(kind: Any) -> Callable[[list[Any]], Any]:
    return lambda values: pa.array(values, kind)


def _extension(kind: Any) -> Callable[[list[Any]], Any]:
    return lambda values: pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))


def _of_integers(kind: Any, width: int) -> Callable[[list[Any]], Any]:
    """Numbers under the bytes of a type, which ``pa.array`` doesn't take as they are."""
    return lambda values: pa.array(values, pa.int32() if width == 32 else pa.int64()).view(kind)


def _half(values: list[Any]) -> Any:
    return pa.array([None if value is None else np.float16(value) for value in values], pa.float16())


def _encoded(values: list[Any]) -> Any:
    return pa.array(values, pa.string()).dictionary_encode()


def _run_ends(values: list[Any]) -> Any:
    return pa.RunEndEncodedArray.from_arrays(
        pa.array(range(1, len(values) + 1), pa.int32()), pa.array(values, pa.string())
    )


def _union(values: list[Any]) -> Any:
    types: Any = pa.array([0] * len(values), pa.int8())
    return pa.UnionArray.from_sparse(types, [pa.array(values, pa.int64()), pa.array([""] * len(values))])


def _nothing(_: Any) -> Any:
    return NO_VALUE


def _same(value: Any) -> Any:
    return value


_EPOCH = datetime.datetime(1970, 1, 1)
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def _timestamp(unit: str, suffix: str = "") -> Callable[[int], Any]:
    def read(number: int) -> Any:
        per = 10 ** _DIGITS[unit]
        seconds, rest = divmod(number, per)
        try:
            time = _EPOCH + datetime.timedelta(seconds=seconds)
        except OverflowError:
            return NO_VALUE
        fraction = f".{rest:0{_DIGITS[unit]}d}" if _DIGITS[unit] else ""
        return f"{time.isoformat()}{fraction}{suffix}"

    return read


def _date(days: int) -> Any:
    try:
        return (_EPOCH.date() + datetime.timedelta(days=days)).isoformat()
    except OverflowError:
        return NO_VALUE


def _time_of_day(unit: str) -> Callable[[int], Any]:
    def read(number: int) -> Any:
        seconds, rest = divmod(number, 10 ** _DIGITS[unit])
        if not 0 <= seconds < 86_400:
            return NO_VALUE
        fraction = f".{rest:0{_DIGITS[unit]}d}" if _DIGITS[unit] else ""
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"

    return read


def _bytes_as_text(value: bytes) -> Any:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return NO_VALUE
    return text if all(each in "\t\n\r" or (each >= " " and each != "\x7f") for each in text) else NO_VALUE


def _decimals(kind: Any, digits: int, scale: int) -> ArrowColumn:
    whole = st.integers(-(10**digits) + 1, 10**digits - 1)
    return ArrowColumn(whole.map(lambda number: Decimal(number).scaleb(-scale)), _typed(kind), _same)


_texts = st.text(st.characters(codec="utf-8"), max_size=6)
_int32, _int64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
_packed = _int64.map(lambda number: struct.pack("<q", number))
_small = st.integers(0, 127).map(lambda number: struct.pack("<q", number))
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_texts, inner, max_size=2),
    max_leaves=3,
)
_nested = pa.struct(
    [
        ("at", pa.timestamp("us", "UTC")),
        ("big", pa.decimal128(38, 0)),
        ("day", pa.date32()),
        ("tags", pa.list_(pa.string())),
        ("more", pa.map_(pa.string(), pa.float32())),
    ]
)
_singles = st.floats(width=16, allow_nan=False, allow_infinity=False).map(lambda value: float(str(np.float32(value))))
"""As few digits as tell them from their neighbours, which is how JSON has them."""


def _floats(count: int) -> st.SearchStrategy[Any]:
    return st.lists(st.integers(-8, 8).map(lambda number: number / 4), min_size=count, max_size=count)


COLUMNS: Mapping[str, ArrowColumn] = {
    "bool": ArrowColumn(st.booleans(), _typed(pa.bool_()), _same),
    "bool8": ArrowColumn(st.integers(-128, 127), _extension(pa.bool8()), lambda value: value != 0),
    "int8": ArrowColumn(st.integers(-128, 127), _typed(pa.int8()), _same),
    "uint16": ArrowColumn(st.integers(0, 2**16 - 1), _typed(pa.uint16()), _same),
    "int32": ArrowColumn(_int32, _typed(pa.int32()), _same),
    "int64": ArrowColumn(_int64, _typed(pa.int64()), _same),
    "uint64": ArrowColumn(st.integers(0, 2**64 - 1), _typed(pa.uint64()), _same),
    "half": ArrowColumn(_singles, _half, _same),
    "float": ArrowColumn(_singles, _typed(pa.float32()), _same),
    "double": ArrowColumn(st.floats(allow_nan=False, allow_infinity=False), _typed(pa.float64()), _same),
    "decimal32": _decimals(pa.decimal32(9, 2), 9, 2),
    "decimal64": _decimals(pa.decimal64(15, 5), 15, 5),
    "decimal128": _decimals(pa.decimal128(38, 10), 38, 10),
    "decimal256": _decimals(pa.decimal256(60, 0), 60, 0),
    "string": ArrowColumn(_texts, _typed(pa.string()), _same, is_text=True),
    "large_string": ArrowColumn(_texts, _typed(pa.large_string()), _same, is_text=True),
    "string_view": ArrowColumn(_texts, _typed(pa.string_view()), _same, is_text=True),
    "dictionary": ArrowColumn(_texts, _encoded, _same, is_text=True),
    "run_end_encoded": ArrowColumn(_texts, _run_ends, _same, is_text=True, in_parquet=False),
    "binary of text": ArrowColumn(_texts.map(str.encode), _typed(pa.binary()), _bytes_as_text, is_text=True),
    "binary of numbers": ArrowColumn(_packed | _small, _typed(pa.binary()), _bytes_as_text, is_text=True),
    "large_binary": ArrowColumn(_small, _typed(pa.large_binary()), _bytes_as_text, is_text=True),
    "binary_view": ArrowColumn(_small, _typed(pa.binary_view()), _bytes_as_text, is_text=True),
    "fixed_size_binary": ArrowColumn(st.binary(min_size=16, max_size=16), _typed(pa.binary(16)), _nothing),
    "fixed_size_binary of text": ArrowColumn(
        st.text("abc-", min_size=4, max_size=4).map(str.encode), _typed(pa.binary(4)), _nothing
    ),
    "uuid": ArrowColumn(
        st.uuids().map(lambda each: each.bytes), _extension(pa.uuid()), lambda value: str(uuid.UUID(bytes=value))
    ),
    "json": ArrowColumn(_json.map(json.dumps), _extension(pa.json_()), json.loads),
    "opaque": ArrowColumn(_int64, _extension(pa.opaque(pa.int64(), "geometry", "somewhere")), _nothing),
    "stranger of bytes": ArrowColumn(_texts.map(str.encode), _extension(Stranger(pa.binary())), _nothing),
    "stranger of numbers": ArrowColumn(_int64, _extension(Stranger(pa.int64())), _nothing),
    "tensor": ArrowColumn(
        _floats(4),
        _extension(pa.fixed_shape_tensor(pa.float32(), [2, 2])),
        lambda value: [value[:2], value[2:]],
    ),
    "date32": ArrowColumn(_int32, _of_integers(pa.date32(), 32), _date),
    "date64": ArrowColumn(
        st.integers(-(10**6), 4 * 10**6).map(lambda days: days * 86_400_000),
        _of_integers(pa.date64(), 64),
        lambda value: _date(value // 86_400_000),
    ),
    **{
        f"timestamp {unit}": ArrowColumn(_int64 | _int32, _of_integers(pa.timestamp(unit), 64), _timestamp(unit))
        for unit in ("ms", "us", "ns")
    },
    "timestamp with a zone": ArrowColumn(
        st.integers(-(10**12), 10**13), _of_integers(pa.timestamp("ms", "Europe/Berlin"), 64), _timestamp("ms", "Z")
    ),
    "timestamp with an unknown zone": ArrowColumn(
        _int32, _of_integers(pa.timestamp("us", "Atlantis/Capital"), 64), _timestamp("us", "Z")
    ),
    "time32": ArrowColumn(st.integers(-10, 10**8), _of_integers(pa.time32("ms"), 32), _time_of_day("ms")),
    "time64": ArrowColumn(st.integers(-10, 10**14), _of_integers(pa.time64("ns"), 64), _time_of_day("ns")),
    "duration": ArrowColumn(_int64, _of_integers(pa.duration("ns"), 64), _nothing),
    "interval": ArrowColumn(st.just((1, 2, 3)), _typed(pa.month_day_nano_interval()), _nothing, in_parquet=False),
    "union": ArrowColumn(_int64, _union, _nothing, in_parquet=False),
    "list": ArrowColumn(st.lists(st.none() | _int32, max_size=3), _typed(pa.list_(pa.int32())), _same),
    "large_list": ArrowColumn(st.lists(_singles, max_size=3), _typed(pa.large_list(pa.float32())), _same),
    "fixed_size_list": ArrowColumn(
        st.lists(_singles, min_size=2, max_size=2), _typed(pa.list_(pa.float32(), 2)), _same
    ),
    "list_view": ArrowColumn(
        st.lists(_texts, max_size=3), _typed(pa.list_view(pa.string())), _same, in_parquet=False
    ),
    "list of dates": ArrowColumn(
        st.lists(st.dates(), max_size=2),
        _typed(pa.list_(pa.date32())),
        lambda value: [each.isoformat() for each in value],
    ),
    "list of ids": ArrowColumn(
        st.lists(st.binary(min_size=4, max_size=4), min_size=1, max_size=2), _typed(pa.list_(pa.binary(4))), _nothing
    ),
    "map": ArrowColumn(
        st.dictionaries(_texts, st.none() | _int32, max_size=3).map(lambda value: list(value.items())),
        _typed(pa.map_(pa.string(), pa.int32())),
        dict,
    ),
    "map of numbers": ArrowColumn(
        st.dictionaries(_int32, st.booleans(), max_size=3).map(lambda value: list(value.items())),
        _typed(pa.map_(pa.int32(), pa.bool_())),
        lambda value: {str(key): item for key, item in value},
    ),
    "struct": ArrowColumn(
        st.fixed_dictionaries(
            {
                "at": st.none() | st.datetimes(timezones=st.just(datetime.UTC)),
                "big": st.integers(-(2**127) // 10, 2**127 // 10).map(Decimal),
                "day": st.dates(),
                "tags": st.none() | st.lists(_texts, max_size=2),
                "more": st.dictionaries(_texts, _singles, max_size=2).map(lambda value: list(value.items())),
            }
        ),
        _typed(_nested),
        lambda value: {
            **value,
            "at": value["at"] and value["at"].replace(tzinfo=None).isoformat(timespec="microseconds") + "Z",
            "day": value["day"].isoformat(),
            "more": dict(value["more"]),
        },
    ),
}
