"""``python -m tests.support.distributions [FOLDER]``: build and check the distribution (``make dist``).

Writes the sdist, the wheel that is built from it, and a software bill of materials (CycloneDX) of the base package
and of the server into ``dist/``. Nothing is uploaded.
"""

from __future__ import annotations

import email
import json
import re
import resource
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from tests.support.environments import environment_python
from tests.support.installs import Installation, install
from tests.support.interpreters import SUPPORTED

__all__ = ["ROOT", "Distributions", "bills_of_materials", "build", "check_with_tools", "problems", "start_seconds"]

ROOT = Path(__file__).parents[2]
LOCKS = ("base", "server")
"""Locks that have a bill of materials: what an installation with and without the server brings along."""
_PLACEHOLDER = "example.org"
_SECONDS = 300
_MOST_SECONDS = 1.0
"""Limit for a start of the program: several times what it takes, so that only a new heavy import exceeds it."""
_SDIST_TOP = frozenset(
    {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "PKG-INFO", "README.md", "SECURITY.md"}
    | {".gitignore", "deploy", "docs", "pyproject.toml", "requirements", "src"}
)
_TRASH = re.compile(r"__pycache__|\.pyc$|(?:^|/)\.(?!gitignore$)|/tests?/|secret(?!\.yaml$)|\.key$")


@dataclass(frozen=True)
class Distributions:
    """The files of one build."""

    sdist: Path
    wheel: Path

    def metadata(self) -> Message:
        """The metadata of the wheel; its payload is the description."""
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return email.message_from_bytes(archive.read(name))


def build(folder: Path) -> Distributions:
    """Build the sdist of this checkout into ``folder``, and the wheel from the sdist, as an installer would.

    Raises:
        RuntimeError: a build failed; the message has what it printed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for outdated in [*folder.glob("*.whl"), *folder.glob("*.tar.gz"), *folder.glob("*.cdx.json")]:
        outdated.unlink()
    _run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(folder))
    (sdist,) = folder.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as temporary:
        with tarfile.open(sdist) as archive:
            archive.extractall(temporary, filter="data")
        (source,) = Path(temporary).iterdir()
        _run(
            sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder.resolve()),
            cwd=source,
        )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    return Distributions(sdist, wheel)


def problems(built: Distributions) -> Iterator[str]:
    """What is wrong with the contents and the metadata; nothing for a distribution that may be installed."""
    with zipfile.ZipFile(built.wheel) as archive:
        in_wheel = set(archive.namelist())
    with tarfile.open(built.sdist) as tar:
        in_sdist = {name.partition("/")[2] for name in tar.getnames()}
    sources = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    packed = {name for name in in_wheel if ".dist-info/" not in name}
    for name in sorted(sources ^ packed):
        yield f"{built.wheel.name}: {name} is {'missing' if name in sources else 'not of src'}"
    for required in ("penstock/py.typed", "penstock/filters/filter.lark", "penstock_import.py"):
        if required not in in_wheel:
            yield f"{built.wheel.name}: {required} is missing"
    for name in sorted(in_sdist):
        if name.split("/")[0] not in _SDIST_TOP:
            yield f"{built.sdist.name}: {name} does not belong there"
    for name in sorted(in_sdist | in_wheel):
        if _TRASH.search(name):
            yield f"{name} does not belong into a distribution"
    metadata = built.metadata()
    for relative in re.findall(r"\]\((?!https?://|#)[^)]*\)", str(metadata.get_payload())):
        yield f"a link of the description is relative: {relative}"
    for key in ("Author", "License-Expression", "Project-URL", "Requires-Python", "Summary"):
        if not metadata.get(key):
            yield f"the metadata has no {key}"
    classifiers = metadata.get_all("Classifier") or []
    for release in SUPPORTED:
        if f"Programming Language :: Python :: {release}" not in classifiers:
            yield f"no classifier for Python {release}"


def check_with_tools(built: Distributions) -> None:
    """Run twine's and check-wheel-contents's checks.

    Raises:
        RuntimeError: one of them reports something; the message has what it printed.
    """
    python = _tools()
    _run(str(python), "-m", "twine", "check", "--strict", str(built.sdist), str(built.wheel))
    # W002: `__init__.py` files that are empty are equal. W004: Alembic loads migrations by their path. W009: the
    # wheel has two packages, on purpose.
    _run(str(python), "-m", "check_wheel_contents", "--ignore", "W002,W004,W009", str(built.wheel))


def bills_of_materials(folder: Path) -> list[Path]:
    """Write a bill of materials for each lock of an installation, with the hashes of all files."""
    written = []
    for lock in LOCKS:
        path = folder / f"penstock-import-{lock}.cdx.json"
        _run(
            str(_tools()), "-m", "cyclonedx_py", "requirements", str(ROOT / "requirements" / f"{lock}.txt"),
            "--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--output-format", "JSON",
            "--output-file", str(path),
        )  # fmt: skip
        written.append(path)
    return written


def start_seconds(installed: Installation) -> dict[str, float]:
    """Processor seconds of an import and of ``--help`` in an environment: the least of five runs."""
    programs = {
        "import penstock": ("python", "-c", "import penstock"),
        "penstock.Client": ("python", "-c", "import penstock; penstock.Client"),
        "penstock --help": ("penstock", "--help"),
    }
    seconds: dict[str, float] = {}
    for name, (program, *args) in programs.items():
        runs = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            installed.run(program, *args)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            runs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        seconds[name] = min(runs)
    return seconds


def _tools() -> Path:
    return environment_python(ROOT / "requirements" / "dist.txt", ROOT / ".cache" / "dist")


def _run(*command: str, cwd: Path = ROOT) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, cwd=cwd, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist")
    built = build(folder)
    if reported := list(problems(built)):
        sys.exit("\n".join(reported))
    check_with_tools(built)
    for path in [built.sdist, built.wheel, *bills_of_materials(folder)]:
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        parts = f", {len(json.loads(path.read_text())['components'])} components" if path.suffix == ".json" else ""
        print(f"{path}: {size}{parts}")
    with tempfile.TemporaryDirectory() as home:
        installed = install(built.wheel, ROOT / "requirements" / "base.txt", Path(home) / "environment")
        times = start_seconds(installed)
    print("processor time,", ", ".join(f"{name}: {seconds:.2f} s" for name, seconds in times.items()))
    if too_slow := [name for name, seconds in times.items() if seconds > _MOST_SECONDS]:
        sys.exit(f"more than {_MOST_SECONDS} s of processor time: {', '.join(too_slow)}")
    if any(_PLACEHOLDER in url for url in built.metadata().get_all("Project-URL") or ()):
        print(f"Not to be published yet: the addresses of pyproject.toml are placeholders ({_PLACEHOLDER}).")


if __name__ == "__main__":
    main()
