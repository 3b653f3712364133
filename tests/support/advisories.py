"""``python -m tests.support.advisories``: ask for known weaknesses of every package that is locked (``make audit``).

pip-audit asks a service of advisories: the package index's own, or OSV. A mirror or a closed network may answer
neither, and pip-audit then finds nothing and says so in green. So each service is first asked of a release whose
weaknesses have been public for years: only one that knows them is believed. Where none does, this ends with exit code
3 and says that nothing was checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.dependencies import LOCKS, ROOT
from tests.support.environments import environment_python

__all__ = ["FOUND", "UNKNOWN", "Asker", "find_service", "main"]

FOUND, UNKNOWN = 1, 3
"""Exit codes: weaknesses were found; nobody could be asked."""

_KNOWN_WEAK = "requests==2.19.0"
"""CVE-2018-18074, in every database since."""
_SERVICES = (("--vulnerability-service", "pypi"), ("--vulnerability-service", "osv"))
_SECONDS = 300


class Asker:
    """pip-audit in an environment of its own, asking one service."""

    def __init__(self, service: Sequence[str]) -> None:
        self.service = service
        lock = ROOT / "requirements" / "audit.txt"
        self._python = environment_python(lock, ROOT / ".cache" / "audit")

    def weaknesses(self, requirements: str) -> list[str]:
        """``package version: advisory`` for each that is known.

        Raises:
            RuntimeError: the service didn't answer, or doesn't know a package; the message says what it said.
        """
        with tempfile.TemporaryDirectory() as folder:
            (asked := Path(folder) / "asked.txt").write_text(requirements, encoding="utf-8")
            command = [
                str(self._python),
                "-m",
                "pip_audit",
                "--disable-pip",
                "--no-deps",
                "--strict",
                "--format=json",
            ]
            done = subprocess.run(
                [*command, "--progress-spinner=off", *self.service, "--requirement", str(asked)],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        try:
            found = json.loads(done.stdout)["dependencies"]
        except ValueError as error:
            lines = done.stderr.strip().splitlines()
            raise RuntimeError(lines[-1] if lines else f"exit code {done.returncode}") from error
        skipped = [f"{each['name']}: {each['skip_reason']}" for each in found if "skip_reason" in each]
        if skipped:
            raise RuntimeError(skipped[0])
        return [f"{each['name']} {each['version']}: {weak['id']}" for each in found for weak in each["vulns"]]


def find_service(services: Sequence[Sequence[str]] = _SERVICES) -> tuple[Asker | None, list[str]]:
    """The first service that knows a weakness that all should know, and why those before it can't be believed."""
    why: list[str] = []
    for service in services:
        asker = Asker(service)
        try:
            if asker.weaknesses(_KNOWN_WEAK):
                return asker, why
            why.append(f"{service[-1]}: it knows of nothing in {_KNOWN_WEAK}")
        except RuntimeError as error:
            why.append(f"{service[-1]}: {error}")
    return None, why


def main(services: Sequence[Sequence[str]] = _SERVICES) -> int:
    """Print what is known of every lock file; the exit code."""
    asker, why = find_service(services)
    if asker is None:
        print("NOT CHECKED: no service of advisories can be asked from here", *why, sep="\n  ", file=sys.stderr)
        return UNKNOWN
    found = {}
    for lock in LOCKS:
        found[lock] = asker.weaknesses((ROOT / lock).read_text(encoding="utf-8"))
        print(f"{lock}: {len(found[lock])} known weaknesses", *found[lock], sep="\n  ")
    return FOUND if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
