"""Convert paths of the command line to the file groups of an import request."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from penstock.domain.input_groups import grouped_paths
from penstock.errors import FileMissing, FileUnreadable

_SERVER_PATHS = ". If only the server can access it, add --server-paths"


def import_groups(paths: Iterable[str], folder: Path | None = None, *, hint: str = _SERVER_PATHS) -> list[list[str]]:
    """Group files as the create call takes them: one per group, the ``.npy`` files of one folder together.

    * An address (``s3://…``, ``file://…``) is sent as it is.
    * A local file or folder is sent with its absolute path; a folder ends in ``/``.
    * A pattern that the shell left alone (it was quoted, or came from a variable) is expanded here; ``**`` crosses
      folders.

    Args:
        folder: what relative paths are relative to; the working directory unless given.
        hint: end of the error about a file that isn't there.

    Raises:
        FileMissing: a path isn't there, or a pattern matches nothing.
        FileUnreadable: its name is not UTF-8, and can't be sent.
    """
    base = Path.cwd() if folder is None else folder
    return grouped_paths(_as_text(full_path) for path in paths for full_path in _expand(path, base, hint))


def server_groups(paths: Iterable[str]) -> list[list[str]]:
    """Group paths that only the server can resolve: they are sent as they are."""
    return grouped_paths(paths)


def _as_text(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        name = os.fsencode(path).decode(errors="backslashreplace")
        raise FileUnreadable(f"the name of the file {name} is not UTF-8. Rename it", path=name) from None
    return path


def _expand(path: str, base: Path, hint: str) -> Sequence[str]:
    if "://" in path:
        return [path]
    # Not resolved: the server decides about links inside an import root.
    full = os.path.abspath(base / os.path.expanduser(path))
    if os.path.isdir(full):
        return [full.rstrip("/") + "/"]
    if os.path.exists(full):
        return [full]
    if glob.has_magic(path):
        # Not as one pattern: the working directory may have brackets in its own name.
        matches = glob.glob(os.path.expanduser(path), root_dir=base, recursive=True)
        files = sorted(
            match for match in (os.path.abspath(base / match) for match in matches) if os.path.isfile(match)
        )
        if files:
            return files
        raise FileMissing(f"no file matches {path}", path=path)
    raise FileMissing(f"no file {path} here (looked for {full}){hint}", path=path)
