"""Small files that mean harm: they claim, or decode to, far more than they are; and a task that reads one.

Workers import this by name.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from penstock.domain.schema import CollectionSchema
from penstock.errors import PenstockError
from penstock.readers.base import ReadRequest, plan_at_once
from penstock.readers.input_files import detect
from penstock.runners.base import TaskContext
from penstock.runners.memory import private_bytes
from penstock.sources.opening import open_source
from penstock.sources.roots import ImportRoots
from penstock.validation import Conformer

__all__ = ["BOMBS", "Outcome", "Reading", "dictionary_of_long_texts", "page_of_equal_texts", "read"]

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """Files of one unit to read as a job does, but for writing them."""

    folder: str
    names: tuple[str, ...]
    schema: CollectionSchema
    memory_limit: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Rows that were read, how the reading ended ("" for well), and what it took of memory at its peak, in bytes."""

    rows: int
    error: str
    taken: int


def read(task: Reading, context: TaskContext) -> Outcome:
    """Raises MemoryError, and whatever is no error of Penstock's."""
    found = [each for name in task.names for each in ImportRoots([task.folder]).locate(name)]
    request = ReadRequest(sources=[open_source(each) for each in found], schema=task.schema, batch_bytes=MIB)
    reader = detect(task.names).reader
    conformer = Conformer(task.schema, [0], None)
    before = private_bytes()
    Path("/proc/self/clear_refs").write_text("5")
    rows, error = 0, ""
    try:
        for split in plan_at_once(reader, request, 64 * MIB):
            for batch in reader.read(request, split.spec):
                rows += conformer.conform(batch).num_rows
    except PenstockError as problem:
        error = f"{problem.code}: {problem}"
    return Outcome(rows, error, max(0, _peak() - before))


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    figures = dict(line.split(":\t") for line in status.splitlines() if line.startswith(("VmHWM", "RssFile")))
    return sum(int(figures[name].split()[0]) * sign for name, sign in (("VmHWM", 1), ("RssFile", -1))) << 10


# Parquet


def page_of_equal_texts(path: Path, rows: int, compression: Literal["zstd", "gzip", "snappy"]) -> None:
    """One page of ``rows`` texts of 60 KB: it is decoded at once or not at all."""
    table = pa.table({"id": range(rows), "vector": _vectors(rows), "text": pa.repeat(pa.scalar("0" * 60_000), rows)})
    pq.write_table(
        table, path, use_dictionary=False, compression=compression, data_page_size=1 << 30, write_batch_size=rows
    )


def dictionary_of_long_texts(path: Path, rows: int) -> None:
    """``rows`` times the same 60 KB: a dictionary of one value, and a run of its number."""
    texts = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array(["x" * 60_000]))
    table = pa.table({"id": pa.array(np.zeros(rows, np.int64)), "vector": _vectors(rows), "text": texts})
    pq.write_table(table, path, use_dictionary=True, compression="zstd")


def _vectors(rows: int) -> pa.Array[Any]:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(rows * 4, np.float32)), 4)


def _footer(content: bytes) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.write_bytes(b"PAR1" + content + struct.pack("<I", len(content)) + b"PAR1")

    return write


def _claims(path: Path) -> None:
    """A true file whose footer says a billion rows in place of a thousand."""
    pq.write_table(pa.table({"id": pa.array([1] * 1000), "vector": _vectors(1000)}), path)
    content = path.read_bytes()
    thousand, billion = _varint(2 * 1000), _varint(2 * 10**9)
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    footer = content[start:-8].replace(b"\x16" + thousand, b"\x16" + billion)
    assert footer != content[start:-8]
    path.write_bytes(content[:start] + footer + struct.pack("<I", len(footer)) + b"PAR1")


def _varint(number: int) -> bytes:
    found = b""
    while number >= 0x80:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


_MOST = _varint(2**31 - 1)
_VERSION = b"\x15\x02"


# NumPy


def _npy(header: bytes, version: int = 1, size: int | None = None) -> Callable[[Path], object]:
    """``size`` is what the header claims to have, its true one unless given."""

    def write(path: Path) -> None:
        length = len(header) if size is None else size
        packed = struct.pack("<H" if version == 1 else "<I", length)
        path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + packed + header + b"\0" * 64)

    return write


