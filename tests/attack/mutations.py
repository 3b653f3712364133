"""Broken files, made from good ones: the same file for the same number, on every machine with the same libraries.

A quarter each is bytes changed at random, parts cut out or joined, lengths and numbers set to extremes, and the
format's own structure turned against it (headers and footers that lie, values of the wrong kind, deep nesting).
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from penstock.domain.schema import CollectionSchema
from penstock.readers.arrow_ipc import ARROW_IPC
from penstock.readers.avro import AVRO
from penstock.readers.csv.reader import CSV
from penstock.readers.hdf5 import HDF5
from penstock.readers.json.array_reader import JSON
from penstock.readers.json.lines_reader import JSON_LINES
from penstock.readers.numpy import NUMPY
from penstock.readers.numpy_archive import NUMPY_ARCHIVE
from penstock.readers.orc import ORC
from penstock.readers.parquet.reader import PARQUET
from penstock.readers.vector_files import BVECS, FBIN, FVECS, IVECS
from tests.attack.parquet_files import parquet_files
from tests.support.column_files import COLUMN_FILES, VECTOR_FILES, table_of
from tests.support.schemas import EVERYTHING, KEY_AND_VECTOR, LENIENT

__all__ = ["FORMATS", "Case", "make_case"]

Options: TypeAlias = Mapping[str, str]
_OF_COLUMNS: Mapping[str, Sequence[str]] = {
    ARROW_IPC.name: ("arrow", "arrows", "feather"),
    AVRO.name: ("avro",),
    HDF5.name: ("h5",),
    NUMPY_ARCHIVE.name: ("npz",),
    ORC.name: ("orc",),
}
"""Extensions of the files of other formats of columns."""
_OF_VECTORS = {spec.name: spec.extensions[0] for spec in (FVECS, IVECS, BVECS, FBIN)}
FORMATS = (PARQUET.name, JSON.name, JSON_LINES.name, CSV.name, NUMPY.name, *_OF_COLUMNS, *_OF_VECTORS)
_OF_ROWS = frozenset({JSON.name, JSON_LINES.name, CSV.name})
_SCHEMAS = (KEY_AND_VECTOR, EVERYTHING, LENIENT)
_VECTORS_ALONE = replace(KEY_AND_VECTOR, auto_id=True)
_NUMPY_SCHEMAS = (KEY_AND_VECTOR, LENIENT)
"""NumPy files hold neither arrays nor structs: fields of these kinds must be nullable."""
_SCHEMAS_OF: Mapping[str, Sequence[CollectionSchema]] = {
    NUMPY.name: _NUMPY_SCHEMAS,
    **dict.fromkeys(_OF_COLUMNS, _NUMPY_SCHEMAS),
    **dict.fromkeys(_OF_VECTORS, (_VECTORS_ALONE,)),
}
_ROWS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One broken file (of a NumPy set: some of several) and how it is read."""

    number: int
    format: str
    files: Mapping[str, bytes]
    schema: CollectionSchema
    options: Options
    split_bytes: int


def make_case(number: int, seed: int, *, broken: bool = True) -> Case:
    """The formats take turns. With ``broken`` False it is the good file that the case begins with."""
    random_ = random.Random(f"{seed}-{number}")
    format_ = FORMATS[number % len(FORMATS)]
    schema = random_.choice(_SCHEMAS_OF.get(format_, _SCHEMAS))
    options = {"sep": random_.choice(",;"), "nullkey": random_.choice(["", "null"])}
    hostile = broken and format_ in _OF_ROWS and random_.random() < 0.3
    files = dict(_MAKERS[format_](random_, schema, options, hostile))
    names = sorted(files)
    for name in random_.sample(names, random_.randint(1, min(2, len(names)))) if broken and not hostile else ():
        files[name] = _damaged(random_, files[name], format_)
    if format_ in _OF_ROWS and random_.random() < 0.3:
        files = _compressed(random_, files, broken)
    return Case(
        number=number,
        format=format_,
        files=files,
        schema=schema,
        options=options,
        split_bytes=random_.choice([256, 4096, 1 << 26]),
    )


_COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {
    "gz": lambda content: gzip.compress(content, 1),
    "zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
    "bz2": bz2.compress,
}


def _compressed(random_: random.Random, files: Mapping[str, bytes], broken: bool) -> dict[str, bytes]:
    """Compress a text; in half of the cases its compressed bytes are broken, too."""
    found = {}
    for name, content in files.items():
        suffix = random_.choice([*_COMPRESSIONS])
        packed = _COMPRESSIONS[suffix](content)
        if broken and random_.random() < 0.5:
            packed = random_.choice([_flipped, _cut_or_doubled, _stretched])(random_, packed, "")
        found[f"{name}.{suffix}"] = packed
    return found


def _damaged(random_: random.Random, content: bytes, format_: str) -> bytes:
    way = random_.choice([_flipped, _cut_and_joined, _stretched, _attacked])
    for _ in range(random_.choice([1, 1, 1, 3])):
        content = way(random_, content, format_)
    return content


def _flipped(random_: random.Random, content: bytes, format_: str) -> bytes:
    del format_
    changed = bytearray(content)
    for _ in range(random_.choice([1, 1, 2, 20]) if changed else 0):
        changed[random_.randrange(len(changed))] ^= 1 << random_.randrange(8)
    return bytes(changed)


def _cut_and_joined(random_: random.Random, content: bytes, format_: str) -> bytes:
    start, end = sorted(random_.randint(0, len(content)) for _ in range(2))
    match random_.randrange(5):
        case 0:
            return content[:start]
        case 1:
            return content[start:]
        case 2:
            return content[:start] + content[end:]
        case 3:
            return content[:end] + content[start:]
        case _:
            schema = random_.choice(_SCHEMAS_OF.get(format_, _NUMPY_SCHEMAS))
            other = next(iter(_MAKERS[format_](random_, schema, {"sep": ",", "nullkey": ""}, False).values()))
            return content[:start] + other[random_.randint(0, len(other)) :]


_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def _stretched(random_: random.Random, content: bytes, _: str) -> bytes:
    """A number set to an extreme: little-endian of 1 to 8 bytes, or a variable-length one of Thrift."""
    at = random_.randint(0, len(content))
    number = random_.choice(_EXTREMES)
    if random_.random() < 0.5:
        width = random_.choice([1, 2, 4, 8])
        word = (number % (1 << 8 * width)).to_bytes(width, "little")
        return content[:at] + word + content[at + width :]
    return content[:at] + _varint(number) + content[at + random_.choice([0, 1, 2]) :]


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _attacked(random_: random.Random, content: bytes, format_: str) -> bytes:
    return _ATTACKS[format_](random_, content)


def _attack_parquet(random_: random.Random, content: bytes) -> bytes:
    """Change the footer and keep the file whole around it: its length, and the marks at both ends."""
    if len(content) < 12:
        return content + b"PAR1"
    length = int.from_bytes(content[-8:-4], "little")
    pages, footer = content[: -8 - length], content[-8 - length : -8]
    if random_.random() < 0.2:
        length = random_.choice(_EXTREMES) % 2**32
        return content[:-8] + length.to_bytes(4, "little") + b"PAR1"
    footer = random_.choice([_flipped, _stretched, _cut_or_doubled])(random_, footer, PARQUET.name)
    return pages + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _cut_or_doubled(random_: random.Random, content: bytes, _: str) -> bytes:
    start, end = sorted(random_.randint(0, len(content)) for _ in range(2))
    return content[:end] + content[start:] if random_.random() < 0.5 else content[:start] + content[end:]


