"""Memory and processor limits of this process, set by the machine or its container.

A container sees the memory and processors of its whole host. Its limits are in control groups (cgroup v1 or v2): its
own and all those above it count, as far as they are mounted. Functions take the root of the file system, so that
tests can supply files of other machines.
"""

from __future__ import annotations

import math
import os
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_ROOT = Path("/")
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A memory limit in bytes; ``source`` describes where it is set."""

    size: int
    source: str


def memory_limit(root: Path = _ROOT) -> MemoryLimit:
    """Return the memory limit of this process and its children together: the least of all limits.

    ``RLIMIT_AS`` and ``RLIMIT_DATA`` apply to each process, not to all; they are treated as limits for all, since a
    process's address space is larger than what it uses.
    """
    limits = [MemoryLimit(psutil.virtual_memory().total, "the machine's memory")]
    for name, number in (("RLIMIT_AS", resource.RLIMIT_AS), ("RLIMIT_DATA", resource.RLIMIT_DATA)):
        soft, _ = resource.getrlimit(number)
        if soft != resource.RLIM_INFINITY:
            limits.append(MemoryLimit(soft, f"the resource limit {name}"))
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            size = _number(folder / name)
            if size is not None:
                limits.append(MemoryLimit(size, f"{name} of the control group {folder}"))
        # Includes groups that the container can't see.
        size = _counters(folder / "memory.stat").get("hierarchical_memory_limit")
        if size is not None:
            limits.append(MemoryLimit(size, f"a control group above {folder}"))
    return min(limits, key=lambda limit: limit.size)


def processors(root: Path = _ROOT) -> int:
    """Return the number of usable processors: those of the affinity mask, or fewer under a CPU quota."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _groups(root, "cpu") if (quota := _cpu_quota(folder)) is not None]
    return max(1, min([usable, *map(math.ceil, quotas)]))


def oom_kills(root: Path = _ROOT) -> int:
    """Count the kernel's OOM kills in the control group, else on the machine."""
    for folder in _groups(root, "memory"):
        for name in ("memory.events", "memory.oom_control"):
            kills = _counters(folder / name).get("oom_kill")
            if kills is not None:
                return kills
    return _counters(root / "proc/vmstat").get("oom_kill", 0)


def _cpu_quota(folder: Path) -> float | None:
    """Return the CPU quota of a control group in processors; None for no quota."""
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    period_us, quota_us = _number(folder / "cpu.cfs_period_us"), _number(folder / "cpu.cfs_quota_us")
    return quota_us / period_us if quota_us is not None and period_us else None


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the process's control groups with this controller: its own, then those above it."""
    own: dict[str, str] = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        own |= dict.fromkeys(names.split(","), path)
    for line in _lines(root / "proc/self/mountinfo"):
        mount, _, kind = line.partition(" - ")
        fields, (file_system, _, options) = mount.split(), (kind.split() + [""] * 3)[:3]
        if file_system == "cgroup2":
            name = ""
        elif file_system == "cgroup" and controller in options.split(","):
            name = controller
        else:
            continue
        if name in own and len(fields) > 4:
            yield from _upwards(root, _unescape(fields[4]), _unescape(fields[3]), own[name])


def _upwards(root: Path, mount_point: str, mount_root: str, path: str) -> Iterator[Path]:
    """Yield a group's folder and those above it; a container may see its own group only, under its host path."""
    top = root / mount_point.lstrip("/")
    with suppress(ValueError):
        within = Path(path).relative_to(mount_root)
        if ".." not in within.parts:
            folder = top / within
            while folder != top:
                yield folder
                folder = folder.parent
    yield top


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    """Read a whole number from 0; None for ``max``, -1 and a missing file."""
    try:
        number = int(path.read_text())
    except (OSError, ValueError):
        return None
    return number if number >= 0 else None


def _counters(path: Path) -> dict[str, int]:
    pairs = [line.split() for line in _lines(path)]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
