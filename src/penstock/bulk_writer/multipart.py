"""Multipart upload of a file, several parts at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

__all__ = ["send_parts"]

Result = TypeVar("Result")


def send_parts(path: Path, part_bytes: int, parallel: int, send: Callable[[int, bytes], Result]) -> list[Result]:
    """Upload a file in parts, numbered from 1; return the results of ``send(number, content)``.

    Holds ``parallel`` parts in memory. The first failure is raised when the running calls have ended; no further part
    is started.
    """

    def send_part(number: int) -> Result:
        with path.open("rb") as stream:
            stream.seek((number - 1) * part_bytes)
            return send(number, stream.read(part_bytes))

    count = -(-path.stat().st_size // part_bytes)
    with ThreadPoolExecutor(parallel, thread_name_prefix="bulk-writer-part") as pool:
        futures = [pool.submit(send_part, number) for number in range(1, count + 1)]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
