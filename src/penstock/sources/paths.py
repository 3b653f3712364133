"""The text of a path in an import request, taken apart. Nothing here looks at a disk or a network.

Forms that are understood::

    docs/a.parquet, ./docs/a.parquet     a name below some import root
    /docs/a.parquet                      a local file, or a name below some import root (old bulk writers write these)
    file:///docs/a.parquet               a local file; percent-encoded as RFC 8089 says
    s3://bucket/key, s3a://, s3n://      an object; the key is taken literally, as the AWS tools do
    https://s3.<region>.amazonaws.com/bucket/key, https://bucket.s3.<region>.amazonaws.com/key
                                         the same object (contract 1.1)

A path that ends in ``/`` is a folder. ``..`` is refused in every form, encoded ones too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import unquote

from penstock.errors import PathNotAllowed, Unsupported

__all__ = ["Address", "parse_path", "parse_root"]

LOCAL = "file"
OBJECT = "s3"
_ALIASES = {"s3a": "s3", "s3n": "s3"}
_PLANNED = frozenset({"gs", "gcs", "az", "azure", "abfs", "abfss", "wasb", "wasbs", "adl", "ftp", "hdfs"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_S3_HOST = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9._-]*)\.)?s3(?:[.-](?:dualstack\.)?(?P<region>[a-z]{2}(?:-[a-z]+)+-\d+))?"
    r"\.amazonaws\.com(?:\.cn)?"
)
_MAX_LENGTH = 4096
"""Longest path in characters: beyond what file systems (4,096 bytes) and object stores (1,024 bytes) can name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A parsed path.

    ``scheme`` is ``""`` (a name below a root), ``"file"`` or ``"s3"``. ``path`` is a clean path or key: no empty or
    ``.`` segments, no trailing slash, and a leading slash only where the caller wrote one (never for ``s3``).
    """

    text: str
    scheme: str
    path: str
    bucket: str = ""
    region: str = ""
    is_folder: bool = False

    @property
    def is_absolute(self) -> bool:
        return self.path.startswith("/")


def parse_path(text: str) -> Address:
    """Take a path of a request apart.

    Raises:
        PathNotAllowed: a form that is never opened.
        Unsupported: a scheme that this server has no reader for.
    """
    _check_text(text)
    found = _SCHEME.fullmatch(text)
    if not found:
        return _plain(text)
    scheme = found[1].lower()
    parse = _PARSERS.get(_ALIASES.get(scheme, scheme))
    if parse is None:
        why = "can't be read from yet" if scheme in _PLANNED else "is not a kind of path that files are read from"
        raise Unsupported(
            f"path {text!r}: {scheme}:// {why}. Use a path below an import root, file:///… or s3://bucket/key",
            path=text,
            scheme=scheme,
        )
    return parse(text, found[2])


def parse_root(text: str) -> Address:
    """Take an import root apart: a local folder, ``file:///…``, ``s3://bucket/prefix`` or ``s3://`` alone."""
    if text.lower() in ("s3://", "s3a://", "s3n://"):
        return Address(text=text, scheme=OBJECT, path="", is_folder=True)
    return parse_path(text)


def _check_text(text: str) -> None:
    if not text.strip():
        _refuse(text, "the path is empty")
    if len(text) > _MAX_LENGTH:
        _refuse(text[:80] + "…", f"the path is longer than {_MAX_LENGTH} characters")
    decoded = text
    for _ in range(4):  # a name may be encoded twice by a proxy; five times is an attack
        if "\0" in decoded:
            _refuse(text, "the path holds a NUL character")
        if ".." in re.split(r"[/\\]", decoded):
            _refuse(text, "the path holds '..'", "Write the path without it")
        decoded, before = unquote(decoded), decoded
        if decoded == before:
            return
    _refuse(text, "the path is percent-encoded many times over", "Write it plainly")


def _refuse(text: str, why: str, remedy: str = "") -> NoReturn:
    raise PathNotAllowed(f"path {text!r} is not allowed: {why}" + (f". {remedy}" if remedy else ""), path=text)


def _clean(path: str) -> str:
    """Without empty and ``.`` segments; keeps a leading slash."""
    joined = "/".join(part for part in path.split("/") if part not in ("", "."))
    return "/" + joined if path.startswith("/") else joined


def _plain(text: str) -> Address:
    return Address(text=text, scheme="", path=_clean(text), is_folder=text.endswith("/"))


def _file(text: str, rest: str) -> Address:
    if not rest.startswith("/"):
        _refuse(
            text, f"it names the host {rest.partition('/')[0]!r}", "Write file:///folder/file, with three slashes"
        )
    return Address(text=text, scheme=LOCAL, path=_clean(unquote(rest)), is_folder=rest.endswith("/"))


def _s3(text: str, rest: str) -> Address:
    bucket, _, key = rest.partition("/")
    return _object(text, bucket, key)


def _object(text: str, bucket: str, key: str, region: str = "") -> Address:
    if not _BUCKET.fullmatch(bucket):
        _refuse(text, f"{bucket!r} is not a bucket's name", "Write s3://bucket/key")
    if any(part in ("", ".") for part in key.removesuffix("/").split("/")) and key:
        # The object store's client joins such segments, and would read another object than the one named.
        _refuse(text, "the key has an empty segment or a '.' in it", "Copy the object to a plain key")
    return Address(
        text=text,
        scheme=OBJECT,
        bucket=bucket,
        path=key.removesuffix("/"),
        region=region,
        is_folder=not key or key.endswith("/"),
    )


def _http(text: str, rest: str) -> Address:
    host, _, path = rest.partition("/")
    found = _S3_HOST.fullmatch(host.lower())
    if not found or "?" in rest or "#" in rest:
        raise Unsupported(
            f"path {text!r}: of web addresses only those of S3 objects can be read, without a query: "
            "https://s3.<region>.amazonaws.com/<bucket>/<key>. For other stores use s3://bucket/key",
            path=text,
        )
    bucket, key = found["bucket"], unquote(path)
    if not bucket:
        bucket, _, key = key.partition("/")
    return _object(text, bucket, key, found["region"] or "")


_PARSERS: Mapping[str, Callable[[str, str], Address]] = {LOCAL: _file, OBJECT: _s3, "https": _http, "http": _http}
"""Scheme → how its paths are taken apart. A new kind of source adds a row here and one in ``opening``."""
