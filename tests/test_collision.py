"""The unrelated distribution ``penstock`` of the package index, installed beside this one: the user is told."""

from __future__ import annotations

import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

import penstock_import
from tests.support.installs import ROOT, build_wheel

TOLD = "an unrelated distribution 'penstock' 0.1.0 is installed in"
REPAIR = "pip uninstall penstock penstock-import"


@pytest.fixture(scope="module")
def own_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def foreign_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel with the name and the package of the foreign distribution."""
    path = tmp_path_factory.mktemp("foreign") / "penstock-0.1.0-py3-none-any.whl"
    info = "penstock-0.1.0.dist-info"
    files = {
        "penstock/__init__.py": "from penstock.flow import trace\n",
        "penstock/flow.py": "def trace() -> None: ...\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: penstock\nVersion: 0.1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return path


def install(folder: Path, *wheels: Path) -> Path:
    uv = Path(sys.executable).with_name("uv")
    for wheel in wheels:
        command = [
            str(uv),
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--offline",
            "--target",
            str(folder),
            str(wheel),
        ]
        subprocess.run(command, check=True, cwd=ROOT, timeout=60)
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with what is installed in a folder before all else."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_it_nothing_is_said() -> None:
    assert penstock_import.collision() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        penstock_import.warn_of_collision()


def test_the_foreign_distribution_below_this_one(tmp_path: Path, own_wheel: Path, foreign_wheel: Path) -> None:
    folder = install(tmp_path, foreign_wheel, own_wheel)
    done = run(folder, "-m", "penstock_import", "--version")
    assert (done.returncode, done.stdout) == (0, "penstock 0.1.0\n")
    assert done.stderr.startswith(f"Warning: {TOLD} {folder} beside 'penstock-import'")
    assert REPAIR in done.stderr
    warned = run(folder, "-c", "import penstock; penstock.Client")
    assert warned.returncode == 0
    assert f"RuntimeWarning: {TOLD}" in warned.stderr


def test_the_foreign_distribution_above_this_one(tmp_path: Path, own_wheel: Path, foreign_wheel: Path) -> None:
    folder = install(tmp_path, own_wheel, foreign_wheel)
    done = run(folder, "-m", "penstock_import", "--version")
    assert TOLD in done.stderr
    assert REPAIR in done.stderr
    assert "Traceback" not in done.stderr


def test_the_foreign_distribution_hides_this_one(tmp_path: Path, foreign_wheel: Path) -> None:
    """As with an editable installation of this one: its folder comes later in the path."""
    folder = install(tmp_path, foreign_wheel)
    done = run(folder, "-m", "penstock_import", "--version")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {TOLD} {folder}")
    assert "Traceback" not in done.stderr


def test_a_program_that_fails_for_another_reason_keeps_its_error(tmp_path: Path, own_wheel: Path) -> None:
    folder = install(tmp_path, own_wheel)
    (folder / "penstock" / "cli" / "main.py").write_text("raise ImportError('a broken disk')\n")
    done = run(folder, "-m", "penstock_import", "--version")
    assert "ImportError: a broken disk" in done.stderr
