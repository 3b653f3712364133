"""The forms of manifests, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import DataError, LimitExceeded
from penstock.sources.crc32c import BLOCK_BYTES, Crc32c
from penstock.sources.manifests import is_manifest, parse_manifest

SHA256 = hashlib.sha256(b"1").digest()


def parsed(content: str | bytes | dict[str, Any], limit: int = 100) -> list[Any]:
    text = json.dumps(content) if isinstance(content, dict) else content
    return list(parse_manifest(text if isinstance(text, bytes) else text.encode(), "x.manifest", limit))


def test_the_name_says_that_a_file_is_a_manifest() -> None:
    assert all(map(is_manifest, ["s3://b/night.manifest", "Night.Manifest.JSON"]))
    assert not any(map(is_manifest, ["manifest.json", "a.manifest.parquet"]))


def test_json_with_sizes_and_checksums() -> None:
    first, second = parsed(
        {
            "files": [
                {"path": "a.csv", "size": 1, "sha256": SHA256.hex().upper(), "etag": '"x"'},
                {"path": "b.csv", "sha256": base64.b64encode(SHA256).decode(), "crc32c": "n03x6A=="},
            ]
        }
    )
    assert (first.path, first.size, first.etag, first.checksums) == ("a.csv", 1, '"x"', {"sha256": SHA256.hex()})
    assert second.checksums == {"sha256": SHA256.hex(), "crc32c": "9f4df1e8"}
    assert [entry.path for entry in parsed({"files": ["a.csv", "b.csv"]})] == ["a.csv", "b.csv"]


def test_lines_of_paths() -> None:
    assert [entry.path for entry in parsed("\ufeff# night\r\na b.csv\r\n\n  c.csv\n")] == ["a b.csv", "  c.csv"]


def test_the_output_of_sha256sum_and_md5sum(tmp_path: Path) -> None:
    names = ["a b.csv", "back\\slash.csv"]
    for name in names:
        (tmp_path / name).write_bytes(b"1")
    for program, kind in (("sha256sum", "sha256"), ("md5sum", "md5")):
        output = subprocess.run([program, *names], cwd=tmp_path, capture_output=True, check=True).stdout
        entries = parsed(output)
        assert [entry.path for entry in entries] == names
        assert {entry.checksums[kind] for entry in entries} == {hashlib.new(kind, b"1").hexdigest()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the manifest lists no files"),
        (b"\xff\xfe", "the manifest is not UTF-8 text"),
        ("{", "the manifest is not valid JSON"),
        ("[" * 200, "the manifest is not valid JSON"),
        ({"entries": []}, 'the manifest has no list "files"'),
        ({"files": [{"url": "a.csv"}]}, "entry 1 of the manifest: the entry has no path"),
        ({"files": ["a.csv", {"path": "b.csv", "sha1": "00"}]}, "entry 2 of the manifest: the key 'sha1' is unknown"),
        ({"files": [{"path": "b.csv", "size": "1"}]}, "size is not a number of bytes: 1"),
        (
            {"files": [{"path": "b.csv", "md5": "zz"}]},
            "md5 is not a digest of 16 bytes: zz. Write its 32 hexadecimal",
        ),
        ({"files": ["b.manifest"]}, "'b.manifest' is a manifest, too"),
        ("folder/\n", "'folder/' is not the path of a file"),
        ("a.csv\na.csv\n", "entry 2 of the manifest: the path 'a.csv' is listed twice"),
    ],
)
def test_a_manifest_that_breaks_a_rule(content: Any, message: str) -> None:
    with pytest.raises(DataError) as raised:
        parsed(content)
    assert str(raised.value).startswith("file 'x.manifest'")
    assert message in str(raised.value)


@pytest.mark.parametrize("content", ["a\n" * 101, {"files": [f"{number}.csv" for number in range(101)]}])
def test_a_manifest_is_bounded(content: Any) -> None:
    content = "".join(f"{number}.csv\n" for number in range(101)) if isinstance(content, str) else content
    with pytest.raises(LimitExceeded, match="lists 101 files; the limit is 100 files per manifest"):
        parsed(content)
    for values in ("\n" * 5000, '{"files": [' + "[]," * 5000 + "[]]}"):
        with pytest.raises(LimitExceeded, match="the limit is 100 files"):
            parsed(values)


def test_crc32c_of_any_length_and_in_any_pieces() -> None:
    def slow(data: bytes) -> str:
        value = 0xFFFFFFFF
        for byte in data:
            value ^= byte
            for _ in range(8):
                value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        return f"{value ^ 0xFFFFFFFF:08x}"

    def fast(*pieces: bytes) -> str:
        digest = Crc32c()
        for piece in pieces:
            digest.update(piece)
        return digest.hexdigest()

    assert fast(b"123456789") == "e3069283"  # the check value of its definition
    data = bytes(number * 7 % 251 for number in range(5000))
    for length in (0, 1, 2, 511, 512, 513, 5000):
        assert fast(data[:length]) == slow(data[:length])
        assert fast(data[: length // 3], data[length // 3 : length]) == slow(data[:length])
    long = data * (BLOCK_BYTES // len(data) + 100)
    assert fast(long) == fast(long[:12345], long[12345:])
