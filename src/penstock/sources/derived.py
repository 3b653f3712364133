"""Sources whose bytes come from another source, such as the text of a compressed file."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.sources.base import Source


@dataclass(slots=True)
class DerivedSource:
    """Base of sources that are read from the source ``stored``, as versions and buffers are its own."""

    stored: Source

    @property
    def held_bytes(self) -> int:
        return self.stored.held_bytes

    @property
    def is_pinned(self) -> bool:
        return self.stored.is_pinned

    def local_path(self) -> str | None:
        """None: the bytes that are stored are others."""
        return None

    def check_unchanged(self) -> None:
        self.stored.check_unchanged()
