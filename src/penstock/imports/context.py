"""Dependencies of running jobs, and helpers that several steps share."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.catalog import Catalog
from penstock.engines.registry import EngineRegistry
from penstock.engines.values import Staged
from penstock.imports.events import NullObserver, Observer
from penstock.imports.reject_files import SplitRejects
from penstock.imports.settings import JobSettings
from penstock.imports.upload_files import UploadFolder
from penstock.runners.base import Runner
from penstock.sources.roots import ImportRoots


def _default_spool() -> Path:
    return Path(tempfile.gettempdir()) / f"penstock-dry-runs-{os.getuid()}"


@dataclass(frozen=True, slots=True)
class ImportContext:
    """Dependencies of running jobs. ``spool`` is a folder for the key hashes of dry runs, which outlive a process."""

    catalog: Catalog
    engines: EngineRegistry
    runner: Runner
    roots: ImportRoots
    settings: JobSettings
    observer: Observer = field(default_factory=NullObserver)
    uploads: UploadFolder | None = None
    spool: Path = field(default_factory=_default_spool)


def note_of(staged: Staged, rejects: SplitRejects | None = None) -> dict[str, Any]:
    """Serialize staged files for the catalog, and the rejected rows of the split."""
    note: dict[str, Any] = {"rows": staged.rows, "size": staged.size, "note": staged.note}
    return note if rejects is None else {**note, "rejects": rejects.to_json()}


def rejects_of(note: Any) -> SplitRejects | None:
    """The rejected rows in the result of :func:`note_of`."""
    found = None if note is None else note.get("rejects")
    return None if found is None else SplitRejects.from_json(found)


def staged_of(note: Any) -> Staged:
    """Deserialize the result of :func:`note_of`."""
    return Staged(rows=note["rows"], size=note["size"], note=note["note"])
