"""Released clients, each in an environment of its own, made once and kept under ``.cache/clients``.

A client test runs a program inside such an environment, as a user of that release would::

    out = run_client("3.0.2", "import pymilvus; print(pymilvus.__version__)")

``tests/clients/<release>.txt`` locks what an environment holds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["CLIENT_VERSIONS", "client_python", "run_client"]

CLIENT_VERSIONS = ("2.3.8", "2.4.9", "2.5.18", "2.6.17", "3.0.2")

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "tests" / "clients"
ENVIRONMENTS = ROOT / ".cache" / "clients"
BUILD_SECONDS = 600


def client_python(version: str) -> Path:
    """The interpreter of the environment that holds pymilvus ``version``, which is made if need be.

    An environment is made again when its lock file or the Python release changes. Parallel test workers wait for
    the one that builds.
    """
    lock = LOCKS / f"{version}.txt"
    home = ENVIRONMENTS / version
    stamp = hashlib.sha256(f"{sys.version}\n{lock.read_text()}".encode()).hexdigest()
    with _locked(ENVIRONMENTS / f"{version}.lock"):
        if _read(home / "stamp") != stamp:
            shutil.rmtree(home, ignore_errors=True)
            _uv("venv", "--quiet", "--python", sys.executable, str(home))
            _uv("pip", "sync", "--quiet", "--require-hashes", "--python", str(home / "bin" / "python"), str(lock))
            (home / "stamp").write_text(stamp)
    return home / "bin" / "python"


def run_client(
    version: str, script: str | Path, *args: str | Path, timeout: float = 120, cwd: Path | None = None
) -> str:
    """Run a program inside the environment of pymilvus ``version`` and return what it printed.

    Args:
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
        raise RuntimeError(f"pymilvus {version}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _uv(*args: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run([str(uv), *args], capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"uv {' '.join(args)}: exit code {done.returncode}\n{done.stderr}")
