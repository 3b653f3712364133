"""The source for files in object stores and on web servers."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa

from penstock.sources.base import Location
from penstock.sources.objects import check_object_unchanged, fetch_object
from penstock.sources.paths import BUCKETS
from penstock.sources.prefetching_reader import KEPT, RangeReader
from penstock.sources.web import check_web_unchanged, fetch_web, open_whole

STREAM_BUFFER = 1 << 20

_FETCH: Mapping[str, Callable[[Location, int, int], Any]] = {
    "s3": fetch_object,
    "gs": fetch_object,
    "az": fetch_object,
    "https": fetch_web,
    "http": fetch_web,
}


@dataclass(frozen=True, slots=True)
class RemoteSource:
    """An object or a file on a web server, read by prefetched byte ranges, each with its own retries.

    ``held_bytes`` is the read-ahead buffer per open stream or file.
    """

    location: Location
    held_bytes: int = KEPT

    @property
    def name(self) -> str:
        return self.location.name

    @property
    def size(self) -> int:
        return self.location.size

    def local_path(self) -> None:
        return None

    @property
    def is_pinned(self) -> bool:
        """True for an object whose ETag is sent with each request (``If-Match``).

        A web server may serve a file while it is being written.
        """
        return self._scheme in BUCKETS and self.location.version.startswith('"')

    def check_unchanged(self) -> None:
        (check_object_unchanged if self._scheme in BUCKETS else check_web_unchanged)(self.location)

    def open_arrow(self) -> pa.NativeFile:
        return pa.PythonFile(RangeReader(self._fetch, 0, self.size, self.held_bytes), mode="r")

    def open_stream(self, start: int = 0, end: int | None = None) -> BinaryIO:
        stop = self.size if end is None else min(end, self.size)
        if self.location.whole:
            return open_whole(self.location, start, stop)
        return cast(
            BinaryIO, io.BufferedReader(RangeReader(self._fetch, start, stop, self.held_bytes), STREAM_BUFFER)
        )

    def _fetch(self, start: int, end: int) -> Any:
        return _FETCH[self._scheme](self.location, start, end)

    @property
    def _scheme(self) -> str:
        return self.location.uri.partition("://")[0]
