"""Compressed text files: read as the text in them, refused where they are damaged, bombs, or something else."""

from __future__ import annotations

import bz2
import gzip
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from penstock.errors import DataError
from penstock.readers import compression, decompression_bombs
from penstock.readers.base import FormatSpec, ReadRequest, plan_at_once
from penstock.readers.formats import format_of
from tests.support.in_memory import BytesSource
from tests.support.text_files import Found, read_file, schema_of


def zstd(text: bytes) -> bytes:
    return bytes(pa.compress(text, codec="zstd", asbytes=True))


COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "zst": zstd, "bz2": bz2.compress}
ROWS: list[dict[str, object]] = [
    {"id": number, "vector": [number, 0.1], "more": "x" * 500} for number in range(2_500)
]
"""More than a megabyte of text, so that its size is not known before it is read."""


def text_of(extension: str, rows: list[dict[str, object]]) -> bytes:
    match extension:
        case "json":
            return json.dumps(rows).encode()
        case "jsonl":
            return "".join(json.dumps(row) + "\n" for row in rows).encode()
        case _:
            separator = "," if extension == "csv" else "\t"
            lines = [f'{row["id"]}{separator}"{json.dumps(row["vector"])}"{separator}{row["more"]}\n' for row in rows]
            return "".join([f"id{separator}vector{separator}more\n", *lines]).encode()


def read(folder: Path, name: str, content: bytes, split_bytes: int = 1 << 30) -> Found:
    path = folder / name
    path.write_bytes(content)
    return read_file(spec_of(name).reader, path, schema_of(), split_bytes=split_bytes)


def spec_of(name: str) -> FormatSpec:
    spec = format_of(name)
    assert spec is not None
    return spec


def failure(folder: Path, name: str, content: bytes) -> DataError:
    with pytest.raises(DataError) as caught:
        read(folder, name, content)
    assert caught.value.file == name
    return caught.value


@pytest.mark.parametrize("extension", ["json", "jsonl", "csv", "tsv"])
@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("count", [3, len(ROWS)])
def test_the_rows_are_those_of_the_text(tmp_path: Path, extension: str, suffix: str, count: int) -> None:
    text = text_of(extension, ROWS[:count])
    found = read(tmp_path, f"rows.{extension}.{suffix}", COMPRESS[suffix](text), split_bytes=1000)
    assert found.splits == 1
    assert found.table.equals(read(tmp_path, f"rows.{extension}", text).table)
    assert found.table.num_rows == count


