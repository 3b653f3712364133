from __future__ import annotations

import subprocess
import sys

from benchmarks.processes import Usage

# Waits for a line, then has a child that takes 64 MiB and works for a quarter of a second, and says so.
PARENT = """
import subprocess, sys
input()
child = "import time; data = bytearray(b'x' * (64 << 20)); exec('while time.process_time() < 0.3: pass')"
subprocess.run([sys.executable, "-c", child], check=True)
print("done", flush=True)
input()
"""


def test_children_count_even_when_they_have_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with Usage(process.pid) as usage:
            print(file=process.stdin, flush=True)
            assert process.stdout.readline() == "done\n"
        process.communicate("\n")
    assert usage.cpu_seconds >= 0.3
    assert usage.peak > 64 << 20
