"""What Lance is told by the environment before it is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

SHOW = "import os, penstock.engines.lance; print(os.environ['LANCE_CPU_THREADS'])"


@pytest.mark.parametrize(("asked", "threads"), [(None, 2), ("5", 5)])
def test_lance_has_two_threads_for_computing_on_the_smallest_machine(asked: str | None, threads: int) -> None:
    """With one, work that waits for other work of the same pool never ends."""
    environment = {} if asked is None else {"LANCE_CPU_THREADS": asked}
    limited = ["taskset", "--cpu-list", "0", sys.executable, "-c", SHOW]
    shown = subprocess.run(limited, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert int(shown.stdout) == threads
