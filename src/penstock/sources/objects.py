"""Objects in S3, Google Cloud Storage, Azure and compatible stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import obstore

from penstock.errors import FileMissing
from penstock.sources.base import DELTA_LOG, Location, is_marker, side_file
from penstock.sources.credentials import Settings
from penstock.sources.errors import changed
from penstock.sources.globs import Glob, Matcher, Matches
from penstock.sources.object_store_clients import connect
from penstock.sources.object_store_errors import STORE_FAILURES, translate

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta

_PAGE = 1000
"""Objects of a listing that are held at a time."""


def find_objects(
    scheme: str, bucket: str, key: str, name: str, is_folder: bool, settings: Settings, side_files: list[str]
) -> list[Location]:
    """Locate the object, or all objects below the prefix, sorted by key; empty if there is none.

    Left out are the empty objects that consoles create as folders, and side files, which ``side_files`` collects.

    Raises:
        FileUnreadable: access denied, or the store refuses the request.
        SourceUnavailable: the store can't be reached.
    """
    where = f"{scheme}://{bucket}/{key}"
    try:
        if not is_folder:
            meta = obstore.head(connect(scheme, bucket, settings), key)
            version = _version(meta)
            return [Location(uri=where, name=name, size=meta["size"], version=version, credentials=settings)]
        entries = obstore.list(connect(scheme, bucket, settings), key or None).collect()
    except STORE_FAILURES as error:
        problem = translate(error, where + ("/" if is_folder and key else ""), name)
        if isinstance(problem, FileMissing):
            return []
        raise problem from None  # the client's text holds the request with its keys
    prefix = f"{key}/" if key else ""
    members = sorted((entry["path"].removeprefix(prefix), entry["size"], _version(entry)) for entry in entries)
    side_files += sorted({skipped for member, _, _ in members if (skipped := side_file(member))})
    data = [(member, size, version) for member, size, version in members if not side_file(member)]
    folders = {member.rpartition("/")[0] for member, _, _ in members}
    return _locations(f"{scheme}://{bucket}/{prefix}", name, data, folders, settings)


def match_objects(
    scheme: str, bucket: str, key: str, glob: Glob, settings: Settings, limit: int, side_files: list[str]
) -> list[Location]:
    """Locate the objects below the prefix ``key`` that match a pattern, sorted by key; empty if there is none.

    The listing is read page by page. ``side_files`` collects the logs of Delta tables that it comes across.

    Raises:
        FileUnreadable, SourceUnavailable: as :func:`find_objects`.
        LimitExceeded: more than ``limit`` objects match, or too many are looked at.
    """
    prefix = f"{key}/" if key else ""
    matcher, matches = Matcher(glob), Matches(glob, limit)
    members: list[tuple[str, int, str]] = []
    logs: set[str] = set()
    try:
        for page in obstore.list(connect(scheme, bucket, settings), key or None, chunk_size=_PAGE):
            for entry in page:
                matches.visit()
                member = entry["path"].removeprefix(prefix)
                if (log := member.rpartition("/")[0]).rpartition("/")[2] == DELTA_LOG:
                    logs.add(f"{log}/")
                if matcher.matches(member) and matches.add():
                    members.append((member, entry["size"], _version(entry)))
    except STORE_FAILURES as error:
        problem = translate(error, f"{scheme}://{bucket}/{prefix}", glob.base.text)
        if isinstance(problem, FileMissing):
            return []
        raise problem from None
    matches.check()
    side_files += sorted(logs)
    return _locations(f"{scheme}://{bucket}/{prefix}", glob.base.text, sorted(members), set(), settings)


def _locations(
    home: str, name: str, members: Sequence[tuple[str, int, str]], folders: set[str], settings: Settings
) -> list[Location]:
    """The locations of keys below a prefix, without the empty objects that stand for folders."""
    return [
        Location(uri=home + member, name=name + member, size=size, version=version, credentials=settings)
        for member, size, version in members
        if member and not (size == 0 and (is_marker(member) or member in folders))
    ]


def probe(scheme: str, bucket: str, key: str, settings: Settings) -> None:
    """Check that the bucket can be listed below the prefix; an empty one is fine.

    Raises:
        FileMissing, FileUnreadable, SourceUnavailable: it can't be listed.
    """
    where = f"{scheme}://{bucket}/{key}"
    try:
        next(iter(obstore.list(connect(scheme, bucket, settings), key or None, chunk_size=1)), None)
    except STORE_FAILURES as error:
        raise translate(error, where, where) from None


def _version(meta: ObjectMeta) -> str:
    """The ETag, in quotes as in HTTP (some stores' listings omit them), else the last-modified time."""
    tag = meta["e_tag"]
    if not tag:
        return meta["last_modified"].isoformat()
    return tag if tag.startswith(('"', "W/")) else f'"{tag}"'


def fetch_object(location: Location, start: int, end: int) -> Any:
    """Fetch the bytes from ``start`` up to ``end`` of exactly the object version that was located.

    Raises:
        FileUnreadable: it was overwritten since, or access is denied.
        FileMissing, SourceUnavailable
    """
    scheme, _, place = location.uri.partition("://")
    bucket, _, key = place.partition("/")
    options: GetOptions = {"range": (start, end)}
    if location.version.startswith('"'):
        options["if_match"] = location.version
    try:
        data = obstore.get(connect(scheme, bucket, location.credentials), key, options=options).bytes()
    except STORE_FAILURES as error:
        raise translate(error, location.uri, location.name) from None
    if len(data) != end - start:
        raise changed(location.name, location.uri)
    return data


def check_object_unchanged(location: Location) -> None:
    """Check that the object is still the located version.

    Raises:
        FileUnreadable: the object has changed, or access is denied.
        FileMissing, SourceUnavailable
    """
    scheme, _, place = location.uri.partition("://")
    bucket, _, key = place.partition("/")
    try:
        meta = obstore.head(connect(scheme, bucket, location.credentials), key)
    except STORE_FAILURES as error:
        raise translate(error, location.uri, location.name) from None
    if meta["size"] != location.size or (location.version and _version(meta) != location.version):
        raise changed(location.name, location.uri)
