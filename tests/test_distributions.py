"""What is published: the sdist and the wheel, installed into fresh environments of every Python found here."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.distributions import ROOT, Distributions, bills_of_materials, build, check_with_tools, problems
from tests.support.installs import install
from tests.support.interpreters import SUPPORTED, find_interpreter
from tests.support.pages import run_page


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return build(tmp_path_factory.mktemp("dist"))


def test_contents_and_metadata(built: Distributions) -> None:
    assert list(problems(built)) == []


def test_metadata_name_the_project(built: Distributions) -> None:
    metadata = built.metadata()
    assert (metadata["Name"], metadata["Author"]) == ("penstock-import", "The Penstock developers")
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_all("Provides-Extra") == [
        "avro",
        "azure",
        "hdf5",
        "otel",
        "postgresql",
        "ray",
        "s3",
        "server",
    ]
    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL") or ())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert urls == project["urls"]
    assert f"]({urls['Source']}/" in str(metadata.get_payload())


def test_a_file_that_is_missing_is_reported(built: Distributions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.distributions.SUPPORTED", ("3.11", "3.99"))
    assert list(problems(built)) == ["no classifier for Python 3.99"]


def test_the_running_python_is_found() -> None:
    release = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert release in SUPPORTED
    assert find_interpreter(release) is not None
    assert find_interpreter("3.1") is None


@pytest.mark.slow
def test_the_checks_of_the_package_index(built: Distributions) -> None:
    check_with_tools(built)


@pytest.mark.slow
def test_bills_of_materials_name_every_locked_package(tmp_path: Path) -> None:
    for path in bills_of_materials(tmp_path):
        bill = json.loads(path.read_text(encoding="utf-8"))
        assert bill["bomFormat"] == "CycloneDX"
        assert bill["metadata"]["component"]["name"] == "penstock-import"
        lock = (ROOT / "requirements" / f"{path.name.split('.')[0].removeprefix('penstock-import-')}.txt").read_text()
        assert len(bill["components"]) == lock.count("==")
        assert all(component["purl"].startswith("pkg:pypi/") for component in bill["components"])
        hashes = [reference["hashes"] for part in bill["components"] for reference in part["externalReferences"]]
        assert all(one["alg"] == "SHA-256" for listed in hashes for one in listed)


IMPORT = """
import penstock, sys
from penstock import Client
from penstock.bulk_writer import BulkFileType, LocalBulkWriter, RemoteBulkWriter
print("%d.%d" % sys.version_info[:2], penstock.__version__)
"""


@pytest.mark.slow
@pytest.mark.parametrize("release", SUPPORTED)
def test_a_fresh_environment_imports_and_helps(built: Distributions, tmp_path: Path, release: str) -> None:
    interpreter = find_interpreter(release)
    if interpreter is None:
        pytest.skip(f"there is no Python {release} on this machine")
    installed = install(built.wheel, ROOT / "requirements" / "base.txt", tmp_path / "environment", interpreter)
    assert installed.python(IMPORT) == f"{release} {built.metadata()['Version']}\n"
    assert "Commands:" in installed.run("penstock", "--help").stdout
    assert installed.run("python", "-m", "pip", "check").stdout == "No broken requirements found.\n"


@pytest.mark.slow
def test_the_tutorial_on_the_newest_python(built: Distributions, tmp_path: Path) -> None:
    """Another person: the wheel with the server in a fresh environment, and nothing else of this checkout."""
    interpreter = find_interpreter(SUPPORTED[-1])
    if interpreter is None:
        pytest.skip(f"there is no Python {SUPPORTED[-1]} on this machine")
    installed = install(built.wheel, ROOT / "requirements" / "server.txt", tmp_path / "environment", interpreter)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (tmp_path / "home").mkdir()
    printed = run_page(ROOT / "docs" / "tutorial.md", tmp_path / "home", port, installed.home / "bin")
    assert "2000 rows" in list(printed.values())[-1]


@pytest.mark.slow
def test_the_sdist_installs_by_itself(built: Distributions, tmp_path: Path) -> None:
    """As ``pip install`` of a checkout does: with a build environment of its own."""
    uv = str(Path(sys.executable).with_name("uv"))
    command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), str(built.sdist)]
    subprocess.run(command, check=True, timeout=300)
    assert (tmp_path / "penstock" / "py.typed").exists()
    assert (tmp_path / "penstock_import.py").exists()
