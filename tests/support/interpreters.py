"""Python interpreters of this machine, for tests of what is installed into environments of other releases."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path

__all__ = ["SUPPORTED", "find_interpreter"]

_ROOT = Path(__file__).parents[2]
_PREFIX = "Programming Language :: Python :: 3."
SUPPORTED = tuple(
    classifier.rpartition(" ")[2]
    for classifier in tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    if classifier.startswith(_PREFIX)
)
"""The releases that ``pyproject.toml`` names, such as ``3.11``."""


@cache
def find_interpreter(release: str) -> Path | None:
    """Return an interpreter of a release such as ``3.13``, or None.

    Looked for on the path, and below the folders of pyenv and uv, whose interpreters need not be on it.
    """
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions"
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python"))
    on_path = shutil.which(f"python{release}")
    candidates = [
        *([Path(on_path)] if on_path else []),
        *sorted(pyenv.glob(f"{release}.*/bin/python")),
        *sorted(uv.glob(f"cpython-{release}.*/bin/python")),
    ]
    return next((path for path in candidates if _release(path) == release), None)


def _release(path: Path) -> str:
    """The release of an interpreter; empty if it does not run, such as a shim of pyenv without a version."""
    program = "import sys; print('{}.{}'.format(*sys.version_info))"
    done = subprocess.run([str(path), "-c", program], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip()
