"""What every source of import files offers: where a file is, how large, and its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

__all__ = ["Location", "Source", "is_marker", "side_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A resolved file: picklable, and enough for any worker on any host to open it.

    ``uri`` is ``file:///…``, ``s3://bucket/key``, ``gs://bucket/key``, ``az://container/key`` (``container@account``
    where the caller named the account), ``https://…`` or ``http://…``; ``name`` is what the caller wrote and what
    messages show.

    ``size`` is in bytes; ``version`` is another one when the content may have changed (a local file's inode and
    times, an object's ETag), "" where that isn't known. It is taken once, when the job is planned: every split of the
    job must meet the same one. ``credentials`` are settings of the place (endpoint, region, keys; see ``keys``),
    never printed. ``whole`` means that it can only be read from its beginning.
    """

    uri: str
    name: str
    size: int
    version: str = ""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    whole: bool = False

    def to_json(self) -> dict[str, Any]:
        """Everything but the credentials."""
        found = {"uri": self.uri, "name": self.name, "size": self.size, "version": self.version}
        return found | {"whole": True} if self.whole else found


class Source(Protocol):
    """An opened location."""

    @property
    def name(self) -> str:
        """What the caller wrote, for messages."""
        ...

    @property
    def size(self) -> int: ...

    @property
    def held_bytes(self) -> int:
        """Bytes that reading ahead may hold in memory for each file or stream that is open."""
        ...

    def open_arrow(self) -> pa.NativeFile:
        """The bytes for Arrow's readers, with random access. The caller closes it."""
        ...

    def open_stream(self, start: int = 0, end: int | None = None) -> BinaryIO:
        """The bytes from ``start`` up to ``end`` (exclusive), read once from front to back. The caller closes it."""
        ...

    def local_path(self) -> str | None:
        """A path that can be memory-mapped, or None where the file is not on a local disk."""
        ...

    @property
    def is_pinned(self) -> bool:
        """Whether each read by itself can only give bytes of the version that was located."""
        ...

    def check_unchanged(self) -> None:
        """Look again at what the place holds now.

        Raises:
            FileUnreadable: it is another version than the one that was located.
            FileMissing, PathNotAllowed, SourceUnavailable
        """
        ...


def is_marker(member: str) -> bool:
    """Whether an empty file of a folder only marks something (``_SUCCESS``, a folder drawn by a console): such a file
    has no extension, and so is no import file anyway."""
    return "." not in member.rpartition("/")[2]


def side_file(member: str) -> str | None:
    """What of a folder's member other programs keep beside their data: a file, or a folder with a slash.

    None for data. Spark, Hive, Databricks, Delta and Dask take names so that begin with ``_`` or ``.``, and checksums
    and copies that are not finished. ``_name=value`` is a partition, and ``_id.npy`` the column of a field.
    """
    at = 0
    for part in member.split("/"):
        at += len(part) + 1
        hidden = part.startswith("_") and "=" not in part and not part.endswith(".npy")
        if hidden or part.startswith(".") or part.endswith((".crc", "._COPYING_")):
            return member[:at]
    return None
