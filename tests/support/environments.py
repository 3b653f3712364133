"""Environments of foreign packages, of Python and Node.js, each made once from a lock and kept under ``.cache``."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["environment_python", "made_once", "node_modules"]

BUILD_SECONDS = 600


def environment_python(lock: Path, home: Path, *, interpreter: Path | None = None) -> Path:
    """The interpreter of the environment in folder ``home`` that holds what ``lock`` lists, made if need be.

    ``interpreter`` is of the release to make it for; that of this process by default. An environment is made again
    when its lock file or the Python release changes.

    Raises:
        RuntimeError: a package can't be had; the message holds what the installer printed.
    """
    version = sys.version if interpreter is None else str(interpreter)

    def make() -> None:
        _uv("venv", "--quiet", "--python", str(interpreter or sys.executable), str(home))
        _uv("pip", "sync", "--quiet", "--require-hashes", "--python", str(home / "bin" / "python"), str(lock))

    return made_once(home, f"{version}\n{lock.read_text()}", make) / "bin" / "python"


def node_modules(pins: Path, home: Path) -> Path:
    """The folder ``node_modules`` below ``home`` with what ``pins/package-lock.json`` lists, installed if need be.

    Raises:
        RuntimeError: there is no npm, or a package can't be had; the message holds what npm printed.
    """
    if shutil.which("npm") is None:
        raise RuntimeError("npm is not installed: Debian's packages nodejs and npm have it")

    def make() -> None:
        home.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(pins / name, home / name)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"npm ci: exit code {done.returncode}\n{done.stderr}")

    return made_once(home, (pins / "package-lock.json").read_text(), make) / "node_modules"


def made_once(home: Path, source: str, make: Callable[[], object]) -> Path:
    """The folder ``home``, which ``make`` makes where there is none that was made from this ``source``.

    Processes that run side by side wait for the one that makes it.
    """
    stamp = hashlib.sha256(source.encode()).hexdigest()
    with _locked(home.with_name(f"{home.name}.lock")):
        if _read(home / "stamp") != stamp:
            shutil.rmtree(home, ignore_errors=True)
            make()
            (home / "stamp").write_text(stamp)
    return home


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
