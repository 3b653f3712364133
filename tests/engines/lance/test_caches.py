"""What the engine keeps in memory is bounded, however many small jobs come and go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from penstock.engines.lance import LanceEngine
from penstock.engines.lance.layout import tables
from penstock.engines.lance.layout.tables import TableCache
from penstock.machine import MemoryLimit
from tests.support.tables import import_rows, new_table, plain_batch, vectors

JOBS = 30
SMALL = 256 << 10
MIB = 1 << 20


def test_small_jobs_fill_the_caches_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lance keeps some 27 KB for each job, although its version is superseded by the next one."""
    monkeypatch.setattr(tables, "_METADATA_CACHE", SMALL)
    monkeypatch.setattr(tables, "_INDEX_CACHE", SMALL)
    engine = LanceEngine(str(tmp_path))
    table = new_table(engine)
    sizes = []
    for number in range(JOBS):
        table, _ = import_rows(engine, table, plain_batch(vectors(1, seed=number), number))
        assert engine.query(table, columns=["id"], limit=1).num_rows == 1
        sizes.append(engine._opened.session.size_bytes())
    assert SMALL / 2 < max(sizes) < 2.5 * SMALL
    assert len(engine._opened._open) == 1


def test_no_more_tables_stay_open_than_may(tmp_path: Path) -> None:
    engine = LanceEngine(str(tmp_path))
    table = new_table(engine)
    for _ in range(tables._MAX_OPEN + 10):
        engine.count(replace(table, id=new_table(engine).id))
    assert len(engine._opened._open) == tables._MAX_OPEN


@pytest.mark.parametrize(("memory", "most"), [(420 * MIB, 26 * MIB), (64 << 30, 512 * MIB)])
def test_caches_follow_the_memory_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int, most: int
) -> None:
    asked = []
    monkeypatch.setattr(tables, "memory_limit", lambda: MemoryLimit(memory, "a test"))
    monkeypatch.setattr(tables, "Session", lambda *sizes: asked.append(sizes))
    for root in (str(tmp_path), "s3://bucket/prefix"):
        assert LanceEngine(root)._opened.session is None
    assert TableCache(is_remote=False, index_bytes=7 * MIB).session is None
    assert asked.pop()[0] == 7 * MIB
    (local_index, local_metadata), (remote_index, remote_metadata) = asked
    assert local_index // MIB == remote_index // MIB == most // MIB
    assert (local_metadata, remote_metadata) == (16 * MIB, min(128 * MIB, memory // 16))
