"""Verify the checksums of import files: in workers, with bounded memory, before any of their rows is staged.

Every split later reads the version of a file that was located before, so what was verified is what is imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.errors import DataError
from penstock.runners.base import TaskContext
from penstock.sources.base import Location
from penstock.sources.crc32c import Crc32c
from penstock.sources.opening import open_source, unchanged

_CHUNK = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedContent:
    """The checksums that a file must have, as hexadecimal digests by name, and the manifest that says so."""

    location: Location
    checksums: Mapping[str, str]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksumTask:
    """A file to verify."""

    expected: ExpectedContent
    memory_limit: int | None = None

    @property
    def location(self) -> Location:
        return self.expected.location


class VerifiedFiles:
    """The files that a job has verified: they are left out when a transient error has it try again."""

    def __init__(self) -> None:
        self._keys: set[object] = set()

    def add(self, content: ExpectedContent) -> None:
        self._keys.add(_key(content))

    def missing(self, expected: Sequence[ExpectedContent]) -> Sequence[ExpectedContent]:
        """Those of the files that are still to be verified."""
        return [content for content in expected if _key(content) not in self._keys]


def _key(content: ExpectedContent) -> object:
    location = content.location
    return location.uri, location.version, location.size, tuple(sorted(content.checksums.items()))


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


def verify_checksums(task: ChecksumTask, context: TaskContext) -> int:
    """Compute the checksums of a file and compare them; returns its size in bytes.

    Raises:
        DataError: a checksum differs; names the file, the expected and the actual value.
        FileUnreadable: the file has changed since it was located.
        TaskCancelled, SourceError
    """
    location = task.location
    hashes = {name: _new_hash(name) for name in task.expected.checksums}
    source = open_source(location)
    done = 0
    with unchanged([source]), source.open_stream() as stream:
        while chunk := stream.read(_CHUNK):
            context.check()
            for digest in hashes.values():
                digest.update(chunk)
            done += len(chunk)
            context.report(done, 0)
    for name, expected in task.expected.checksums.items():
        actual = hashes[name].hexdigest()
        if actual != expected:
            raise DataError(
                f"the {name} of the file is {actual}, the manifest {task.expected.source!r} says {expected}",
                file=location.name,
                remedy="Copy the file again, or correct the manifest; then retry the job",
            )
    return done


def _new_hash(name: str) -> _Hash:
    return Crc32c() if name == "crc32c" else hashlib.new(name, usedforsecurity=False)
