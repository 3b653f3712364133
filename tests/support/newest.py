"""``python -m tests.support.newest``: test client, wire and readers on the newest Python (``make test-newest``).

The environment is made once, under ``.cache``, from the lock of development. The exit code is pytest's; without such
an interpreter nothing runs, which the output says, and the exit code is 0.
"""

from __future__ import annotations

import subprocess
import sys

from tests.support.environments import environment_python
from tests.support.installs import ROOT
from tests.support.interpreters import SUPPORTED, find_interpreter

__all__ = ["main"]

TESTS = ("tests/sdk", "tests/wire", "tests/readers")


def main() -> int:
    """Run the tests and return the exit code."""
    release = max((name for name in SUPPORTED if find_interpreter(name)), key=SUPPORTED.index, default=None)
    if release is None or release == f"{sys.version_info[0]}.{sys.version_info[1]}":
        print(f"SKIPPED: there is no newer Python here than the running one; supported: {', '.join(SUPPORTED)}")
        return 0
    interpreter = find_interpreter(release)
    python = environment_python(
        ROOT / "requirements" / "dev.txt", ROOT / ".cache" / f"python-{release}", interpreter=interpreter
    )
    uv = python.with_name("uv")
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--python", python, "--editable"]
    subprocess.run([*map(str, install), "."], cwd=ROOT, check=True)
    print(f"Python {release}: {' '.join(TESTS)}", flush=True)
    tests = [str(python), "-m", "pytest", "-q", "-n", "2", "-m", "not slow and not clients", *TESTS]
    return subprocess.run(tests, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