def _shape(shape: str, dtype: str = "<f4") -> Callable[[Path], object]:
    return _npy(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode())


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/tmp/unpickled-by-an-import",)


def _pickled(path: Path) -> None:
    values = np.empty(1, object)
    values[0] = _Evil()
    np.save(path, values, allow_pickle=True)


# Text


def _repeated(*parts: tuple[bytes, int]) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            for content, times in parts:
                for done in range(0, times, MIB):
                    file.write(content * min(times - done, MIB))

    return write


def _row(extra: bytes) -> bytes:
    return b'{"id": 1, "vector": [0, 0, 0, 0], "x": ' + extra + b"}\n"


def _sparse(path: Path) -> None:
    """A line of a gigabyte that takes no disk."""
    path.write_bytes(b"id,vector\n1,")
    os.truncate(path, 1 << 30)


def _compressed(block: bytes, count: int) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        codec: Any = {".gz": "gzip", ".zst": "zstd"}[path.suffix]
        with pa.CompressedOutputStream(str(path), codec) as sink:
            for _ in range(count):
                sink.write(block)

    return write


def _avro_block(path: Path) -> None:
    """A block that is decompressed as a whole, to a text of 400 MB."""
    schema = {"type": "record", "name": "row", "fields": [{"name": "id", "type": "long"}, _AVRO_VECTOR, _AVRO_TEXT]}
    with path.open("wb") as file:
        fastavro.writer(file, schema, [{"id": 1, "vector": [0.0] * 4, "text": "x" * (400 * MIB)}], codec="deflate")


def _avro_rows(path: Path) -> None:
    """A block that claims 2^40 rows of nulls, which take no bytes."""
    schema = json.dumps({"type": "record", "name": "row", "fields": _AVRO_NULLS}).encode()
    sync = b"0" * 16
    head = b"Obj\x01\x02" + _avro_text(b"avro.schema") + _avro_text(schema) + b"\0" + sync
    path.write_bytes(head + _varint(2 << 40) + b"\0" + sync)


def _avro_text(text: bytes) -> bytes:
    return _varint(2 * len(text)) + text


_AVRO_NULLS = [{"name": "id", "type": "null"}, {"name": "vector", "type": "null"}]
_AVRO_VECTOR = {"name": "vector", "type": {"type": "array", "items": "float"}}
_AVRO_TEXT = {"name": "text", "type": "string"}


