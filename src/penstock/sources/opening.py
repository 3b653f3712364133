"""From a location to its bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from penstock.errors import SourceError, SourceUnavailable, TaskCancelled, Transient, Unsupported
from penstock.sources.base import Location, Source
from penstock.sources.local import LocalSource
from penstock.sources.paths import BUCKETS, LOCAL, WEB
from penstock.sources.prefetching_reader import KEPT
from penstock.sources.remote import RemoteSource

__all__ = ["open_source", "unchanged"]


def open_source(location: Location, held_bytes: int = KEPT) -> Source:
    """The source for a location. Nothing is opened before one of its methods is called.

    Args:
        held_bytes: what reading ahead from a remote place may hold in memory for each open file or stream.

    Raises:
        Unsupported: the location was made by a newer version.
    """
    scheme = location.uri.partition("://")[0]
    if scheme == LOCAL:
        return LocalSource(location)
    if scheme in BUCKETS | WEB:
        return RemoteSource(location, held_bytes)
    raise Unsupported(f"file {location.name!r}: {scheme}:// can't be read by this server", scheme=scheme)


@contextmanager
def unchanged(sources: Sequence[Source]) -> Iterator[None]:
    """Read sources that must not change meanwhile; afterwards the places are looked at once more.

    What a reader finds wrong with the content of a file that has changed is not the file's fault: the change is
    raised in its place.

    Raises:
        FileUnreadable: a source has changed.
        FileMissing, PathNotAllowed, SourceUnavailable: it can't be looked at.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, SourceError | TaskCancelled | Transient):
            raise
        try:
            _check_unchanged(sources)
        except SourceUnavailable:
            raise error from None
        raise
    _check_unchanged(sources)


def _check_unchanged(sources: Sequence[Source]) -> None:
    for source in sources:
        # Files of a set must be of one moment: each of them may have been read to its end before it was replaced.
        if len(sources) > 1 or not source.is_pinned:
            source.check_unchanged()