_TEXT_ATTACKS: Sequence[bytes] = (
    *(b"[" * 100_000, b'{"a":' * 20_000, b"[" * 900 + b"]" * 900, b'"' + b"x" * 70_000 + b'"', b"9" * 5000),
    *(b"1e999", b"-1e-999", b"1" * 400 + b".5", b"NaN", b"Infinity", b"-0", b"0x10", b"1_0", b"18446744073709551616"),
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"\xe2\x80\xa8", b"\x1a", b"\\"),
    *(b'"', b'""', b"'", b"\r", b"\n\n", b",", b",,", b"}", b"]", b"{", b"[]", b"{}", b"null", b"true", b'"id":1,'),
    *(b'{"indices":[1,1],"values":[1,2]}', b'{"4294967296":1}', b'{"-1":1}', b'{"1":-1}', b'"$meta":{"id":1}'),
    *(b"//", b"/*", b"<!--", b"=cmd()", b"%00", b" " * 70_000),
    *(
        b"\n" * 3_000_000,
        b" \n" * 500_000,
        b'""\n' * 300_000,
        b'{"a":"\\u0022","a":"\\u0022"}',
        b"[" * 300 + b"]" * 300,
    ),
    *(b'"k\\u0000":1,', b'"id\\u0000":1,', b"][", b"1e3", b"5.0", b"+5", b"--5"),
)


def _attack_text(random_: random.Random, content: bytes) -> bytes:
    at = random_.randint(0, len(content))
    return content[:at] + random_.choice(_TEXT_ATTACKS) + content[at + random_.choice([0, 0, 1, 8]) :]


_SHAPES = (
    "(-1,)",
    "(4294967296, 4294967296)",
    "(9223372036854775807,)",
    "(1, 0)",
    "()",
    "(2, 2, 2)",
    "(12.0,)",
    "12",
)
_SHAPES_AND_DOS = (*_SHAPES, "(12,)" + "+(1,)" * 400, "('a',)", "[12]", "(True,)", "(1e9,)", "__import__('os')")
_DTYPES = (
    "|O",
    "<U268435455",
    "|S2147483647",
    "|V2",
    "<c16",
    "<M8[ns]",
    "|b1",
    ">f4",
    "<f16",
    "zzz",
    "[('a','<f4')]",
)


def _attack_npy(random_: random.Random, content: bytes) -> bytes:
    """A header that is well-formed and lies, with its true length."""
    end = content.find(b"\n") + 1 or len(content)
    body = content[end:]
    if random_.random() < 0.2:
        return content[:8] + random_.choice([b"\0\0", b"\xff\xff", b"\x01\0"]) + content[10:]
    header = (
        f"{{'descr': {random_.choice([*map(repr, _DTYPES), '1', 'None'])}, "
        f"'fortran_order': {random_.choice(['True', 'False', '1', 'None'])}, "
        f"'shape': {random_.choice([*_SHAPES_AND_DOS, f'({_ROWS},)', f'({_ROWS}, 2)'])}, }}\n"
    ).encode()
    if random_.random() < 0.2:
        header = random_.choice([b"{" * 3000, b"(" * 3000, b"-" * 60_000 + b"1", header[:-9], header * 2])
    return b"\x93NUMPY\x01\x00" + (len(header) % 65536).to_bytes(2, "little") + header + body


def _row(random_: random.Random, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "vector": [random_.random(), -1],
        "bool": True,
        "int8": random_.randint(-128, 127),
        "int16": 1,
        "int32": 1,
        "int64": random_.choice([None, 2**63 - 1]),
        "float": 0.5,
        "double": 1e300,
        "text": random_.choice(["", "é", 'a\\"b', "x,y\nz"]),
        "json": {"a": [1, {"b": None}]},
        "tags": ["a", "b"],
        "counts": [1, -1],
        "half": [0.5, 1],
        "brain": [0.5, 1],
        "bytes": [1, -1],
        "bits": [1, 255],
        "sparse": random_.choice([{"1": 0.5}, {"indices": [3, 1], "values": [1, 2]}]),
        "parts": [{"word": "a", "count": 1, "place": [1, 2]}],
    }


