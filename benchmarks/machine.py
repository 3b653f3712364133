"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from pathlib import Path

import psutil

__all__ = ["describe_disk", "describe_machine", "processor"]

_CHUNK = bytes(4 << 20)
_CHUNKS = 150


def describe_machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    load = psutil.getloadavg()[0]
    return (
        f"{processor()}, {psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load {load:.1f} at the end"
    )


def describe_disk(folder: Path) -> str:
    """Write 600 MB to a new file in the folder, with fsync, and say how long that took.

    System time is what the page cache costs; of machines of one kind it differs by a factor of three.
    """
    os.sync()
    with tempfile.TemporaryFile(dir=folder) as file:
        before, start = os.times(), time.perf_counter()
        for _ in range(_CHUNKS):
            file.write(_CHUNK)
        file.flush()
        os.fsync(file.fileno())
        seconds, system = time.perf_counter() - start, os.times().system - before.system
    size = len(_CHUNK) * _CHUNKS
    rate = size / seconds / 2**20
    return f"{size / 1e6:.0f} MB written with fsync at {rate:,.0f} MiB/s, {system:.1f} s of system time"


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except FileNotFoundError:
        pass
    return platform.processor() or platform.machine()
