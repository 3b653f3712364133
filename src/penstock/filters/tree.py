"""The tree of a parsed filter."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Filter"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Base of all nodes."""
