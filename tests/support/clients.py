"""Released clients, each in an environment of its own, made once and kept under ``.cache/clients``.

A client test runs a program inside such an environment, as a user of that release would::

    out = run_client("3.0.2", "import pymilvus; print(pymilvus.__version__)")

``tests/clients/<release>.txt`` locks what an environment holds.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.environments import environment_python

__all__ = ["ENVIRONMENTS", "IN_EACH_RUN", "client_python", "run_client"]

_VERSIONS = ("2.3.8", "2.4.9", "2.5.18", "2.6.17", "3.0.2")
IN_EACH_RUN = [
    *("2.3.8", "3.0.2"),
    *(pytest.param(version, marks=pytest.mark.slow) for version in _VERSIONS[1:-1]),
]
"""The oldest and the newest, and all in `make test-all`."""

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "tests" / "clients"
ENVIRONMENTS = ROOT / ".cache" / "clients"


def client_python(version: str) -> Path:
    """The interpreter of the environment that holds pymilvus ``version``, which is made if need be.

    See :func:`tests.support.environments.environment_python`.
    """
    return environment_python(LOCKS / f"{version}.txt", ENVIRONMENTS / version)


def run_client(
    version: str, script: str | Path, *args: str | Path, timeout: float = 120, cwd: Path | None = None
) -> str:
    """Run a program inside the environment of a lock file, and return what it printed.

    Args:
        version: the lock's name, which is the release of pymilvus or what else it is made for.
        script: a file (a Path, or a str ending in ``.py``), else the text of a program.
        timeout: seconds; making the environment doesn't count.

    Raises:
        RuntimeError: the program failed; the message holds its standard error.
        subprocess.TimeoutExpired: it took too long.
    """
    python = client_python(version)
    is_file = isinstance(script, Path) or script.endswith(".py")
    program = [str(script)] if is_file else ["-c", str(script)]
    done = subprocess.run(
        [str(python), "-I", *program, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MILVUS_"))},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the environment {version}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout
