"""``python -m docs.site [FOLDER]``: build the documentation as a site (``make site``).

Each version has a folder of its own in ``site/``, and ``versions.json`` lists them for the selector of the page.
MkDocs runs in an environment of its own and ends at the first broken link or anchor; links to other hosts are not
followed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from penstock.version import package_version
from tests.support.environments import environment_python

__all__ = ["build_site"]

ROOT = Path(__file__).parents[1]
_NEWEST = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={0}/"><a href="{0}/">{0}</a>\n'
)


def build_site(folder: Path) -> Path:
    """Build the site of this version into ``folder``; returns the folder of the version.

    Raises:
        RuntimeError: a link is broken or a page has no place; the message has what MkDocs printed.
    """
    python = environment_python(ROOT / "requirements" / "site.txt", ROOT / ".cache" / "site")
    version = package_version()
    target = folder.resolve() / version
    command = [str(python), "-m", "mkdocs", "build", "--strict", "--clean", "--site-dir", str(target)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    versions = sorted((path.name for path in folder.iterdir() if (path / "sitemap.xml").exists()), key=_order)
    listed = [{"version": name, "title": name, "aliases": []} for name in reversed(versions)]
    (folder / "versions.json").write_text(json.dumps(listed, indent=2), encoding="utf-8")
    (folder / "index.html").write_text(_NEWEST.format(versions[-1]), encoding="utf-8")
    return target


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else -1 for part in version.split("."))


def main() -> None:
    try:
        print(build_site(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "site")))
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
