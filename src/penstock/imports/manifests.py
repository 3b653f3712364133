"""Resolve manifests to import files, and check the files' sizes and ETags.

Checksums need the whole content: they are returned, and verified in workers (:mod:`penstock.imports.checksums`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from penstock.errors import DataError, ImportRefused, LimitExceeded, PathNotAllowed, Unsupported
from penstock.imports.checksums import ExpectedContent
from penstock.imports.requests import StoreCredentials
from penstock.sources.base import Listing, ListingKind, Location
from penstock.sources.manifests import MAX_BYTES, ManifestEntry, parse_manifest
from penstock.sources.opening import open_source, unchanged
from penstock.sources.paths import BUCKETS
from penstock.sources.roots import ImportRoots

_CONCURRENT = 16
"""Files that are looked up at the same time: each costs a request in an object store."""


def resolve_manifest(
    location: Location, roots: ImportRoots, keys: StoreCredentials
) -> tuple[Listing, Sequence[ExpectedContent]]:
    """Read a manifest; return the files that it lists, in its order, and the checksums that they must have.

    Paths are relative to the manifest's folder, or addresses below the import roots.

    Raises:
        DataError: the manifest breaks a rule, or a file has another size or ETag than it says.
        LimitExceeded: it is too large, or lists too many files.
        FileMissing, PathNotAllowed, FileUnreadable, SourceUnavailable: for the first file that can't be resolved.
    """
    if location.size > MAX_BYTES:
        raise LimitExceeded(
            f"the manifest {location.name!r} has {location.size:,} bytes; at most {MAX_BYTES:,} are read. Split it "
            "into several, and import each",
            limit="manifest_bytes",
            value=MAX_BYTES,
            path=location.name,
        )
    source = open_source(location)
    with unchanged([source]), source.open_stream() as stream:
        content = stream.read(MAX_BYTES)
    entries = parse_manifest(content, location.name, roots.max_listed)
    del content
    locations = list(_locate_all(entries, location, roots, keys))
    expected: list[ExpectedContent] = []
    for entry, file in zip(entries, locations, strict=True):
        _check(entry, file, location.name)
        if entry.checksums:
            expected.append(ExpectedContent(location=file, checksums=entry.checksums, source=location.name))
    return Listing(path=location.name, kind=ListingKind.MANIFEST, locations=locations), expected


def _locate_all(
    entries: Sequence[ManifestEntry], manifest: Location, roots: ImportRoots, keys: StoreCredentials
) -> Iterator[Location]:
    locate = partial(_locate, manifest=manifest, roots=roots, keys=keys)
    with ThreadPoolExecutor(_CONCURRENT, thread_name_prefix="manifest") as threads:
        for start in range(0, len(entries), 16 * _CONCURRENT):  # so that after an error few more are looked up
            yield from threads.map(locate, entries[start : start + 16 * _CONCURRENT])


def _locate(entry: ManifestEntry, *, manifest: Location, roots: ImportRoots, keys: StoreCredentials) -> Location:
    try:
        return roots.locate_from(manifest, entry.path, keys.access_key, keys.secret_key, keys.token)
    except (PathNotAllowed, Unsupported) as error:
        raise DataError(
            f"entry {entry.number} of the manifest: {error}",
            file=manifest.name,
        ) from error


def _check(entry: ManifestEntry, file: Location, manifest: str) -> None:
    """Raises DataError: the file has another size or ETag than the manifest says."""
    if entry.size is not None and entry.size != file.size:
        raise DataError(
            f"the file has {file.size:,} bytes, the manifest {manifest!r} says {entry.size:,}",
            file=file.name,
            remedy="Copy the file again, or correct the manifest; then retry the job",
        )
    if not entry.etag:
        return
    if file.uri.partition("://")[0] not in BUCKETS or not file.version.startswith(('"', "W/")):
        raise ImportRefused(
            f"entry {entry.number} of the manifest {manifest!r} has an etag, which {file.name!r} does not have: only "
            "objects of an object store have one. Write its sha256 instead",
            path=file.name,
        )
    if entry.etag.strip('"') != file.version.strip('"'):
        raise DataError(
            f"the ETag is {file.version}, the manifest {manifest!r} says {entry.etag}",
            file=file.name,
            remedy="Copy the file again, or correct the manifest; then retry the job",
        )
