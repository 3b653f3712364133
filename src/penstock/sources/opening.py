"""Open the source for a location, and check that sources did not change while they were read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from penstock.errors import SourceError, SourceUnavailable, TaskCancelled, Transient, Unsupported
from penstock.sources.base import Location, Source
from penstock.sources.errors import is_of_disk
from penstock.sources.local import LocalSource, disk_error
from penstock.sources.paths import BUCKETS, LOCAL, WEB
from penstock.sources.prefetching_reader import KEPT


def open_source(location: Location, held_bytes: int = KEPT) -> Source:
    """Create the source for a location, lazily: nothing is opened before one of its methods is called.

    Args:
        held_bytes: read-ahead buffer per open remote file or stream.

    Raises:
        Unsupported: the location was created by a newer version.
    """
    scheme = location.uri.partition("://")[0]
    if scheme == LOCAL:
        return LocalSource(location)
    if scheme in BUCKETS | WEB:
        # Its clients are not in the base package, which opens local files only.
        from penstock.sources.remote import RemoteSource

        return RemoteSource(location, held_bytes)
    raise Unsupported(f"file {location.name!r}: {scheme}:// cannot be read by this server", scheme=scheme)


@contextmanager
def unchanged(sources: Sequence[Source]) -> Iterator[None]:
    """Run a block that reads sources, then check that they did not change meanwhile.

    A content error of a file that has changed may be caused by the change: the change is raised instead. Libraries
    that read a file themselves raise the OSError of its disk, which becomes a SourceError.

    Raises:
        FileUnreadable: a source has changed, or its disk refuses to be read.
        SourceUnavailable: a disk failed in a way that may pass.
        FileMissing, PathNotAllowed, SourceUnavailable: it can't be checked.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, SourceError | TaskCancelled | Transient):
            raise
        with suppress(SourceUnavailable):
            _check_unchanged(sources)
        if is_of_disk(error):
            raise disk_error(error, ", ".join(source.name for source in sources)) from error
        raise
    _check_unchanged(sources)


def _check_unchanged(sources: Sequence[Source]) -> None:
    for source in sources:
        # Files of a set must be consistent: each may have been read to its end before it was replaced.
        if len(sources) > 1 or not source.is_pinned:
            source.check_unchanged()
