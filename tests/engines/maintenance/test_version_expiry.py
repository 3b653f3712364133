"""Conformance: old versions go by age, with what only they name; nothing else does."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.domain.index import IndexSpec, Metric
from penstock.engines.base import MaintainableEngine
from penstock.engines.lance.layout.files import LocalFiles
from penstock.engines.values import SearchRequest, Table
from penstock.filters import parse
from tests.support.tables import import_rows, new_table, plain, plain_batch, vectors

NOW = -60.0
HOUR = 3600.0
NUMBER = IndexSpec(name="n", field_name="number", type="STL_SORT")


def busy_table(engine: MaintainableEngine, jobs: int = 10) -> Table:
    table = new_table(engine)
    for job in range(jobs):
        table, _ = import_rows(engine, table, plain_batch(vectors(5), 5 * job))
    return replace(table, version=engine.compact(table))


def folder_of(folder: Path, table: Table) -> Path:
    return folder / "store" / f"{table.id}.lance"


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_only_old_versions_name_goes(stored_engine: MaintainableEngine) -> None:
    table = busy_table(stored_engine)
    rows = stored_engine.query(table, columns=["vector"])
    assert stored_engine.expire_versions(table, NOW) > 0
    assert stored_engine.expire_versions(table, NOW) == 0
    assert stored_engine.query(table, columns=["vector"]).equals(rows)
    table, _ = import_rows(stored_engine, table, plain_batch(vectors(5), 1000))
    assert stored_engine.count(table) == 55
    assert stored_engine.orphans(table, [], NOW) is None


def test_disk_space_comes_back(engine: MaintainableEngine, tmp_path: Path) -> None:
    table = new_table(engine)
    table, _ = import_rows(engine, table, plain_batch(vectors(12_000)))
    for spec in (NUMBER, replace(NUMBER, type="BITMAP"), NUMBER):
        table = replace(table, version=engine.index(table, [spec]))
    home = folder_of(tmp_path, table)
    assert len(files_in(home / "_indices")) == 3
    engine.expire_versions(table, NOW)
    assert len(files_in(home / "_indices")) == 1
    assert len(list((home / "_versions").glob("*.manifest"))) == 1
    assert len(files_in(home / "_transactions")) == 1
    assert engine.indexed_rows(table, NUMBER) == 12_000


def test_an_age_counts_from_when_a_version_was_superseded(engine: MaintainableEngine, tmp_path: Path) -> None:
    """The last version but one may be years old, and still have been read a minute ago."""
    table = busy_table(engine)
    manifests = sorted((folder_of(tmp_path, table) / "_versions").glob("*.manifest"))
    for manifest in manifests[1:]:
        os.utime(manifest, (0, 0))
    data = files_in(folder_of(tmp_path, table) / "data")
    engine.expire_versions(table, HOUR)
    assert sorted((folder_of(tmp_path, table) / "_versions").glob("*.manifest")) == manifests[:2]
    assert files_in(folder_of(tmp_path, table) / "data") == data
    os.utime(manifests[0], (0, 0))
    engine.expire_versions(table, HOUR)
    assert len(files_in(folder_of(tmp_path, table) / "data")) == 1


def test_the_version_that_the_catalog_knows_stays(engine: MaintainableEngine) -> None:
    """A process may have compacted and died before the catalog knew; readers still open the version before."""
    table = busy_table(engine)
    earlier = replace(table, version=table.version - 4)
    engine.expire_versions(earlier, NOW)
    assert engine.count(earlier) == 50
    assert engine.expire_versions(table, NOW) > 0


def test_an_open_reader_outlives_a_compaction_within_the_age(engine: MaintainableEngine) -> None:
    table = new_table(engine)
    for job in range(10):
        table, _ = import_rows(engine, table, plain_batch(vectors(5), 5 * job))
    rows = engine.query(table, columns=["vector"])
    newest = replace(table, version=engine.compact(table))
    engine.expire_versions(newest, HOUR)
    assert engine.query(table, columns=["vector"]).equals(rows)


def test_old_versions_that_hold_too_much_expire_early(stored_engine: MaintainableEngine) -> None:
    table = busy_table(stored_engine)
    rows = stored_engine.query(table, columns=["vector"])
    assert stored_engine.expire_versions(table, HOUR, 1000.0, NOW) == 0  # not too much
    assert stored_engine.expire_versions(table, HOUR, 0.5, HOUR) == 0  # too much, and too young
    assert stored_engine.expire_versions(table, HOUR, 0.5, NOW) > 0
    assert stored_engine.query(table, columns=["vector"]).equals(rows)
    assert stored_engine.expire_versions(table, HOUR, 0.5, NOW) == 0


def test_no_more_expire_early_than_hold_too_much(engine: MaintainableEngine, tmp_path: Path) -> None:
    table = new_table(engine, plain(512))
    for job in range(24):
        table, _ = import_rows(engine, table, plain_batch(vectors(200, 512), 200 * job, schema=table.schema))
        table = replace(table, version=engine.compact(table))
    home = folder_of(tmp_path, table)
    engine.expire_versions(table, HOUR, 0.8, NOW)
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    live = 24 * 200 * 512 * 4
    assert 1.3 * live < size < 1.9 * live
    assert len(list((home / "_versions").iterdir())) > 1


def test_a_call_that_outlasts_its_version_is_done_again_on_the_newest(engine: MaintainableEngine) -> None:
    table = new_table(engine)
    for job in range(10):
        table, _ = import_rows(engine, table, plain_batch(vectors(5), 5 * job))
    request = SearchRequest(field_name="vector", queries=vectors(1), metric=Metric.L2, limit=50)
    condition = parse("number >= 0", table.schema)

    def answers() -> list[object]:
        return [
            engine.query(table, columns=["vector"]).to_pylist(),
            engine.query(table, columns=["vector"], limit=50).to_pylist(),
            engine.count(table, condition),
            engine.search(table, request)[0].rows.to_pylist(),
        ]

    before = answers()
    # Another process; this one's open handle still is of the version before.
    other: MaintainableEngine = pickle.loads(pickle.dumps(engine))
    assert other.expire_versions(replace(table, version=other.compact(table)), NOW) > 0
    assert answers() == before


def test_staged_files_are_never_touched_however_old(engine: MaintainableEngine, tmp_path: Path) -> None:
    table = new_table(engine)
    staged = engine.stage(table, 1, iter([plain_batch(vectors(5), 1000)]))
    home = folder_of(tmp_path, table)
    for path in (home / "data").iterdir():
        os.utime(path, (0, 0))
    for job in range(9):
        table, _ = import_rows(engine, table, plain_batch(vectors(5), 5 * job))
    table = replace(table, version=engine.compact(table))
    for path in (home / "_versions").iterdir():
        os.utime(path, (0, 0))
    assert engine.expire_versions(table, HOUR) > 0
    published = engine.publish(table, 1, 1, [staged])
    assert engine.count(replace(table, version=published.version)) == 50


def test_cut_off_in_the_middle_the_next_call_goes_on(
    engine: MaintainableEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = busy_table(engine)
    real = LocalFiles.delete

    def some(self: LocalFiles, names: object) -> None:
        real(self, list(names)[:3])  # type: ignore[call-overload]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LocalFiles, "delete", some)
        with pytest.raises(KeyboardInterrupt):
            engine.expire_versions(table, NOW)
    assert engine.count(table) == 50
    engine.expire_versions(table, NOW)
    home = folder_of(tmp_path, table)
    assert len(files_in(home / "data")) == 1
    assert len(list((home / "_versions").glob("*.manifest"))) == 1


def test_an_index_that_no_version_names_is_an_orphan(engine: MaintainableEngine, tmp_path: Path) -> None:
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(12_000)))
    table = replace(table, version=engine.index(table, [NUMBER]))
    assert engine.orphans(table, [], NOW) is None
    [real] = (folder_of(tmp_path, table) / "_indices").iterdir()
    lost = real.with_name("00000000-0000-4000-8000-000000000000")
    lost.mkdir()
    (lost / "page_data.lance").write_bytes(b"half an index")
    orphans = engine.orphans(table, [], NOW)
    assert orphans is not None
    assert orphans.size == 13
    engine.discard(table.id, [orphans])
    assert not lost.exists()
    assert engine.indexed_rows(table, NUMBER) == 12_000


def test_rows_that_went_with_their_partition_stay_gone(engine: MaintainableEngine) -> None:
    """A job's commit landed, its partition was dropped: its transaction is kept while it recovers, and says so."""
    table = new_table(engine)
    staged = engine.stage(table, 1, iter([plain_batch(vectors(5), partitions=7)]))
    engine.publish(table, 1, 1, [staged])
    version = engine.remove_partition(table, 7)
    newest = replace(table, version=engine.compact(replace(table, version=version)))
    assert engine.publish(table, 1, 2, [staged]).version < version
    assert engine.count(newest) == 0


def test_a_vector_index_of_an_older_version_goes(engine: MaintainableEngine, tmp_path: Path) -> None:
    table, _ = import_rows(engine, new_table(engine), plain_batch(vectors(12_000)))
    spec = IndexSpec(name="v", field_name="vector", metric=Metric.L2)
    table = replace(table, version=engine.index(table, [spec, NUMBER]))
    table = replace(table, version=engine.index(table, [spec]))
    engine.expire_versions(table, NOW)
    assert not (folder_of(tmp_path, table) / "_indices").exists() or not files_in(
        folder_of(tmp_path, table) / "_indices"
    )