_HOSTILE: Sequence[Any] = (
    *(None, True, -1, 2**31, 2**63, 2**64, 10**400, 1e308, -0.0, 1.5, float("nan"), float("inf"), "", "1", "NaN"),
    *("x" * 70_000, "\0", "\ud800", "é" * 40, [], {}, [None], [[1]], ["a", 1], [1] * 5000, {"": {"": {}}}, "[1, 2]"),
    *({"k\0": 1}, {"x\0y": 1, "x": 2}, [2**64], {"a": 10**40}, "1e400", "18446744073709551616"),
    *({"indices": [1], "values": []}, {"1": "x"}, {"-1": 1}, {"4294967295": 1}, [{}], [{"word": 1}], [256, -1]),
)


def _nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def _swollen(random_: random.Random) -> Any:
    """A value that is large in one way: what takes quadratic time, or a stack, shows it."""
    match random_.randrange(4):
        case 0:
            return {str(number): 0.5 for number in range(random_.choice([300, 20_000, 60_000]))}
        case 1:
            return {f"{number}\0": 1 for number in range(random_.choice([1, 100, 20_000]))}
        case 2:
            return _nested(random_.choice([100, 127, 128, 129, 260, 600]))
        case _:
            return [random_.choice([0, "x", [], {}])] * random_.choice([300, 60_000])


def _rows(random_: random.Random, schema: CollectionSchema, hostile: bool) -> list[dict[str, Any]]:
    """Of every field; with ``hostile`` one to three values are replaced by what doesn't belong there."""
    names = set(schema.names)
    rows = [{k: v for k, v in _row(random_, n).items() if k in names} for n in range(_ROWS)]
    if schema.dynamic:
        rows[1] |= {"more": [1, "x"], "$meta": {"k": 1}}
    for _ in range(random_.randint(1, 3) if hostile else 0):
        row = random_.choice(rows)
        name = random_.choice([*row])
        match random_.randrange(8):
            case 0:
                row[name] = _swollen(random_)
            case 1:
                row[f"{name}{random_.choice(['', 'x'])}\0{random_.choice(['', 'y'])}"] = random_.choice(_HOSTILE)
            case 2:
                row |= {f"{name}{number}": number for number in range(random_.choice([70, 3000, 60_000]))}
            case _:
                row[name] = random_.choice(_HOSTILE)
    return rows


def _json(random_: random.Random, schema: CollectionSchema, _: Options, hostile: bool) -> dict[str, bytes]:
    rows = _rows(random_, schema, hostile)
    text = json.dumps(random_.choice([rows, {"rows": rows}]), indent=random_.choice([None, 1]))
    return {"data.json": text.encode()}


def _json_lines(
    random_: random.Random, schema: CollectionSchema, _: Mapping[str, str], hostile: bool
) -> dict[str, bytes]:
    between = random_.choice(["\n", "\r\n", ",", ""])
    return {"data.jsonl": between.join(map(json.dumps, _rows(random_, schema, hostile))).encode()}


def _csv(
    random_: random.Random, schema: CollectionSchema, options: Mapping[str, str], hostile: bool
) -> dict[str, bytes]:
    end = random_.choice(["\n", "\r\n"])
    lines = [options["sep"].join(schema.names)]
    for row in _rows(random_, schema, hostile):
        lines.append(options["sep"].join(_cell(row[name], options) for name in schema.names))
    return {"data.csv": (end.join(lines) + end).encode(errors="surrogatepass")}


def _cell(value: Any, options: Options) -> str:
    if value is None:
        return options["nullkey"]
    text = value if isinstance(value, str) else json.dumps(value)
    return '"' + text.replace('"', '""') + '"'


def _parquet(
    random_: random.Random, schema: CollectionSchema, _: Mapping[str, str], hostile: bool
) -> dict[str, bytes]:
    del hostile
    return {"data.parquet": random_.choice(parquet_files(schema.names == KEY_AND_VECTOR.names))}


