"""Environments that hold this project as ``pip install`` would: a wheel, and the locked packages of some extras."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers import clean_environment

__all__ = ["ROOT", "Installation", "build_wheel", "install"]

ROOT = Path(__file__).parents[2]
_SECONDS = 300


@dataclass(frozen=True)
class Installation:
    """A virtual environment in folder ``home``."""

    home: Path

    def run(self, program: str, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment without what this one has."""
        environment = {name: value for name, value in clean_environment().items() if not name.startswith("PYTHON")}
        return subprocess.run(
            [str(self.home / "bin" / program), *args],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            cwd=self.home,
            env=environment,
            check=False,
        )

    def python(self, text: str, *args: str) -> str:
        """Run the text of a Python program and return what it printed.

        Raises:
            RuntimeError: the program failed; the message holds its standard error.
        """
        done = self.run("python", "-c", text, *args)
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode}\n{done.stderr}")
        return done.stdout


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into ``folder``."""
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder))
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, lock: Path, home: Path, interpreter: Path = Path(sys.executable)) -> Installation:
    """Make an environment in ``home`` of what ``lock`` pins, and the wheel, for the release of an interpreter."""
    uv = str(Path(sys.executable).with_name("uv"))
    python = str(home / "bin" / "python")
    _run(str(interpreter), "-m", "venv", str(home))
    _run(uv, "pip", "install", "--quiet", "--require-hashes", "--python", python, "--requirements", str(lock))
    _run(uv, "pip", "install", "--quiet", "--no-deps", "--offline", "--python", python, str(wheel))
    return Installation(home)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
