"""Exports are claimed and run until they end, whatever happens on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.catalog.catalog import Catalog
from penstock.domain.exports import ExportJob, ExportRequest
from penstock.engines.registry import EngineRegistry
from penstock.exports.context import ExportContext
from penstock.exports.scheduler import ExportScheduler
from penstock.sources.roots import ImportRoots
from tests.support.catalogs import CLUSTER, new_export, opened_catalog, stored_collection
from tests.support.doubles import InlineRunner
from tests.support.faulty_store import Faults, faulty_store
from tests.support.s3 import S3Server
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
        with _scheduler(catalog):
            _wait_until_final(catalog, export)
    assert refused == [f"export-{export.id}"]


def test_an_export_ends_while_the_deletion_of_anothers_files_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(_context: ExportContext, _export: ExportJob, _stop: threading.Event) -> None:
        hangs.set()
        goes_on.wait(60)

    monkeypatch.setattr("penstock.exports.scheduler.delete_files", hang)
    with opened_catalog(tmp_path) as catalog:
        collection = stored_collection(catalog)
        aborted = catalog.exports.insert(new_export(collection), {}, 16)
        catalog.exports.abort(aborted, "aborted", has_files=True)
        with _scheduler(catalog):
            try:
                assert hangs.wait(60)
                _wait_until_final(catalog, catalog.exports.insert(new_export(collection), {}, 16))
            finally:
                goes_on.set()


def test_files_of_an_aborted_export_are_deleted_once_the_store_is_back(tmp_path: Path, s3: S3Server) -> None:
    bucket = s3.make_bucket()
    s3.put(bucket, "out/part-00000-000.parquet", b"x")
    s3.put(bucket, "out/mine.parquet", b"x")
    with (
        opened_catalog(tmp_path) as catalog,
        faulty_store(s3.endpoint, Faults(unknown=f"GET /{bucket}"), seed=1) as proxy,
    ):
        roots = ImportRoots([f"s3://{bucket}"], {"s3": s3.settings | {"endpoint": proxy.url}})
        target = f"s3://{bucket}/out"
        export = new_export(stored_collection(catalog))
        export = replace(export, request=ExportRequest(target=target), location=target)
        catalog.exports.abort(catalog.exports.insert(export, {}, 16), "aborted", has_files=True)
        with _scheduler(catalog, roots):
            _wait_while(catalog, export, lambda: proxy.met.total() < 6)  # the client repeats a request three times
            proxy.faults = Faults()
            _wait_while(catalog, export, lambda: True)
        assert s3.keys(bucket) == ["out/mine.parquet"]


def _wait_while(catalog: Catalog, export: ExportJob, condition: Callable[[], bool]) -> None:
    """Wait while an export has files and the condition holds."""
    until = time.monotonic() + 60
    while condition() and catalog.exports.get(CLUSTER, export.id).has_files:
        assert time.monotonic() < until, "it does not end"
        time.sleep(0.02)


@contextmanager
def _scheduler(catalog: Catalog, roots: ImportRoots | None = None) -> Iterator[None]:
    engines, roots = EngineRegistry({}, default="lance"), roots or ImportRoots([])  # no target is allowed
    settings = job_settings(retry_pause=0.02)
    scheduler = ExportScheduler(ExportContext(catalog, engines, lambda _: InlineRunner(), roots, settings))
    scheduler.start()
    try:
        yield
    finally:
        scheduler.stop()


def _wait_until_final(catalog: Catalog, export: ExportJob) -> None:
    until = time.monotonic() + 60
    while not catalog.exports.get(CLUSTER, export.id).state.is_final:
        assert time.monotonic() < until, "it does not end"
        time.sleep(0.02)
