"""After a power loss: the newest manifest may be empty or cut, and index files too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from penstock.domain.index import IndexSpec
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.layout.tables import manifest_name
from penstock.engines.values import Table
from penstock.errors import StorageError
from tests.support.tables import import_rows, new_table, plain_batch, vectors


@pytest.fixture
def engine(tmp_path: Path) -> LanceEngine:
    return LanceEngine(str(tmp_path))


def folder(tmp_path: Path, table: Table) -> Path:
    return tmp_path / f"{table.id}.lance"


def test_a_sound_table_is_left_alone(engine: LanceEngine, tmp_path: Path) -> None:
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(3)))
    files = sorted(tmp_path.rglob("*"))
    assert engine.repair(table) == []
    assert sorted(tmp_path.rglob("*")) == files


@pytest.mark.parametrize("kept", [0, 40])
def test_an_unreadable_manifest_is_set_aside_and_its_job_publishes_again(
    engine: LanceEngine, tmp_path: Path, kept: int
) -> None:
    before, _ = import_rows(engine, new_table(engine), plain_batch(vectors(3)))
    staged = [engine.stage(before, 8, iter([plain_batch(vectors(5), first_id=3)]))]
    after = replace(before, version=engine.publish(before, 8, 1, staged).version)
    manifest = folder(tmp_path, before) / manifest_name(after.version)
    manifest.write_bytes(manifest.read_bytes()[:kept])

    fresh = LanceEngine(str(tmp_path))
    with pytest.raises(StorageError):
        fresh.count(after)
    said = fresh.repair(after)
    assert len(said) == 2
    assert "unreadable" in said[0]
    assert "publish again" in said[1]
    assert not manifest.exists()
    assert len(list((tmp_path / "_quarantine" / before.id).iterdir())) == 1
    assert fresh.count(before) == 3
    again = fresh.publish(before, 8, 2, staged)
    assert fresh.count(replace(before, version=again.version)) == 8
    assert fresh.repair(replace(before, version=again.version)) == []


def test_nothing_is_moved_where_no_version_is_readable(engine: LanceEngine, tmp_path: Path) -> None:
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(3)))
    manifests = list(folder(tmp_path, table).glob("_versions/*.manifest"))
    for manifest in manifests:
        manifest.write_bytes(b"")
    with pytest.raises(StorageError):
        LanceEngine(str(tmp_path)).repair(table)
    assert all(manifest.exists() for manifest in manifests)


def test_a_lost_table_is_told(engine: LanceEngine) -> None:
    table = new_table(engine)
    engine.drop(table.id)
    [said] = engine.repair(table)
    assert "no version of it" in said


def test_a_broken_index_is_dropped_and_built_again(engine: LanceEngine, tmp_path: Path) -> None:
    spec = IndexSpec(name="n", field_name="number")
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(12_000)))
    table = replace(table, version=engine.index(table, [spec]))
    for path in folder(tmp_path, table).glob("_indices/*/*"):
        path.write_bytes(b"")
    fresh = LanceEngine(str(tmp_path))
    [said] = fresh.repair(table)
    assert "number.index" in said
    assert fresh.count(table) == 12_000
    table = replace(table, version=fresh.index(table, [spec]))
    assert fresh.indexed_rows(table, spec) == 12_000
