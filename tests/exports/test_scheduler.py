"""Exports are claimed and run until they end, whatever happens on the way."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from penstock.engines.registry import EngineRegistry
from penstock.exports.context import ExportContext
from penstock.exports.scheduler import ExportScheduler
from penstock.sources.roots import ImportRoots
from tests.support.catalogs import CLUSTER, new_export, opened_catalog, stored_collection
from tests.support.doubles import InlineRunner
from tests.support.worlds import job_settings


def test_an_export_ends_although_its_thread_could_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start, refused = threading.Thread.start, list[str]()

    def start_but_once(thread: threading.Thread) -> None:
        if thread.name.startswith("export-") and thread.name[-1].isdigit() and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_but_once)
    with opened_catalog(tmp_path) as catalog:
        export = catalog.exports.insert(new_export(stored_collection(catalog)), {}, 16)
        engines, roots = EngineRegistry({}, default="lance"), ImportRoots([])  # its target is outside of all roots
        scheduler = ExportScheduler(ExportContext(catalog, engines, lambda _: InlineRunner(), roots, job_settings()))
        scheduler.start()
        try:
            until = time.monotonic() + 60
            while not catalog.exports.get(CLUSTER, export.id).state.is_final:
                assert time.monotonic() < until, "it keeps its lease"
                time.sleep(0.02)
        finally:
            scheduler.stop()
    assert refused == [f"export-{export.id}"]
