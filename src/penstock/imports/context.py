"""What running jobs takes, and small things that several steps share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from penstock.catalog import Catalog
from penstock.engines.base import Engine, Staged
from penstock.imports.events import NullObserver, Observer
from penstock.imports.settings import JobSettings
from penstock.runners.base import Runner
from penstock.sources.roots import ImportRoots

__all__ = ["ImportContext", "note_of", "staged_of"]


@dataclass(frozen=True, slots=True)
class ImportContext:
    """What running jobs takes."""

    catalog: Catalog
    engine: Engine
    runner: Runner
    roots: ImportRoots
    settings: JobSettings
    observer: Observer = field(default_factory=NullObserver)


def note_of(staged: Staged) -> dict[str, Any]:
    """What a split staged, as the catalog keeps it."""
    return {"rows": staged.rows, "size": staged.size, "note": staged.note}


def staged_of(note: Any) -> Staged:
    """What :func:`note_of` was made from."""
    return Staged(rows=note["rows"], size=note["size"], note=note["note"])
