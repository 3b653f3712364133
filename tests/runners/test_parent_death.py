"""A process that follows its parent ends with it, even if it is at something that never ends."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import time

import psutil

from penstock.runners.parent_death import die_with_parent

LIMIT = 60


def wait_forever() -> None:
    die_with_parent(grace=0.1)
    print("waits", flush=True)
    while True:
        signal.pause()


def have_a_child() -> None:
    multiprocessing.get_context("spawn").Process(target=wait_forever).start()
    signal.pause()


def test_a_killed_parent_takes_its_child_along() -> None:
    program = "from tests.runners.test_parent_death import have_a_child; have_a_child()"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"waits\n"
        family = psutil.Process(parent.pid).children()
        parent.kill()
    until = time.monotonic() + LIMIT
    while any(each.is_running() for each in family):
        assert time.monotonic() < until
        time.sleep(0.02)
