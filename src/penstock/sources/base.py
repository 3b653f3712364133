"""The interface of sources of import files: a file's location, size, version and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

MANIFEST_ENDS = (".manifest", ".manifest.json")
"""How the names of manifests end: files that list import files."""
DELTA_LOG = "_delta_log"
"""The folder in which a Delta table keeps its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A resolved input file: picklable, and sufficient to open the file on any host.

    ``uri`` is ``file:///…``, ``s3://bucket/key``, ``gs://bucket/key``, ``az://container/key`` (``container@account``
    where the request named the account), ``https://…`` or ``http://…``; ``name`` is the path as the request gave it,
    shown in messages.

    ``size`` is in bytes. ``version`` differs when the content may have changed (a local file's inode and times, an
    object's ETag); "" if unknown. It is read once, when the job is planned: every split of the job must read the same
    version. ``credentials`` are settings of the store (endpoint, region, keys; see ``penstock.sources.credentials``),
    never printed. ``whole`` means that the file can only be read from its beginning.
    """

    uri: str
    name: str
    size: int
    version: str = ""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    whole: bool = False

    def to_json(self) -> dict[str, Any]:
        """Serialize everything but the credentials."""
        location = {"uri": self.uri, "name": self.name, "size": self.size, "version": self.version}
        return location | {"whole": True} if self.whole else location


class ListingKind(Enum):
    """What a path of a request names."""

    FILE = "file"
    FOLDER = "folder"
    PATTERN = "pattern"
    MANIFEST = "manifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files of one path of a request.

    ``folder`` is where they were looked for, as the beginning of their names; ``side_files`` are the names, relative
    to it, of the files and folders there that are no data.
    """

    path: str
    kind: ListingKind
    locations: Sequence[Location]
    folder: str = ""
    side_files: Sequence[str] = ()


class Source(Protocol):
    """The bytes of one location."""

    @property
    def name(self) -> str:
        """The path as the request gave it, for messages."""
        ...

    @property
    def size(self) -> int: ...

    @property
    def held_bytes(self) -> int:
        """Upper bound in bytes of the read-ahead buffer per open file or stream."""
        ...

    def open_arrow(self) -> pa.NativeFile:
        """Open a random-access file for Arrow's readers. The caller closes it."""
        ...

    def open_stream(self, start: int = 0, end: int | None = None) -> BinaryIO:
        """Open a sequential stream of the bytes from ``start`` up to ``end`` (exclusive). The caller closes it."""
        ...

    def local_path(self) -> str | None:
        """A path that can be memory-mapped, or None if the file is not on a local disk."""
        ...

    @property
    def is_pinned(self) -> bool:
        """Whether each single read can only return bytes of the located version."""
        ...

    def check_unchanged(self) -> None:
        """Check that the stored file is still the located version.

        Raises:
            FileUnreadable: the file has changed.
            FileMissing, PathNotAllowed, SourceUnavailable
        """
        ...


def is_marker(member: str) -> bool:
    """Whether an empty file in a folder is only a marker (``_SUCCESS``, a console's folder placeholder): it has no
    extension, so it is not an import file anyway."""
    return "." not in member.rpartition("/")[2]


def side_file(member: str) -> str | None:
    """The side file, or side folder (with a slash), that a folder's member is or lies in; None for data.

    Spark, Hive, Databricks, Delta and Dask treat names that begin with ``_`` or ``.``, checksums and unfinished
    copies as side files; so are manifests, which list files. ``_name=value`` is a partition, and ``_id.npy`` the
    column of a field.
    """
    at = 0
    for part in member.split("/"):
        at += len(part) + 1
        hidden = part.startswith("_") and "=" not in part and not part.endswith(".npy")
        if hidden or part.startswith(".") or part.endswith((".crc", "._COPYING_", *MANIFEST_ENDS)):
            return member[:at]
    return None
