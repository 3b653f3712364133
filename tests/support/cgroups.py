"""A real control group with a limit of memory, where the machine lets a test make one."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

__all__ = ["command_in", "joined", "memory_group"]

_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@contextmanager
def memory_group(size: int) -> Iterator[Path]:
    """The folder of a new group that may have ``size`` bytes; the test is skipped where none can be made."""
    name = f"penstock-test-{os.getpid()}-{time.monotonic_ns()}"
    is_v1 = (_V1 / "memory.limit_in_bytes").exists()
    folder = (_V1 if is_v1 else _V2) / name
    limit, swap = ("memory.limit_in_bytes", "") if is_v1 else ("memory.max", "memory.swap.max")
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            (folder / limit).write_text(str(size))
            if swap and (folder / swap).exists():
                (folder / swap).write_text("0")
            subprocess.run(command_in(folder, "true"), check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"the control group gets no limit of memory here: {error}")
        yield folder
    finally:
        until = time.monotonic() + 10
        while folder.exists() and time.monotonic() < until:
            with suppress(OSError):  # a process of it is ending
                folder.rmdir()
            time.sleep(0.05)


def command_in(folder: Path, *command: str) -> list[str]:
    """The command, as one whose process joins the group first.

    The process of the test stays outside: it may be larger than the group, and would be the first to be killed.
    """
    return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(folder), *command]


@contextmanager
def joined(folder: Path) -> Iterator[None]:
    """Meanwhile processes that this one starts belong to the group; this one does, too."""
    before = _own_group(folder)
    (folder / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (before / "cgroup.procs").write_text(str(os.getpid()))


def _own_group(beside: Path) -> Path:
    controller = "memory" if beside.is_relative_to(_V1) else ""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return (_V1 if controller else _V2) / path.lstrip("/")
    raise FileNotFoundError("/proc/self/cgroup names no group of memory")
