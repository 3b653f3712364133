"""One export from its lease to its end."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from penstock.collections.collections import CollectionService
from penstock.collections.partitions import PartitionService
from penstock.domain.collections import CollectionSettings
from penstock.domain.exports import ExportRequest, ExportState
from penstock.engines.lance import LanceEngine
from penstock.exports.context import ExportContext
from penstock.exports.export_run import ExportRun
from penstock.sources.roots import ImportRoots
from tests.support.catalogs import CLUSTER, new_export, opened_catalog
from tests.support.doubles import InlineRunner
from tests.support.engines import only
from tests.support.tables import plain
from tests.support.worlds import job_settings


def test_a_partition_that_was_dropped_meanwhile_is_not_left_out(tmp_path: Path) -> None:
    engine, root = LanceEngine(str(tmp_path / "store")), tmp_path / "root"
    engine.check()
    root.mkdir()
    engines = only(engine)
    with opened_catalog(tmp_path) as catalog:
        docs = CollectionService(catalog, engines, lambda: None).create(
            CLUSTER, "default", "docs", plain(), CollectionSettings()
        )
        partitions = PartitionService(catalog, engines)
        for name in ("old", "new"):
            partitions.create(docs, name)
        request = ExportRequest(target="out", partitions=("old", "new"))
        export = catalog.exports.insert(replace(new_export(docs), request=request), {}, 16)
        partitions.drop(docs, "old")
        leased = catalog.exports.claim("worker", 60_000)
        assert leased is not None
        roots = ImportRoots([str(root)])
        context = ExportContext(catalog, engines, lambda _: InlineRunner(), roots, job_settings())
        ExportRun(context, leased, threading.Event()).go()
        ended = catalog.exports.get(CLUSTER, export.id)
    assert ended.state is ExportState.FAILED
    assert "old" in (ended.reason or "")
