"""A file sent to an object store in parts, several at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

__all__ = ["send_parts"]

Sent = TypeVar("Sent")


def send_parts(path: Path, part_bytes: int, parallel: int, send: Callable[[int, bytes], Sent]) -> list[Sent]:
    """What ``send(number, content)`` returns for each part, numbered from 1. Holds ``parallel`` parts in memory.

    The first failure is raised when the calls that run have ended; no part is begun after it.
    """

    def one(number: int) -> Sent:
        with path.open("rb") as stream:
            stream.seek((number - 1) * part_bytes)
            return send(number, stream.read(part_bytes))

    count = -(-path.stat().st_size // part_bytes)
    with ThreadPoolExecutor(parallel, thread_name_prefix="bulk-writer-part") as pool:
        waiting = [pool.submit(one, number) for number in range(1, count + 1)]
        try:
            return [each.result() for each in waiting]
        finally:
            for each in waiting:
                each.cancel()
