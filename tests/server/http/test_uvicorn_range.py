"""The classes that extend undocumented parts of uvicorn work with both ends of the range in ``pyproject.toml``."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support.dependencies import ROOT, read_lock
from tests.support.environments import environment_python

LOCK = Path(__file__).parent / "uvicorn" / "oldest.txt"
OLDEST = read_lock(LOCK.read_text(encoding="utf-8"))["uvicorn"]


def test_the_range_begins_with_the_locked_oldest_and_ends_with_the_minor_version_in_use() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (asked,) = (
        need for need in map(Requirement, project["optional-dependencies"]["server"]) if need.name == "uvicorn"
    )
    oldest, newest = Version(OLDEST), Version(version("uvicorn"))
    assert {(bound.operator, bound.version) for bound in asked.specifier} == {
        (">=", f"{oldest.major}.{oldest.minor}"),
        ("<", f"{newest.major}.{newest.minor + 1}"),
    }


@pytest.mark.slow
def test_the_tests_of_the_subclasses_pass_with_the_oldest() -> None:
    python = environment_python(LOCK, ROOT / ".cache" / "uvicorn-oldest")
    (packages,) = python.parent.parent.glob("lib/python*/site-packages")
    environment = os.environ | {"PYTHONPATH": str(packages)}  # before this environment's own packages, in servers too
    used = subprocess.run(
        [sys.executable, "-c", "import uvicorn; print(uvicorn.__version__)"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert used.stdout.strip() == OLDEST
    places = ["tests/server/http", "tests/server/grpc/test_relay.py", "tests/server/test_hardening.py"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "not slow",
            "-p",
            "no:cacheprovider",
            f"--ignore={__file__}",
            *places,
        ],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout
