"""From a location to its bytes."""

from __future__ import annotations

from penstock.errors import Unsupported
from penstock.sources.base import Location, Source
from penstock.sources.local import LocalSource
from penstock.sources.paths import BUCKETS, LOCAL, WEB
from penstock.sources.ranges import KEPT
from penstock.sources.remote import RemoteSource

__all__ = ["open_source"]


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
