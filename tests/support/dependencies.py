"""``python -m tests.support.dependencies``: what can be told of the dependencies without a network.

Every lock file pins each package to one version with the hashes of its files, names no other source, and holds
what ``pyproject.toml`` (or the ``.in`` file beside it) asks for; this environment is what the lock says; and the
licence of whatever Penstock needs to run is one that it can be given away with. Known weaknesses are another matter:
they must be asked for, see ``advisories``.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from sysconfig import get_path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from penstock.version import DISTRIBUTION

__all__ = ["LOCKS", "ROOT", "Pins", "audit", "not_as_locked", "not_free", "read_lock", "unmet"]

ROOT = Path(__file__).parents[2]
LOCKS = tuple(
    path.relative_to(ROOT)
    for folder in ("requirements", "tests", "benchmarks/environments")
    for path in sorted((ROOT / folder).rglob("*.txt"))
    if "--hash=" in path.read_text(encoding="utf-8") or folder == "requirements"
)

Pins = Mapping[str, str]
"""Names in canonical form, and versions."""

_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?P<marker>\s*;.*?)?(?P<hashes>(?:\s+--hash=\S+)*)"
)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_NOT_LOCKED = frozenset({DISTRIBUTION, "pip", "setuptools"})
"""What an environment has beside its lock."""

_FREE = re.compile(r"\b(?:MIT|BSD|0BSD|Apache|ISC|MPL-2\.0|Mozilla Public License 2\.0|PSF-2\.0|Zlib|CC0|LGPL-3\.0)")
_VIRAL = re.compile(r"\bA?GPL|\bGNU (?:Affero )?General Public")
_READ_BY_HAND: Mapping[str, str] = {"pysimdjson": "MIT"}
"""Packages whose metadata say nothing; their files do."""


def read_lock(text: str) -> Pins:
    """The pins of a lock file.

    Raises:
        ValueError: a line pins nothing, has no hash of SHA-256, or names another source.
    """
    lines = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n?", "", text, flags=re.MULTILINE)).splitlines()
    pins: dict[str, str] = {}
    for line in filter(None, (line.split(" #")[0].strip() for line in lines)):
        found = _PIN.fullmatch(line)
        if found is None:
            raise ValueError(f"it isn't a version with hashes: {line[:100]}")
        hashes = found["hashes"].split()
        if not hashes or not all(map(_HASH.fullmatch, hashes)):
            raise ValueError(f"{found['name']} has no hash, or one that is not SHA-256")
        pins[canonicalize_name(found["name"])] = found["version"]
    return pins


def unmet(asked: Sequence[str], pins: Pins) -> Iterator[str]:
    """Requirements that the pins don't meet, on this platform. An extra's name for another one has no pin."""
    for each in map(Requirement, asked):
        if canonicalize_name(each.name) == DISTRIBUTION or (each.marker is not None and not each.marker.evaluate()):
            continue
        pin = pins.get(canonicalize_name(each.name))
        if pin is None or not each.specifier.contains(pin, prereleases=True):
            yield f"{each} is asked for, the lock has {pin or 'none of it'}"


def not_as_locked(pins: Pins) -> Iterator[str]:
    """What is installed here and isn't locked, or in another version."""
    # Not the whole search path: some packages put what they bring along into it, when they are imported.
    folders = [*{get_path("purelib"), get_path("platlib")}]
    installed = {
        canonicalize_name(distribution.name): distribution.version for distribution in distributions(path=folders)
    }
    for name, version in sorted(installed.items()):
        if name not in _NOT_LOCKED and pins.get(name) != version:
            yield f"{name} {version} is installed, the lock has {pins.get(name) or 'none of it'}: make install"


def not_free(needed: Sequence[str]) -> Iterator[str]:
    """Of these packages and all that they need, those whose licence isn't one of the free ones that bind nobody."""
    for need in _with_needs(needed):
        name = canonicalize_name(need.name)
        said = _READ_BY_HAND.get(name) or _licence(need)
        if not _FREE.search(said) or _VIRAL.search(said):
            yield f"{name} {need.version} is under {said or 'no licence that its metadata tell'}"


def _licence(package: Distribution) -> str:
    told = package.metadata.get_all
    classifiers = [each for each in told("Classifier") or () if each.startswith("License")]
    words = [each[:100] for each in told("License") or ()]  # some put the whole text here
    return "; ".join(told("License-Expression") or [*classifiers, *words])


def _with_needs(names: Sequence[str]) -> Iterator[Distribution]:
    seen: set[str] = set()
    left = [Requirement(name) for name in names]
    while left:
        wanted = left.pop()
        name = canonicalize_name(wanted.name)
        extras = {"", *wanted.extras}
        if name in seen or not (
            wanted.marker is None or any(wanted.marker.evaluate({"extra": each}) for each in extras)
        ):
            continue
        seen.add(name)
        found = distribution(name)
        yield found
        for need in map(Requirement, found.requires or ()):
            if need.marker is None or any(need.marker.evaluate({"extra": each}) for each in extras):
                need.marker = None
                left.append(need)


def audit(root: Path = ROOT) -> list[str]:
    """All that is wrong; empty where nothing is."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    project, groups = pyproject["project"], pyproject["dependency-groups"]
    extras = project["optional-dependencies"]
    told: list[str] = []
    locks: dict[Path, Pins] = {}
    for lock in LOCKS:
        try:
            locks[lock] = read_lock((root / lock).read_text(encoding="utf-8"))
        except ValueError as error:
            told.append(f"{lock}: {error}")
            continue
        asked = (root / lock).with_suffix(".in")
        if asked.exists():
            lines = [line.split(" #")[0].strip() for line in asked.read_text(encoding="utf-8").splitlines()]
            told += [
                f"{lock}: {each}: make lock"
                for each in unmet([x for x in lines if x[:1] not in ("", "#", "-")], locks[lock])
            ]
    dev = locks[Path("requirements/dev.txt")]
    needed = [*project["dependencies"], *(each for extra in extras for each in extras[extra])]
    told += [f"requirements/dev.txt: {each}: make lock" for each in unmet(needed, dev)]
    for group, requirements in groups.items():
        lock = Path(f"requirements/{group}.txt")
        told += [f"{lock}: {each}: make lock" for each in unmet(requirements, locks[lock])]
    for installed, requirements in (
        ("base", project["dependencies"]),
        ("server", [*project["dependencies"], *extras["server"]]),
    ):
        lock = Path(f"requirements/{installed}.txt")
        told += [f"{lock}: {each}: make lock" for each in unmet(requirements, locks[lock])]
        told += [
            f"{name} is {pin} in {lock}, {dev.get(name)} in requirements/dev.txt"
            for name, pin in locks[lock].items()
            if dev.get(name) != pin
        ]
    return [*told, *not_as_locked(dev), *not_free(needed)]


def main() -> None:
    told = audit()
    for each in told:
        print(each, file=sys.stderr)
    if told:
        sys.exit(1)
    print(f"{len(LOCKS)} lock files: all pinned and hashed, in step, installed as locked, licences free")


if __name__ == "__main__":
    main()
