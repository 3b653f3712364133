"""The settings that the import use cases act on; the server fills them from its own settings table."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["JobSettings"]

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """Sizes are bytes, times seconds.

    ``list_window`` is how long the Milvus profile's list shows a finished job; ``head_timeout`` bounds the existence
    check that only v1 makes at create.
    """

    split_bytes: int = 64 * MIB
    batch_bytes: int = 8 * MIB
    max_groups: int = 1024
    max_live_jobs: int = 10_000
    max_running_jobs: int = 4
    list_window: float = 24 * 3600
    list_limit: int = 10_000
    wait_for_index: bool = True
    lease: float = 30.0
    split_attempts: int = 5
    head_timeout: float = 2.0
    timeout: float | None = None
