"""From a location to its bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from penstock.errors import Unsupported
from penstock.sources.base import Location, Source
from penstock.sources.local import LocalSource
from penstock.sources.objects import ObjectSource

__all__ = ["open_source"]

_SOURCES: Mapping[str, Callable[[Location], Source]] = {"file": LocalSource, "s3": ObjectSource}


def open_source(location: Location) -> Source:
    """The source for a location. Nothing is opened before one of its methods is called.

    Raises:
        Unsupported: the location was made by a newer version.
    """
    scheme = location.uri.partition("://")[0]
    make = _SOURCES.get(scheme)
    if make is None:
        raise Unsupported(f"file {location.name!r}: {scheme}:// can't be read by this server", scheme=scheme)
    return make(location)
