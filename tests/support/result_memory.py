"""What calls hold of the memory for results."""

from __future__ import annotations

import pytest

from penstock.collections.result_memory import MemoryReservation, ResultMemory

__all__ = ["record_releases"]


def record_releases(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each reservation that is released from now on."""
    released: list[int] = []
    release = ResultMemory.release

    def record(memory: ResultMemory, held: MemoryReservation) -> None:
        released.append(held.size)
        release(memory, held)

    monkeypatch.setattr(ResultMemory, "release", record)
    return released
