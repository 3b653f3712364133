"""Manifests: files that list import files, with their sizes and checksums.

Three forms are read, distinguished by their content::

    {"files": [{"path": "a.parquet", "size": 1024, "sha256": "9f86…"}, "b.parquet"]}

    9f86d0818884…  a.parquet           the output of sha256sum or md5sum

    a.parquet                          one path per line; empty lines, and those that begin with #, are skipped
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

import orjson

from penstock.errors import DataError, LimitExceeded, shorten
from penstock.sources.base import MANIFEST_ENDS

MAX_BYTES = 64 << 20
"""Bytes of one manifest."""
_DIGEST_BYTES: Mapping[str, int] = {"sha256": 32, "md5": 16, "crc32c": 4}
CHECKSUMS = tuple(_DIGEST_BYTES)
"""The checksums that are computed from a file's content; ``etag`` is compared with that of the object store."""
_KEYS = ("path", "size", "etag", *CHECKSUMS)
_SUM_LINE = re.compile(r"(\\?)([0-9a-fA-F]{64}|[0-9a-fA-F]{32}) [ *](.+)")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
_VALUES_PER_FILE = 16
"""JSON values per file that a manifest may have, so that parsing one takes memory in line with its files."""


def is_manifest(path: str) -> bool:
    """Whether a path names a manifest: it ends in ``.manifest`` or ``.manifest.json``, in any case."""
    return path.lower().endswith(MANIFEST_ENDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestEntry:
    """One file of a manifest. ``checksums`` are lower-case hexadecimal digests by name; ``number`` counts from 1."""

    path: str
    number: int
    size: int | None = None
    etag: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict)


def parse_manifest(content: bytes, name: str, limit: int) -> Sequence[ManifestEntry]:
    """Parse a manifest, in time and memory in line with its size.

    Args:
        name: of the manifest, for messages.
        limit: maximum number of files.

    Raises:
        DataError: it breaks a rule; names the manifest and the entry.
        LimitExceeded: it lists more files than the limit.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "the manifest is not UTF-8 text", file=name, offset=error.start, remedy="Write it again as UTF-8"
        ) from None
    entries = _of_json(text, name, limit) if text.lstrip().startswith(("{", "[")) else _of_lines(text, name, limit)
    if not entries:
        raise DataError(
            "the manifest lists no files", file=name, remedy='Write one path per line, or {"files": [{"path": …}]}'
        )
    paths: set[str] = set()
    for entry in entries:
        if entry.path in paths:
            _refuse(name, entry.number, f"the path {entry.path!r} is listed twice", "Remove one of the entries")
        paths.add(entry.path)
    return entries


def _of_lines(text: str, name: str, limit: int) -> list[ManifestEntry]:
    if text.count("\n") > _VALUES_PER_FILE * limit:
        raise _too_many(name, text.count("\n"), limit)
    entries: list[ManifestEntry] = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip() or line.startswith("#"):
            continue
        checksums: dict[str, str] = {}
        if match := _SUM_LINE.fullmatch(line):
            digest, line = match[2].lower(), match[3]
            if match[1]:  # as sha256sum writes names with backslashes and line breaks
                line = re.sub(r"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], line)
            checksums = {"sha256" if len(digest) == 64 else "md5": digest}
        entries.append(ManifestEntry(path=_path(line, name, number), number=number, checksums=checksums))
    if len(entries) > limit:
        raise _too_many(name, len(entries), limit)
    return entries


def _of_json(text: str, name: str, limit: int) -> list[ManifestEntry]:
    if sum(map(text.count, "{[,")) > _VALUES_PER_FILE * (limit + 1):
        raise _too_many(name, None, limit)
    try:
        content: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DataError(f"the manifest is not valid JSON: {error}", file=name, remedy="Write it again") from None
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, list):
        raise DataError(
            'the manifest has no list "files"', file=name, remedy='Write {"files": [{"path": "a.parquet"}, …]}'
        )
    if len(files) > limit:
        raise _too_many(name, len(files), limit)
    return [_entry(value, name, number) for number, value in enumerate(files, 1)]


def _entry(value: Any, name: str, number: int) -> ManifestEntry:
    if isinstance(value, str):
        return ManifestEntry(path=_path(value, name, number), number=number)
    if not isinstance(value, dict) or not isinstance(value.get("path"), str):
        _refuse(name, number, "the entry has no path", 'Write {"path": "a.parquet"}, or the path alone')
    if unknown := [key for key in value if key not in _KEYS]:
        # An expectation that is not checked would be taken for one that was met.
        _refuse(name, number, f"the key {shorten(unknown[0])!r} is unknown", f"Keys are {', '.join(_KEYS)}")
    size, etag = value.get("size"), value.get("etag")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        _refuse(name, number, f"size is not a number of bytes: {shorten(size)}", "Write it as a whole number")
    if etag is not None and not isinstance(etag, str):
        _refuse(name, number, f"etag is not a text: {shorten(etag)}", "Write the object's ETag")
    checksums = {kind: _digest(kind, value[kind], name, number) for kind in CHECKSUMS if value.get(kind) is not None}
    return ManifestEntry(
        path=_path(value["path"], name, number), number=number, size=size, etag=etag or "", checksums=checksums
    )


def _digest(kind: str, value: Any, name: str, number: int) -> str:
    """A digest as lower-case hexadecimal; object stores write them in base64."""
    count = _DIGEST_BYTES[kind]
    decoded = b""
    if isinstance(value, str):
        is_hexadecimal = re.fullmatch(rf"[0-9a-fA-F]{{{2 * count}}}", value) is not None
        with suppress(binascii.Error, ValueError):
            decoded = bytes.fromhex(value) if is_hexadecimal else base64.b64decode(value, validate=True)
    if len(decoded) != count:
        _refuse(
            name,
            number,
            f"{kind} is not a digest of {count} bytes: {shorten(value)}",
            f"Write its {2 * count} hexadecimal digits, or base64",
        )
    return decoded.hex()


def _path(path: str, name: str, number: int) -> str:
    if is_manifest(path):
        _refuse(name, number, f"{path!r} is a manifest, too", "List its files here, or import it by itself")
    if path.endswith("/") or not path.strip():
        _refuse(name, number, f"{path!r} is not the path of a file", "List the files of the folder")
    return path


def _refuse(name: str, number: int, rule: str, remedy: str) -> NoReturn:
    raise DataError(f"entry {number} of the manifest: {rule}", file=name, remedy=remedy)


def _too_many(name: str, count: int | None, limit: int) -> LimitExceeded:
    what = "many more values than its files need" if count is None else f"{count:,} files"
    return LimitExceeded(
        f"the manifest {name!r} lists {what}; the limit is {limit:,} files per manifest (max_listed_files). "
        "Split it into several, and import each",
        limit="max_listed_files",
        value=limit,
        path=name,
    )
