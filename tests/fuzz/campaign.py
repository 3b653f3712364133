"""``python -m tests.fuzz.campaign [TARGET…] --seconds N [--keep]``: fuzz the targets one after the other.

Each begins with its corpus and the seeds, in a process of its own. ``--keep`` adds to the corpus what takes branches
that nothing in it takes. Prints a line of figures per target; the exit code is 1 if one was broken.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.seeds import write_seeds
from tests.fuzz.targets import TARGETS
from tests.support.environments import environment_python

__all__ = ["main"]

_HERE = Path(__file__).parent
_CORPORA = _HERE / "corpora"
_CACHE = _HERE.parents[1] / ".cache"
_GRACE = 600
"""Seconds for reading the corpus, and for ending."""
_FIGURES = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/")


@dataclass(frozen=True, slots=True)
class _Run:
    """What a process of libFuzzer said, and the inputs that broke the target."""

    text: str
    broken: list[Path]

    def told(self) -> str:
        executions = re.search(r"number_of_executed_units: (\d+)", self.text)
        branches, features, inputs = [("?", "?", "?"), *_FIGURES.findall(self.text)][-1]
        count = f"{int(executions[1]):,}" if executions else "?"
        return f"{count} executions, {branches} branches, {features} features, {inputs} inputs"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args(arguments)
    broken = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_seeds(work)
        for name in asked.targets or TARGETS:
            corpus = _CORPORA / name
            corpus.mkdir(parents=True, exist_ok=True)
            run = _fuzz(name, work / name, corpus, f"-max_total_time={asked.seconds}", "-print_final_stats=1")
            print(f"{name}: {run.told()}, {asked.seconds} s{''.join(f', BROKEN by {each}' for each in run.broken)}")
            broken += run.broken
            if asked.keep and not run.broken:
                _fuzz(name, corpus, work / name, "-merge=1")
    return 1 if broken else 0


def _fuzz(name: str, *arguments: Path | str) -> _Run:
    """Run libFuzzer; it writes to the first folder. What breaks the target is left in the cache."""
    python = environment_python(_HERE / "requirements.txt", _CACHE / "fuzz")
    packages = next((python.parents[1] / "lib").glob("python3*/site-packages"))
    found = _CACHE / "broken" / name
    found.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    command = [sys.executable, "-m", "tests.fuzz.run", name, *map(str, arguments), f"-artifact_prefix={found}/"]
    seconds = next(
        (int(str(argument).partition("=")[2]) for argument in arguments if "max_total_time" in str(argument)), 0
    )
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(packages)},
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=seconds + _GRACE,
        check=False,
    )
    if done.returncode:
        print(done.stdout[-4000:], file=sys.stderr)
    broken = sorted(set(found.iterdir()) - before)
    return _Run(done.stdout, broken or ([found] if done.returncode else []))


if __name__ == "__main__":
    sys.exit(main())