def _compressed_arrays(path: Path) -> None:
    """A header that claims more than the bound, with its true bytes never written."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("id.npy", b"\0" * (1 << 20))
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<I", 1 << 20), struct.pack("<I", 2 << 30)))


def _equal_values(path: Path) -> None:
    """A record batch of 800 MB of zeros, compressed."""
    rows = 20_000_000
    table = pa.table(
        {"id": pa.array(np.zeros(rows, np.int64)), "vector": _vectors(rows), "text": pa.nulls(rows, pa.string())}
    )
    with pa.ipc.new_file(str(path), table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)


BOMBS: Mapping[str, tuple[str, Callable[[Path], object], str]] = {
    "zstd page": ("a.parquet", lambda path: page_of_equal_texts(path, 8_000, "zstd"), "memory"),
    "gzip page": ("a.parquet", lambda path: page_of_equal_texts(path, 8_000, "gzip"), "memory"),
    "snappy page": ("a.parquet", lambda path: page_of_equal_texts(path, 8_000, "snappy"), "memory"),
    "a billion rows claimed": ("a.parquet", _claims, "damaged|can't be read"),
    "list of 2^31 in the footer": ("a.parquet", _footer(_VERSION + b"\x19\xfc" + _MOST), "can't be read"),
    "text of 2^31 in the footer": ("a.parquet", _footer(_VERSION + b"\x38" + _MOST), "can't be read"),
    "structs without an end": ("a.parquet", _footer(b"\x1c" * 1_000_000), "can't be read"),
    "lists without an end": ("a.parquet", _footer(b"\x19" * 1_000_000), "can't be read"),
    "empty footer": ("a.parquet", _footer(b""), "can't be read|cut off"),
    "footer larger than the file": (
        "a.parquet",
        lambda path: path.write_bytes(b"PAR1" + b"\0" * 64 + b"\xff\xff\xff\x7fPAR1"),
        "its footer claims",
    ),
    "a trillion rows": ("id.npy", _shape("(1000000000000,)", "<i8"), "is cut off"),
    "more rows than numbers": ("id.npy", _shape(f"({10**30}, {10**30})", "<i8"), "cut off|can't be imported"),
    "negative rows": ("id.npy", _shape("(-5,)", "<i8"), "damaged|cut off"),
    "a text of 2 GB": ("id.npy", _shape("(1,)", "<U500000000"), "cut off"),
    "a row of 2 GB": ("vector.npy", _shape("(1, 500000000)"), "cut off"),
    "no bytes but rows": ("vector.npy", _shape("(1000000000000, 0)"), "can't be imported"),
    "header of 4 GB": ("id.npy", _npy(b"{", 2, 2**32 - 1), "not a NumPy file"),
    "nested header": ("id.npy", _npy(b"(" * 60_000), "not a NumPy file"),
    "header of lists": ("id.npy", _npy(b"[" * 5_000 + b"]" * 5_000), "not a NumPy file"),
    "header of minus signs": ("id.npy", _npy(b"-" * 9_000 + b"1"), "not a NumPy file"),
    "header of one number": ("id.npy", _shape("(" + "9" * 9_000 + ",)"), "not a NumPy file|cut off"),
    "header that calls": ("id.npy", _npy(b"__import__('os').system('true')"), "not a NumPy file"),
    "pickle": ("id.npy", _pickled, "never unpickled"),
    "nested lists": ("a.json", _repeated((b"[", 1_000_000)), "."),
    "nested objects": ("a.json", _repeated((b'[{"a":', 1_000_000)), "."),
    "nested value": ("a.jsonl", lambda path: path.write_bytes(_row(b"[" * 100_000 + b"]" * 100_000)), "."),
    "nested value, balanced objects": (
        "a.jsonl",
        lambda path: path.write_bytes(_row(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)),
        ".",
    ),
    "gigabytes of blanks": ("a.jsonl.zst", _compressed(b" " * MIB, 1100), "decode to more than 1,000 times"),
    "gigabytes of blanks before a list": ("a.json.gz", _compressed(b" " * MIB, 1100), "started with|decode to more"),
    "a compressed line without an end": ("a.jsonl.gz", _compressed(b"x" * MIB, 200), "longer than|ends|JSON"),
    "avro block": ("a.avro", _avro_block, "memory"),
    "avro rows without bytes": ("a.avro", _avro_rows, "."),
    "compressed arrays": ("a.npz", _compressed_arrays, "decode to more than 1,000 times"),
    "an arrow batch of equal values": ("a.feather", _equal_values, "memory"),
    "a text without an end": ("a.json", _repeated((b'[{"id": 1, "x": "', 1), (b"x", 200 * MIB)), "longer than|ends"),
    "a line without an end": ("a.jsonl", _repeated((b'{"id": 1, "x": "', 1), (b"x", 200 * MIB)), "longer than|ends"),
    "a number of a million digits": ("a.jsonl", lambda path: path.write_bytes(_row(b"9" * 1_000_000)), ""),
    "a number beyond numbers": ("a.jsonl", lambda path: path.write_bytes(_row(b"1e999999999")), ""),
    "very many keys": (
        "a.jsonl",
        lambda path: path.write_text(json.dumps({f"k{index}": 1 for index in range(200_000)})),
        ".",
    ),
    "a line of a gigabyte": ("a.csv", _sparse, "longer than"),
    "a cell without an end": ("a.csv", _repeated((b'id,vector\n1,"', 1), (b"x", 200 * MIB)), "longer than|closed"),
    "a million columns": ("a.csv", _repeated((b"column,", 1_000_000)), "the header is longer than"),
}  # fmt: skip
"""What is tried → the file's name, what writes it, and its end: "memory", or a pattern of the error's text."""
