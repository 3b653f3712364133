"""Dependencies of running jobs, and helpers that several steps share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from penstock.catalog import Catalog
from penstock.engines.base import Staged
from penstock.engines.registry import EngineRegistry
from penstock.imports.events import NullObserver, Observer
from penstock.imports.settings import JobSettings
from penstock.imports.upload_files import UploadFolder
from penstock.runners.base import Runner
from penstock.sources.roots import ImportRoots


@dataclass(frozen=True, slots=True)
class ImportContext:
    """Dependencies of running jobs."""

    catalog: Catalog
    engines: EngineRegistry
    runner: Runner
    roots: ImportRoots
    settings: JobSettings
    observer: Observer = field(default_factory=NullObserver)
    uploads: UploadFolder | None = None


def note_of(staged: Staged) -> dict[str, Any]:
    """Serialize staged files for the catalog."""
    return {"rows": staged.rows, "size": staged.size, "note": staged.note}


def staged_of(note: Any) -> Staged:
    """Deserialize the result of :func:`note_of`."""
    return Staged(rows=note["rows"], size=note["size"], note=note["note"])
