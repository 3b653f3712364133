"""Limits of containers, read from files as real machines have them."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from penstock.machine import memory_limit, oom_kills, processors
from tests.support.cgroups import command_in, memory_group

MIB = 1 << 20
UNLIMITED_V1 = "9223372036854771712\n"


def write_files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v2(**files: str) -> dict[str, str]:
    """A systemd service in a slice: limits may stand anywhere above it."""
    return {
        "proc/self/cgroup": "0::/system.slice/penstock.service\n",
        "proc/self/mountinfo": "25 1 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
        "sys/fs/cgroup/system.slice/penstock.service/cgroup.procs": "1\n",
    } | {f"sys/fs/cgroup/{name}": text for name, text in files.items()}


SERVICE = "system.slice/penstock.service"


@pytest.mark.parametrize(
    ("files", "size", "source"),
    [
        ({f"{SERVICE}/memory.max": "440401920\n"}, 420 * MIB, f"memory.max of the control group .*{SERVICE}"),
        (
            {f"{SERVICE}/memory.max": "max\n", "system.slice/memory.max": "1073741824\n"},
            1024 * MIB,
            "memory.max of the control group .*system.slice$",
        ),
        (
            {f"{SERVICE}/memory.max": "1073741824\n", f"{SERVICE}/memory.high": "536870912\n"},
            512 * MIB,
            "memory.high",
        ),
    ],
)
def test_limits_of_version_2(tmp_path: Path, files: dict[str, str], size: int, source: str) -> None:
    limit = memory_limit(write_files(tmp_path, v2(**files)))
    assert limit.size == size
    assert re.search(source, limit.source)


def v1(path: str, mount_root: str, **files: str) -> dict[str, str]:
    return {
        "proc/self/cgroup": f"9:name=systemd:/\n4:memory:{path}\n3:cpu,cpuacct:{path}\n0::/\n",
        "proc/self/mountinfo": (
            f"32 31 0:29 {mount_root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
            f"35 31 0:32 {mount_root} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
            "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
        ),
    } | {f"sys/fs/cgroup/{name}": text for name, text in files.items()}


def test_limits_of_version_1_count_from_the_own_group_up(tmp_path: Path) -> None:
    files = {
        "memory/docker/memory.limit_in_bytes": "440401920\n",
        "memory/docker/abc/memory.limit_in_bytes": UNLIMITED_V1,
        "memory/memory.limit_in_bytes": UNLIMITED_V1,
    }
    assert memory_limit(write_files(tmp_path, v1("/docker/abc", "/", **files))).size == 420 * MIB


def test_a_container_that_sees_its_own_group_only(tmp_path: Path) -> None:
    """Docker mounts the container's group, and its path is that on the host."""
    files = {"memory/memory.limit_in_bytes": "440401920\n"}
    assert memory_limit(write_files(tmp_path, v1("/docker/abc", "/docker/abc", **files))).size == 420 * MIB


def test_limits_above_what_a_container_sees(tmp_path: Path) -> None:
    files = {
        "memory/memory.limit_in_bytes": UNLIMITED_V1,
        "memory/memory.stat": "cache 0\nhierarchical_memory_limit 440401920\n",
    }
    assert memory_limit(write_files(tmp_path, v1("/docker/abc", "/docker/abc", **files))).size == 420 * MIB


def test_a_path_outside_of_what_is_mounted_counts_as_its_top(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/../other\n",
        "proc/self/mountinfo": "25 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "sys/fs/cgroup/memory.max": "440401920\n",
    }
    assert memory_limit(write_files(tmp_path, files)).size == 420 * MIB


@pytest.mark.parametrize("text", ["", "max\n", "nonsense\n", "-1\n", UNLIMITED_V1])
def test_without_a_limit_it_is_the_machines_memory(tmp_path: Path, text: str) -> None:
    limit = memory_limit(write_files(tmp_path, v2(**{f"{SERVICE}/memory.max": text})))
    assert (limit.size, limit.source) == (psutil.virtual_memory().total, "the machine's memory")
    assert memory_limit(tmp_path / "no files at all").size == limit.size


@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_resource_limits_count(name: str) -> None:
    program = (
        "import resource; from penstock.machine import memory_limit; "
        f"resource.setrlimit(resource.{name}, (700 << 20, resource.RLIM_INFINITY)); print(memory_limit())"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told == f"MemoryLimit(size={700 * MIB}, source='the resource limit {name}')\n"
    assert resource.getrlimit(getattr(resource, name))[0] == resource.RLIM_INFINITY


def cfs(quota: int) -> dict[str, str]:
    return {"cpu,cpuacct/cpu.cfs_quota_us": f"{quota}\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("files", "number"),
    [
        (v2(**{f"{SERVICE}/cpu.max": "50000 100000\n"}), 1),
        (v2(**{f"{SERVICE}/cpu.max": "max 100000\n", "system.slice/cpu.max": "100000 100000\n"}), 1),
        (v1("/docker/abc", "/docker/abc", **cfs(20_000)), 1),
        (v1("/", "/", **cfs(-1)), None),
        (v2(**{f"{SERVICE}/cpu.max": "6400000 100000\n"}), None),
    ],
)
def test_quotas_of_processors(tmp_path: Path, files: dict[str, str], number: int | None) -> None:
    assert processors(write_files(tmp_path, files)) == (number or len(os.sched_getaffinity(0)))


def test_kills_for_lack_of_memory_are_counted(tmp_path: Path) -> None:
    write_files(tmp_path, {"proc/vmstat": "nr_free_pages 5\noom_kill 7\n"})
    assert oom_kills(tmp_path) == 7
    write_files(tmp_path, v2(**{f"{SERVICE}/memory.events": "low 0\noom 3\noom_kill 2\n"}))
    assert oom_kills(tmp_path) == 2
    one = write_files(tmp_path / "v1", v1("/", "/", **{"memory/memory.oom_control": "under_oom 0\noom_kill 1\n"}))
    assert oom_kills(one) == 1


def test_a_real_group() -> None:
    program = "from penstock.machine import memory_limit; print(memory_limit().size)"
    with memory_group(420 * MIB) as group:
        command = command_in(group, sys.executable, "-c", program)
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told == f"{420 * MIB}\n"
