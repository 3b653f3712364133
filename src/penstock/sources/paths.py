"""Parse the paths of import requests, by text alone: without access to a disk or a network.

Supported forms::

    docs/a.parquet, ./docs/a.parquet     a name below some import root
    /docs/a.parquet                      a local file, or a name below some import root (old bulk writers write these)
    file:///docs/a.parquet               a local file; percent-encoded as in RFC 8089
    s3://bucket/key, s3a://, s3n://      an object; the key is taken literally, as in the AWS tools
    https://s3.<region>.amazonaws.com/bucket/key, https://bucket.s3.<region>.amazonaws.com/key
                                         the same object (contract 1.1)
    gs://bucket/key, gcs://, https://storage.googleapis.com/bucket/key
    az://container/key, azure://, abfss://container@account.dfs.core.windows.net/key,
    https://<account>.blob.core.windows.net/container/key
    https://host/path, http://host/path  a file on a web server
    upload://ID/name                     a file that was uploaded to the server

A path that ends in ``/`` is a folder. ``..`` is rejected in every form, encoded ones too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NoReturn
from urllib.parse import quote, unquote

from penstock.domain.uploads import UPLOAD, UPLOAD_ID
from penstock.errors import PathNotAllowed, Unsupported

LOCAL = "file"
BUCKETS = frozenset({"s3", "gs", "az"})
"""Schemes of object stores."""
WEB = frozenset({"https", "http"})
_ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "azure": "az", "abfs": "az", "abfss": "az", "wasb": "az"}
_ALIASES |= {"wasbs": "az"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_S3_HOST = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9._-]*)\.)?s3(?:[.-](?:dualstack\.)?(?P<region>[a-z]{2}(?:-[a-z]+)+-\d+))?"
    r"\.amazonaws\.com(?:\.cn)?"
)
_GS_HOST = re.compile(r"(?:(?P<bucket>[a-z0-9][a-z0-9._-]*)\.)?storage\.googleapis\.com|storage\.cloud\.google\.com")
_AZ_HOST = re.compile(r"(?P<account>[a-z0-9]{3,24})\.(?:blob|dfs)\.core\.windows\.net")
_WEB_HOST = re.compile(r"(?:[a-z0-9_-][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::\d{1,5})?")
_SEGMENT_ENDS = re.compile(r"[/\\;]")
"""Some web servers treat ``\\`` as ``/``, and drop the text after a ``;`` before they resolve ``..``."""
_OVERLONG = re.compile(r"%(?:c[01]%[89ab]|e0%[89])", re.IGNORECASE)
"""First bytes of overlong UTF-8 encodings of ``.`` or ``/``, which lenient decoders accept."""
_PORTS = {"https": ":443", "http": ":80"}
_IN_URLS = "/%:@!$&'()*+,;=~"
"""Characters that are not percent-encoded in the path of a web address."""
_MAX_LENGTH = 4096
"""Maximum length in characters: more than file systems (4,096 bytes) and object stores (1,024 bytes) allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A parsed path.

    ``scheme`` is ``""`` (a name below a root), ``"file"``, ``"upload"``, or one of :data:`BUCKETS` or :data:`WEB`.
    ``path`` is a normalized path or key: no empty or ``.`` segments, no trailing slash, and a leading slash only if
    the request has one (never for objects); for a web address its percent-encoding is kept. ``bucket`` is the bucket
    or container, the host (with the port, unless it is the default one), or the id of an upload. ``account`` is
    Azure's, if the address has it.
    """

    text: str
    scheme: str
    path: str
    bucket: str = ""
    region: str = ""
    account: str = ""
    is_folder: bool = False


def parse_path(text: str) -> Address:
    """Parse a path of a request.

    Raises:
        PathNotAllowed: a form that is never opened.
        Unsupported: a scheme that this server has no reader for.
    """
    _check_text(text)
    match = _SCHEME.fullmatch(text)
    if not match:
        return _path(text)
    scheme = match[1].lower()
    parse = _PARSERS.get(_ALIASES.get(scheme, scheme))
    if parse is None:
        shown = _shown(text)
        raise Unsupported(
            f"path {shown!r}: {scheme}:// is not a supported scheme. "
            "Use a path below an import root, file:///…, s3://bucket/key, gs://, az:// or https://",
            path=shown,
            scheme=scheme,
        )
    return parse(text, match[2])


def parse_root(text: str) -> Address:
    """Parse an import root: a local folder, a prefix's address, or ``s3://``, ``gs://``, ``az://`` alone."""
    scheme = _ALIASES.get(text.lower().removesuffix("://"), text.lower().removesuffix("://"))
    if text.endswith("://") and scheme in BUCKETS:
        return Address(text=text, scheme=scheme, path="", is_folder=True)
    return parse_path(text)


def _check_text(text: str) -> None:
    if not text.strip():
        _refuse(text, "the path is empty")
    check_unicode(text)
    if len(text) > _MAX_LENGTH:
        _refuse(text[:80] + "…", f"the path is longer than {_MAX_LENGTH} characters")
    decoded = text
    for _ in range(4):  # a name may be encoded twice by a proxy; five times is an attack
        if "\0" in decoded:
            _refuse(text, "the path contains a NUL character")
        if ".." in _SEGMENT_ENDS.split(decoded):
            _refuse(text, "the path contains '..'", "Write the path without it")
        if _OVERLONG.search(decoded):
            _refuse(text, "the path contains an overlong encoding of an ASCII character")
        decoded, before = unquote(decoded), decoded
        if decoded == before:
            return
    _refuse(text, "the path is percent-encoded repeatedly", "Write it unencoded")


def check_unicode(text: str) -> None:
    """Reject a name that is not valid Unicode (lone surrogates, undecodable bytes): no response could hold it.

    Raises PathNotAllowed.
    """
    if not text.isascii() and text != (shown := text.encode(errors="backslashreplace").decode()):
        _refuse(shown, "it contains bytes or characters that are not Unicode", "Rename the file")


def _refuse(text: str, why: str, remedy: str = "") -> NoReturn:
    shown = _shown(text)
    raise PathNotAllowed(f"path {shown!r} is not allowed: {why}" + (f". {remedy}" if remedy else ""), path=shown)


def _shown(text: str) -> str:
    """Redact the password before the host, and the query, which may hold a signature."""
    return re.sub(r"\?.*", "?…", re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:…@", text), flags=re.DOTALL)


def _normalized(path: str) -> str:
    """Drop empty and ``.`` segments; a leading slash stays."""
    joined = "/".join(part for part in path.split("/") if part not in ("", "."))
    return "/" + joined if path.startswith("/") else joined


def _path(text: str) -> Address:
    return Address(text=text, scheme="", path=_normalized(text), is_folder=text.endswith("/"))


def _file(text: str, rest: str) -> Address:
    if not rest.startswith("/"):
        _refuse(
            text, f"it names the host {rest.partition('/')[0]!r}", "Write file:///folder/file, with three slashes"
        )
    return Address(text=text, scheme=LOCAL, path=_normalized(unquote(rest)), is_folder=rest.endswith("/"))


def _upload(text: str, rest: str) -> Address:
    upload_id, _, name = rest.partition("/")
    if not UPLOAD_ID.fullmatch(upload_id) or not name or name.endswith("/"):
        _refuse(text, "it is not the path of an upload", "Write upload://ID/name, as the upload call returned it")
    return Address(text=text, scheme=UPLOAD, bucket=upload_id, path=name)


def _bucket(scheme: str, text: str, rest: str) -> Address:
    bucket, _, key = rest.partition("/")
    return _object(scheme, text, bucket, key)


def _azure(text: str, rest: str) -> Address:
    place, _, key = rest.partition("/")
    container, at, host = place.partition("@")
    match = _AZ_HOST.fullmatch(host.lower())
    if at and not match:
        _refuse(text, f"{host!r} is not the host of a storage account", "Write az://container/key")
    return _object("az", text, container, key, account=match["account"] if match else "")


def _object(scheme: str, text: str, bucket: str, key: str, region: str = "", account: str = "") -> Address:
    if not _BUCKET.fullmatch(bucket):
        _refuse(text, f"{bucket.rpartition('@')[2]!r} is not a bucket name", f"Write {scheme}://bucket/key")
    return Address(
        text=text,
        scheme=scheme,
        bucket=bucket,
        path=_key(text, key),
        region=region,
        account=account,
        is_folder=not key or key.endswith("/"),
    )


def _key(text: str, key: str) -> str:
    if any(part in ("", ".") for part in key.removesuffix("/").split("/")) and key:
        # The object store client joins such segments, and would read another object.
        _refuse(text, "the key has an empty segment or a '.' segment", "Copy the object to a plain key")
    return key.removesuffix("/")


def _web(scheme: str, text: str, rest: str) -> Address:
    host, _, path = rest.partition("/")
    host = host.lower().removesuffix(_PORTS[scheme])
    if "?" in rest or "#" in rest:
        raise Unsupported(
            f"path {re.split('[?#]', text)[0]!r}…: a web address must not contain '?' or '#'. Keys in a query would "
            "appear in lists of jobs: pass them as accessKey, secretKey or token, or use s3://bucket/key, gs:// or az://",
            path=re.split("[?#]", text)[0],
        )
    for pattern, parse in _HOSTS:
        if match := pattern.fullmatch(host):
            return parse(text, match, unquote(path))
    if not _WEB_HOST.fullmatch(host):
        _refuse(
            text,
            f"{host.rpartition('@')[2]!r} is not a host",
            "Write https://host/path, and pass keys as accessKey and secretKey",
        )
    is_folder = not path or path.endswith("/")
    key = quote(_key(text, path), safe=_IN_URLS)
    return Address(text=text, scheme=scheme, bucket=host, path=key, is_folder=is_folder)


def _s3_url(text: str, host: re.Match[str], path: str) -> Address:
    bucket, key = (host["bucket"], path) if host["bucket"] else path.partition("/")[::2]
    return _object("s3", text, bucket, key, region=host["region"] or "")


def _gs_url(text: str, host: re.Match[str], path: str) -> Address:
    bucket, key = (host["bucket"], path) if host["bucket"] else path.partition("/")[::2]
    return _object("gs", text, bucket, key)


def _az_url(text: str, host: re.Match[str], path: str) -> Address:
    container, _, key = path.partition("/")
    return _object("az", text, container, key, account=host["account"])


_HOSTS: Sequence[tuple[re.Pattern[str], Callable[[str, re.Match[str], str], Address]]] = (
    (_S3_HOST, _s3_url),
    (_GS_HOST, _gs_url),
    (_AZ_HOST, _az_url),
)

_PARSERS: Mapping[str, Callable[[str, str], Address]] = {
    LOCAL: _file,
    UPLOAD: _upload,
    "s3": partial(_bucket, "s3"),
    "gs": partial(_bucket, "gs"),
    "az": _azure,
    "https": partial(_web, "https"),
    "http": partial(_web, "http"),
}
"""Parser per scheme. A new kind of source adds a row here and one in ``remote``."""
