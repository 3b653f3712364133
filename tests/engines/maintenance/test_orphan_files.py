"""Conformance: files that a crash left are told from those that belong to somebody."""

from __future__ import annotations

from dataclasses import replace

from penstock.engines.base import MaintainableEngine
from tests.support.tables import import_rows, new_table, plain_batch, vectors

NOW = -60.0
"""An age that every file has, also on a store whose clock is a little off."""


def test_only_what_nobody_knows_is_an_orphan(stored_engine: MaintainableEngine) -> None:
    table, _ = import_rows(stored_engine, new_table(stored_engine), plain_batch(vectors(3)))
    assert stored_engine.orphans(table, [], NOW) is None
    known = stored_engine.stage(table, 2, iter([plain_batch(vectors(4))]))
    lost = stored_engine.stage(table, 3, iter([plain_batch(vectors(5))]))
    orphans = stored_engine.orphans(table, [known], NOW)
    assert orphans is not None
    assert orphans.size == lost.size
    stored_engine.discard(table.id, [orphans])
    assert stored_engine.orphans(table, [known], NOW) is None
    published = stored_engine.publish(table, 2, 1, [known])
    table = replace(table, version=published.version)
    assert stored_engine.count(table) == 7
    assert stored_engine.orphans(table, [], NOW) is None


def test_a_young_file_is_left_alone(stored_engine: MaintainableEngine) -> None:
    table = new_table(stored_engine)
    stored_engine.stage(table, 3, iter([plain_batch(vectors(5))]))
    assert stored_engine.orphans(table, [], 3600) is None


def test_what_an_older_version_shows_is_no_orphan(stored_engine: MaintainableEngine) -> None:
    table, _ = import_rows(stored_engine, new_table(stored_engine), plain_batch(vectors(3)))
    version = stored_engine.remove_partition(table, 0)
    table = replace(table, version=version)
    assert stored_engine.count(table) == 0
    assert stored_engine.orphans(table, [], NOW) is None
