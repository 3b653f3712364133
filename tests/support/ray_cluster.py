"""A real Ray cluster of several small nodes, all on this machine: processes of their own, without a dashboard.

::

    with ray_cluster(nodes=2) as cluster:
        runner = RayRunner(cluster.address)
        cluster.kill_node(1)
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.servers import clean_environment

__all__ = ["RayCluster", "ray_cluster"]

_PROGRAM = """
import json, os, signal, sys

import psutil
from ray.cluster_utils import Cluster

# Ray prints to standard output; answers go where nobody else writes.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

STORE = 80 * 2**20
def patiently(start):
    # A raylet ends itself when its helpers take more than some seconds to start, as they do where others work, too.
    for left in reversed(range(3)):
        try:
            return start()
        except Exception:
            if not left:
                raise

cluster = patiently(
    lambda: Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": int(sys.argv[1]),
            "object_store_memory": STORE,
            "include_dashboard": False,
            "include_log_monitor": False,
            "no_monitor": True,  # it would start more nodes, if there were any
        },
    )
)
nodes = [cluster.head_node]

def add(cpus, python_path):
    env = {"PYTHONPATH": python_path} if python_path else None
    nodes.append(
        patiently(lambda: cluster.add_node(num_cpus=cpus, object_store_memory=STORE, env_vars=env))
    )
    return len(nodes) - 1

def kill(number):
    # As a power failure would: no process of the node gets to put anything in order. Its workers are the raylet's.
    for info in nodes[number].all_processes["raylet"]:
        raylet = psutil.Process(info.process.pid)
        raylet.suspend()
        for each in raylet.children(recursive=True):
            each.kill()
        raylet.kill()
        info.process.wait()

def stall(number):
    for info in nodes[number].all_processes["raylet"]:
        for each in psutil.Process(info.process.pid).children():
            if each.name().startswith("ray::") and "Agent" not in each.name():
                each.suspend()

def answer(value):
    print(json.dumps(value), file=answers, flush=True)

answer(cluster.address)
for line in sys.stdin:  # ends when the test process does
    name, *arguments = json.loads(line)
    answer({"add": add, "kill": kill, "stall": stall}[name](*arguments))
for node in reversed(nodes):
    node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
"""


@dataclass(frozen=True)
class RayCluster:
    """A running cluster: ``address`` is its head's, ``folder`` where Ray keeps its sockets and logs."""

    address: str
    folder: Path
    _process: subprocess.Popen[str] = field(repr=False)

    def add_node(self, cpus: int = 1, python_path: Path | None = None) -> int:
        """Returns the node's number. ``python_path`` is a folder where its workers look for packages first."""
        number: int = self._call("add", cpus, str(python_path or ""))
        return number

    def kill_node(self, number: int) -> None:
        """Nodes count from 0, the head, in the order in which they came."""
        self._call("kill", number)

    def stall_node(self, number: int) -> None:
        """Its workers don't get on, and nobody is told."""
        self._call("stall", number)

    def logs(self) -> Mapping[Path, str]:
        """Everything that Ray has written down so far."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return {file: file.read_text(errors="replace") for file in files}

    def _call(self, name: str, *arguments: int | str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (self.folder / "cluster.txt").read_text()
        return json.loads(line)


@contextmanager
def ray_cluster(nodes: int = 1, *, head_cpus: int = 0) -> Iterator[RayCluster]:
    """Run a cluster of a head without work of its own (unless ``head_cpus`` says so) and nodes of one CPU each."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # names of sockets must be short
    environment = clean_environment() | {
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "60",
        "RAY_agent_register_timeout_ms": "60000",
    }
    try:
        with (
            (folder / "cluster.txt").open("w") as output,
            subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(head_cpus)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                env=environment,
            ) as process,
        ):
            cluster = RayCluster("", folder, process)
            try:
                cluster = RayCluster(cluster._answer(), folder, process)
                for _ in range(nodes):
                    cluster.add_node()
                yield cluster
            finally:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(120)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
