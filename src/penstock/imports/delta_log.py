"""Read the log of Delta tables, which records the files of the current version in a folder of Parquet files.

Delta keeps the files of earlier versions for a while; importing them too would bring back deleted rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson

from penstock.domain.jobs import JobWarning
from penstock.errors import FileMissing, shorten
from penstock.imports.requests import StoreCredentials
from penstock.sources.base import DELTA_LOG, Location
from penstock.sources.opening import open_source
from penstock.sources.roots import ImportRoots

_LOG = f"{DELTA_LOG}/"
_COMMIT = re.compile(r"(\d{20})\.json")
_MAX_COMMITS = 2_000
_MAX_BYTES = 64 << 20
"""Commits that are read, latest first; a table writes a checkpoint every ten or hundred of them."""
_MAX_TABLES = 20
_MAX_LISTED = 5


@dataclass(slots=True)
class _Log:
    """The log's commits, by path in the table: files present or removed, and files with deletion vectors."""

    is_complete: bool
    present: dict[str, bool] = field(default_factory=dict)
    vectors: set[str] = field(default_factory=set)

    def add(self, line: bytes) -> None:
        action: Any = orjson.loads(line)
        for kind in ("add", "remove"):
            entry = action.get(kind) if isinstance(action, dict) else None
            if isinstance(entry, dict) and isinstance(path := entry.get("path"), str):
                name = unquote(path)
                self.present[name] = kind == "add"
                (self.vectors.add if kind == "add" and entry.get("deletionVector") else self.vectors.discard)(name)

    def holds(self, name: str) -> bool:
        """Whether a file of the folder is in the table, as far as the log shows."""
        return self.present.get(name, not self.is_complete)


def without_removed(
    path: str,
    files: Sequence[Location],
    side_files: Sequence[str],
    roots: ImportRoots,
    keys: StoreCredentials,
    warnings: list[JobWarning],
) -> Sequence[Location]:
    """Leave out the files of a folder that Delta's log has removed; adds to ``warnings``.

    Raises:
        FileMissing: none is left.
        SourceError: the log can't be read.
    """
    tables = [name.removesuffix(_LOG) for name in side_files if name == _LOG or name.endswith(f"/{_LOG}")]
    for table in tables[:_MAX_TABLES]:
        home = path + table
        log = _read(home + _LOG, roots, keys)
        members = {file.name: file.name.removeprefix(home) for file in files if file.name.startswith(home)}
        removed_names = {name for name, member in members.items() if not log.holds(member)}
        if removed_names:
            names = ", ".join(shorten(members[name], 100) for name in sorted(removed_names)[:_MAX_LISTED])
            more = f" and {len(removed_names) - _MAX_LISTED:,} more" if len(removed_names) > _MAX_LISTED else ""
            text = f"skipped files that are no longer in the Delta table {home!r}: {names}{more}"
            warnings.append(JobWarning(code="delta_removed", message=text, count=len(removed_names)))
        files = [file for file in files if file.name not in removed_names]
        if not log.is_complete:
            text = (
                f"the Delta table {home!r}: the first versions of its log are missing. Files removed in them are "
                "imported unless VACUUM has deleted them"
            )
            warnings.append(JobWarning(code="delta_log", message=text))
        if any(members.get(file.name) in log.vectors for file in files):
            text = (
                f"the Delta table {home!r} marks rows as deleted by deletion vectors, which are not read: these rows "
                "are imported. Remove them from the files first: REORG TABLE … APPLY (PURGE)"
            )
            warnings.append(JobWarning(code="delta_deletion_vectors", message=text))
    if tables and not files:
        raise FileMissing(
            f"path {path!r}: its files are no longer in the Delta table, whose current version has no rows", path=path
        )
    if len(tables) > _MAX_TABLES:
        text = f"{path!r} has {len(tables):,} Delta tables: only the logs of the first {_MAX_TABLES} were read"
        warnings.append(JobWarning(code="delta_log", message=text))
    return files


def _read(folder: str, roots: ImportRoots, keys: StoreCredentials) -> _Log:
    try:
        files = roots.locate(folder, keys.access_key, keys.secret_key, keys.token)
    except FileMissing:
        files = []
    commits = sorted(
        (int(number[1]), file) for file in files if (number := _COMMIT.fullmatch(file.name.removeprefix(folder)))
    )
    latest: list[tuple[int, Location]] = []
    size = 0
    for commit in reversed(commits):
        size += commit[1].size
        if size > _MAX_BYTES or len(latest) == _MAX_COMMITS:
            break
        latest.insert(0, commit)
    numbers = [number for number, _ in latest]
    log = _Log(is_complete=bool(numbers) and numbers == list(range(len(numbers))))
    for _, location in latest:
        try:
            with open_source(location).open_stream() as stream:
                for line in stream:
                    log.add(line)
        except orjson.JSONDecodeError:
            log.is_complete = False
    return log
