"""Sources whose bytes are in memory: for tests that read thousands of small files."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa

__all__ = ["BytesSource"]


@dataclass(frozen=True, slots=True)
class BytesSource:
    """A file that is ``content``."""

    name: str
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def held_bytes(self) -> int:
        return 0

    def open_arrow(self) -> pa.NativeFile:
        return pa.BufferReader(self.content)

    def open_stream(self, start: int = 0, end: int | None = None) -> BinaryIO:
        return io.BytesIO(self.content[start:end])

    def local_path(self) -> None:
        return None

    @property
    def is_pinned(self) -> bool:
        return True

    def check_unchanged(self) -> None:
        """What is in memory stays as it is."""