def test_a_tsv_is_a_csv_with_tabs(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('id\tvector\n1\t"[1, 2]"\n2\t[3, 4]\n')
    found = read_file(spec_of("a.tsv").reader, tmp_path / "a.tsv", schema_of())
    assert [row["vector"] for row in found.rows] == [[1, 2], [3, 4]]
    (tmp_path / "b.tsv").write_text("id;vector\n1;[1, 2]\n")
    found = read_file(spec_of("b.tsv").reader, tmp_path / "b.tsv", schema_of(), options={"sep": ";"})
    assert [row["vector"] for row in found.rows] == [[1, 2]]


def test_several_compressed_parts_are_one_text(tmp_path: Path) -> None:
    parts = [text_of("jsonl", ROWS[:2]), text_of("jsonl", ROWS[2:4])]
    for suffix, compress in COMPRESS.items():
        found = read(tmp_path, f"a.jsonl.{suffix}", b"".join(map(compress, parts)))
        assert [row["id"] for row in found.rows] == [0, 1, 2, 3]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_an_error_names_the_row_and_its_byte_in_the_text(tmp_path: Path, suffix: str) -> None:
    lines = text_of("jsonl", ROWS).splitlines(keepends=True)
    lines[2_400] = b'{"id": 1, "vector": [1, 2}\n'
    error = failure(tmp_path, f"a.jsonl.{suffix}", COMPRESS[suffix](b"".join(lines)))
    assert (error.row, error.offset) == (2_400, sum(map(len, lines[:2_400])) + 25)


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("extension", ["json", "jsonl", "csv"])
def test_damaged_files_are_refused(tmp_path: Path, extension: str, suffix: str) -> None:
    for count in (3, len(ROWS)):
        content = COMPRESS[suffix](text_of(extension, ROWS[:count]))
        name = f"a.{extension}.{suffix}"
        assert "is cut off after" in failure(tmp_path, name, content[:-5]).rule
        if suffix != "zst":  # Arrow writes Zstandard without checksums
            changed = bytearray(content)
            changed[len(content) // 2] ^= 0xFF
            assert failure(tmp_path, name, bytes(changed)).rule
        assert "file is damaged" in failure(tmp_path, name, content + b"more").rule


@pytest.mark.parametrize("suffix", COMPRESS)
def test_text_that_is_not_compressed_is_named(tmp_path: Path, suffix: str) -> None:
    error = failure(tmp_path, f"a.jsonl.{suffix}", text_of("jsonl", ROWS[:3]))
    assert error.rule.startswith("the content is not ")
    assert error.remedy is not None
    assert error.remedy.startswith("Give the file the suffix of its content")


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize(
    ("extension", "text"), [("jsonl", b" " * 4_000_000), ("csv", b"id,vector\n" + b"\n" * 4_000_000)]
)
def test_a_bomb_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, extension: str, text: bytes, suffix: str
) -> None:
    monkeypatch.setattr(decompression_bombs, "BOMB_CHECK_MIN_BYTES", 1 << 20)
    monkeypatch.setattr(decompression_bombs, "MAX_DECODE_RATIO", 100)
    error = failure(tmp_path, f"a.{extension}.{suffix}", COMPRESS[suffix](text))
    assert "bytes decode to more than 100 times as many" in error.rule


def test_ids_are_reserved_for_the_rows_that_fit_the_bound() -> None:
    """A file whose text is longer than the head has no more rows than its bound, however it is compressed."""
    content = gzip.compress(text_of("jsonl", ROWS))
    request = ReadRequest(sources=[BytesSource("a.jsonl.gz", content)], schema=schema_of(), batch_bytes=1 << 20)
    (whole,) = plan_at_once(spec_of("a.jsonl.gz").reader, request, 1)
    assert whole.size == len(content)
    assert len(ROWS) <= whole.max_rows < 1 << 30
    assert whole.decoded_size == 4 * len(content)
    assert len(text_of("jsonl", ROWS)) > compression.HEAD_BYTES


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_stream_has_the_bytes_of_the_text_whatever_sizes_are_read(suffix: str) -> None:
    text = text_of("jsonl", ROWS)
    source = compression._text_of(BytesSource(f"a.jsonl.{suffix}", COMPRESS[suffix](text)))
    assert source is not None

    with source.open_stream(10, 900_000) as stream:
        sizes = [1, 70_000, 70_000, 5, 300_000, 0, 1_000_000, 1]
        parts = [stream.read(size) for size in sizes]

    assert b"".join(parts) == text[10:900_000]
    assert [len(part) for part in parts] == [1, 70_000, 70_000, 5, 300_000, 0, 900_000 - 10 - 440_006, 0]


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_empty_parts_and_what_follows_the_last(tmp_path: Path, suffix: str) -> None:
    compress, name = COMPRESS[suffix], f"a.jsonl.{suffix}"
    text = text_of("jsonl", ROWS[:3])
    parts = [compress(b""), compress(text), compress(b""), compress(b"")]
    assert read(tmp_path, name, b"".join(parts)).table.num_rows == 3
    for more in (b"\0", b"\n", b"\0" * 512):
        assert "file is damaged" in failure(tmp_path, name, compress(text) + more).rule


def test_without_the_server_arrow_decompresses_gzip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compression, "_HAS_ISAL", False)
    content = gzip.compress(text_of("jsonl", ROWS))
    assert read(tmp_path, "a.jsonl.gz", content).table.num_rows == len(ROWS)
    assert "is cut off after" in failure(tmp_path, "a.jsonl.gz", content[:-5]).rule
    assert "file is damaged" in failure(tmp_path, "a.jsonl.gz", content + b"more").rule


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_gzip_is_read_in_steps_of_any_size(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Wherever the reads of the compressed file end, and those of its text."""
    monkeypatch.setattr(compression, "_COMPRESSED_BYTES", step)
    parts = [text_of("jsonl", ROWS[start : start + 3]) for start in range(0, 30, 3)]
    source = compression._text_of(BytesSource("a.jsonl.gz", b"".join(map(gzip.compress, parts))))
    assert source is not None
    with source.open_stream() as stream:
        assert b"".join(iter(partial(stream.read, 11), b"")) == b"".join(parts)


def test_many_small_parts_take_time_in_line_with_their_size() -> None:
    """As long as one read of the file, which has 50,000 of them."""
    source = compression._text_of(BytesSource("a.csv.gz", gzip.compress(b"") * 50_000 + gzip.compress(b"end")))
    assert source is not None
    start = time.process_time()
    with source.open_stream() as text:
        assert text.read() == b"end"
    assert time.process_time() - start < 1.5


def test_a_stream_may_be_closed_while_it_is_decompressed_ahead() -> None:
    source = compression._text_of(BytesSource("a.jsonl.gz", gzip.compress(text_of("jsonl", ROWS))))
    assert source is not None
    stream = source.open_stream()
    assert len(stream.read(1000)) == 1000
    stream.close()
    assert stream.closed
