"""Dependencies of running exports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from penstock.catalog import Catalog
from penstock.engines.registry import EngineRegistry
from penstock.imports.settings import JobSettings
from penstock.runners.base import Runner
from penstock.sources.roots import ImportRoots


@dataclass(frozen=True, slots=True)
class ExportContext:
    """Dependencies of running exports. ``roots`` are the export roots; ``runner_of`` returns the runner of an org."""

    catalog: Catalog
    engines: EngineRegistry
    runner_of: Callable[[str], Runner]
    roots: ImportRoots
    settings: JobSettings
