"""What every source of import files offers: where a file is, how large, and its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

__all__ = ["Location", "Source", "is_marker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A resolved file: picklable, and enough for any worker on any host to open it.

    ``uri`` is ``file:///…`` or ``s3://bucket/key``; ``name`` is what the caller wrote and what messages show.
    ``size`` is in bytes; ``version`` is another one when the content may have changed (the time of the last write, an
    object's ETag), "" where that isn't known. ``credentials`` are settings of the object store (endpoint, region,
    keys), never printed.
    """

    uri: str
    name: str
    size: int
    version: str = ""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Everything but the credentials."""
        return {"uri": self.uri, "name": self.name, "size": self.size, "version": self.version}


class Source(Protocol):
    """An opened location."""

    @property
    def name(self) -> str:
        """What the caller wrote, for messages."""
        ...

    @property
    def size(self) -> int: ...

    def open_arrow(self) -> pa.NativeFile:
        """The bytes for Arrow's readers, with random access. The caller closes it."""
        ...

    def open_stream(self, start: int = 0, end: int | None = None) -> BinaryIO:
        """The bytes from ``start`` up to ``end`` (exclusive), read once from front to back. The caller closes it."""
        ...

    def local_path(self) -> str | None:
        """A path that can be memory-mapped, or None where the file is not on a local disk."""
        ...


def is_marker(member: str) -> bool:
    """Whether an empty file of a folder only marks something (``_SUCCESS``, a folder drawn by a console): such a file
    has no extension, and so is no import file anyway."""
    return "." not in member.rpartition("/")[2]
