"""Fragment ids are never used twice, or a late index would claim rows that it doesn't hold."""

from __future__ import annotations

from pathlib import Path

import lance

from penstock.engines.lance import LanceEngine
from penstock.engines.lance.layout.manifest import highest_fragment_id
from tests.support.tables import import_rows, new_table, plain_batch, vectors


def test_removed_fragments_keep_their_ids(tmp_path: Path) -> None:
    engine = LanceEngine(str(tmp_path))
    table = new_table(engine)
    path = tmp_path / f"{table.id}.lance"
    assert highest_fragment_id(lance.dataset(path)) == -1
    for job in range(3):
        table, _ = import_rows(engine, table, plain_batch(vectors(5), 5 * job), job=job + 1)
    assert highest_fragment_id(lance.dataset(path)) == 2
    lance.dataset(path).delete("`__job` = 3")
    assert [fragment.fragment_id for fragment in lance.dataset(path).get_fragments()] == [0, 1]
    assert highest_fragment_id(lance.dataset(path)) == 2
    table, _ = import_rows(engine, table, plain_batch(vectors(5), 20), job=4)
    assert [fragment.fragment_id for fragment in lance.dataset(path).get_fragments()] == [0, 1, 3]
    assert engine.count(table) == 15