def _numpy(random_: random.Random, schema: CollectionSchema, _: Options, hostile: bool) -> dict[str, bytes]:
    del hostile
    return {
        f"{n}.npy": data for n, data in _numpy_files().items() if n in schema.names and _given(random_, schema, n)
    }


def _columns(
    random_: random.Random, schema: CollectionSchema, options: Options, hostile: bool, *, format_: str
) -> dict[str, bytes]:
    del schema, options, hostile
    extension = random_.choice(_OF_COLUMNS[format_])
    return {f"data.{extension}": _column_file(extension, random_.choice([3, 5, 100]))}


@cache
def _column_file(extension: str, batch_rows: int) -> bytes:
    return COLUMN_FILES[extension](table_of(_ROWS, more=list(range(_ROWS))), batch_rows)


def _vectors(
    random_: random.Random, schema: CollectionSchema, options: Options, hostile: bool, *, format_: str
) -> dict[str, bytes]:
    del random_, schema, options, hostile
    extension = _OF_VECTORS[format_]
    return {f"data.{extension}": VECTOR_FILES[extension](np.arange(2 * _ROWS).reshape(_ROWS, 2))}


def _attack_binary(random_: random.Random, content: bytes) -> bytes:
    """A length or an offset of four or eight bytes, wherever one may be, set to an extreme or to another one."""
    at = random_.randrange(max(1, len(content) // 4)) * 4
    width = random_.choice([4, 8])
    number = random_.choice([*_EXTREMES, len(content), at, 2**31 - len(content)])
    return content[:at] + (number % (1 << 8 * width)).to_bytes(width, "little") + content[at + width :]


def _given(random_: random.Random, schema: CollectionSchema, name: str) -> bool:
    return not schema[name].nullable or random_.random() < 0.5


@cache
def _numpy_files() -> Mapping[str, bytes]:
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "id": np.arange(_ROWS),
        "vector": np.ones((_ROWS, 2), np.float32),
        "bool": np.zeros(_ROWS, bool),
        "int8": np.zeros(_ROWS, np.int8),
        "int16": np.zeros(_ROWS, ">i2"),
        "int32": np.zeros(_ROWS, np.int32),
        "int64": np.zeros(_ROWS, np.int64),
        "float": np.zeros(_ROWS, np.float32),
        "double": np.zeros(_ROWS, np.float64),
        "text": np.array(["é", "b"] * (_ROWS // 2)),
        "json": np.array([b"{}", b"[1]"] * (_ROWS // 2)),
        "half": np.ones((_ROWS, 2), np.float16),
        "brain": np.asfortranarray(np.ones((_ROWS, 2), np.float32)),
        "bytes": np.ones((_ROWS, 2), np.int8),
        "bits": np.ones((_ROWS, 2), np.uint8),
    }
    return {name: _saved(array) for name, array in arrays.items()}


def _saved(array: np.ndarray[Any, Any]) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


_MAKERS: Mapping[str, Callable[[random.Random, CollectionSchema, Options, bool], dict[str, bytes]]] = {
    PARQUET.name: _parquet,
    JSON.name: _json,
    JSON_LINES.name: _json_lines,
    CSV.name: _csv,
    NUMPY.name: _numpy,
    **{name: partial(_columns, format_=name) for name in _OF_COLUMNS},
    **{name: partial(_vectors, format_=name) for name in _OF_VECTORS},
}
_ATTACKS: Mapping[str, Callable[[random.Random, bytes], bytes]] = {
    PARQUET.name: _attack_parquet,
    JSON.name: _attack_text,
    JSON_LINES.name: _attack_text,
    CSV.name: _attack_text,
    NUMPY.name: _attack_npy,
    **dict.fromkeys([*_OF_COLUMNS, *_OF_VECTORS], _attack_binary),
}
