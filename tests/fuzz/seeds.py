"""``python -m tests.fuzz.seeds FOLDER``: small good inputs for each target, as the first ones of a corpus."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.reading import COLUMN_EXTENSIONS
from tests.support.column_files import COLUMN_FILES, VECTOR_FILES, table_of

__all__ = ["SEEDS", "write_seeds"]

_ROW: Mapping[str, Any] = {
    "id": 1,
    "vector": [0.5, 1],
    "bool": True,
    "int8": 1,
    "int16": 2,
    "int32": 3,
    "int64": None,
    "float": 0.5,
    "double": 1e9,
    "text": 'é\\"',
    "json": {"a": [1, None]},
    "tags": ["a"],
    "counts": [1],
    "half": [1, 2],
    "brain": [1, 2],
    "bytes": [1, -2],
    "bits": [1, 255],
    "sparse": {"1": 0.5},
    "parts": [{"word": "a", "count": 1, "place": [1, 2]}],
    "other": "x",
}
_SMALL = {"id": 1, "vector": [1, 2], "text": None}


def _parquet(**options: Any) -> bytes:
    table = pa.table(
        {
            "id": pa.array([1, 2]),
            "vector": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32())),
            "text": pa.array(["a", None]),
            "sparse": pa.array([{"indices": [1], "values": [0.5]}, None]),
            "json": pa.array(["{}", "[1]"]).dictionary_encode(),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def _npy(values: Any, dtype: str, version: tuple[int, int] = (1, 0)) -> bytes:
    sink = io.BytesIO()
    np.lib.format.write_array(sink, np.asarray(values, dtype), version=version)
    return sink.getvalue()


def _csv(separator: str) -> bytes:
    cells = [json.dumps(value) if isinstance(value, (list, dict)) else str(value) for value in _ROW.values()]
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    return f"{separator.join(_ROW)}\r\n{separator.join(quoted)}\r\n".encode()


_LINES = [_SMALL, _ROW]
_ODD_ROWS = [
    {"id": 1, "vector": [1, 2], "x\0y": 1, "x": 2, "text": "a\0b"},
    {"id": 1, "vector": [1, 2], "k\0": "\0", "json": {"k\0": 1}},
    {"id": 1, "vector": [1, 2], "id\0": 5, "wide": [2**64, -(2**63) - 1, 10**30]},
    {"id": 1.0, "vector": [1, 2], "int32": 5.0, "int64": 1e3, "int8": -0.0},
]
_DEEP = b'{"id":1,"vector":[1,2],"json":' + b"[" * 300 + b"]" * 300 + b"}"
_EQUAL_KEYS = b'{"id":1,"vector":[1,2],"json":{"a":1,"a":"\\u0022\\u0022"}}'
_ODD = [*(json.dumps(each).encode() for each in _ODD_ROWS), _DEEP, _EQUAL_KEYS]
"""Names and values that parsers cut, round, join or fail at."""
_TEXT = json.dumps(_LINES).encode()
_LINES_TEXT = b"\n".join(json.dumps(each).encode() for each in _LINES)
_FILTERS = (
    'int64 in [1, 2] and (text like "a%" or not bool == true)',
    "1 < int8 <= 5 && double % 2 == 0 || float ** 2 > 1",
    "array_contains_any(counts, {list}) or json_contains(json['a'], {n}) or array_length(tags) == 2",
    'exists json["a"]["b"] and k is not null and $meta["list"][0] >= {x}',
    "tags[0] == 'a' and text in [r\"a\\b\", 'c\\n'] and -int32 + 0x1F < ~7 | 1 << 2",
    "[1, 2.0] == list",
)
_PATHS = (
    *("a/b.parquet", "./a/", "/imports/a/b.npy", "file:///imports/a/b%20c.json", "s3://bucket/a/b.csv", "C:\\a"),
    *("s3a://bucket/a/", "https://s3.eu-west-1.amazonaws.com/bucket/a", "https://bucket.s3.amazonaws.com/a/b"),
    *("gs://b/k", "https://storage.googleapis.com/b/k", "az://c/k", "abfss://c@account.dfs.core.windows.net/k"),
    *("https://files.example.com/a/b.json", "http://[::1]:80/a", "a/%2e%2e/b", "https://files.example.com/a/%2fb"),
)

SEEDS: Mapping[str, Iterable[bytes]] = {
    "parquet": [
        bytes([choice]) + _parquet(**options)
        for choice in range(3)
        for options in ({}, {"compression": "none", "use_dictionary": False}, {"data_page_version": "2.0"})
    ],
    "json": [
        bytes([choice]) + text
        for choice in range(0, 72, 5)
        for text in (_TEXT, b'{"rows":' + _TEXT + b"}", _TEXT + _TEXT, *(b"[" + each + b"]" for each in _ODD))
    ],
    "jsonl": [
        bytes([choice]) + between.join(json.dumps(each).encode() for each in _LINES)
        for choice in range(0, 72, 5)
        for between in (b"\n", b",", b"")
    ]
    + [bytes([choice]) + each for choice in range(0, 72, 5) for each in _ODD],
    "csv": [bytes([choice]) + _csv(",;\t"[choice // 3 % 3]) for choice in range(0, 72, 3)],
    "numpy": [
        bytes([choice]) + content
        for choice in range(17)
        for content in (
            _npy([1, 2], "i8"),
            _npy([[1, 2], [3, 4]], "f4"),
            _npy(np.asfortranarray([[1, 2], [3, 4]]), ">f8", (2, 0)),
            _npy(["a", "é"], "U2"),
            _npy([b"{}", b""], "S2"),
        )
    ],
    "columns": [
        bytes([choice * len(COLUMN_EXTENSIONS) + number]) + content
        for number, extension in enumerate(COLUMN_EXTENSIONS)
        for choice in range(2)
        for content in (
            VECTOR_FILES[extension](np.arange(6).reshape(3, 2))
            if extension in VECTOR_FILES
            else COLUMN_FILES[extension](table_of(3), 2),
        )
    ],
    "compressed": [bytes([choice]) + text for choice in range(9) for text in (_TEXT, _LINES_TEXT, _csv(","))],
    "paths": [each.encode() for each in _PATHS],
    "filters": [each.encode() for each in _FILTERS],
    "long_filters": [
        *(bytes([choice, size]) + piece for choice in range(10) for size in (2, 12, 144) for piece in (b"1", b'"x"')),
        *(bytes([10, size]) + b"1" for size in (4, 8, 10, 15)),
        *(
            bytes([choice, size]) + piece
            for choice in (11, 12)
            for size in (3, 12, 17)
            for piece in (b"a", b"_", b"%a")
        ),
        *(bytes([choice, 9]) + piece for choice in (13, 14) for piece in (b"int64 == 1", b"json['a'] == 1")),
        bytes([13, 7]) + b"json['k'] > 1 and text < 'b'",
        bytes([15, 14]) + b"json['a'] == 1",
    ],
    "json_marks": [b"\x03" + _TEXT[:100], b'\x00{"\\\\\\"[":["}"]}'],
    "json_survey": [b"\x01\x03" + _TEXT[1:], b"\x00\x02" + b"\n".join(json.dumps(each).encode() for each in _LINES)],
}


def write_seeds(folder: Path) -> None:
    """A folder per target below ``folder``; files are named by what is in them."""
    for name, contents in SEEDS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for content in contents:
            (folder / name / hashlib.sha1(content, usedforsecurity=False).hexdigest()).write_bytes(content)


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
