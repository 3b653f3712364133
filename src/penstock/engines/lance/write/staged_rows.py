"""Count the staged rows that are in a table after their publish, by the names of their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from lance.dataset import LanceDataset
from lance.fragment import LanceFragment

from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.lance.write.deletions import live_rows
from penstock.engines.lance.write.staging import fragments
from penstock.engines.values import Staged, Table


def staged_rows(
    store: TableRoot, table: Table, staged: Sequence[Staged], runs: Sequence[Sequence[int]]
) -> list[Sequence[int] | None]:
    def read(dataset: LanceDataset) -> list[Sequence[int] | None]:
        present = {file.path: fragment for fragment in dataset.get_fragments() for file in fragment.data_files()}
        return [_rows_left(present, split, lengths) for split, lengths in zip(staged, runs, strict=True)]

    return store.read(table, f"counting published rows of the table {table.id}", read)


def _rows_left(present: Mapping[str, LanceFragment], split: Staged, lengths: Sequence[int]) -> Sequence[int] | None:
    # The first file of a fragment is the one that was staged; others have defaults of fields that were added since.
    names = [fragment.files[0].path for fragment in fragments([split])]
    if not all(name in present for name in names):
        return None
    live = np.concatenate([np.zeros(0, np.bool_), *(live_rows(present[name]) for name in names)])
    ends = np.cumsum(np.asarray(lengths, np.int64))
    counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(live)])
    rows: list[int] = (counts[ends] - counts[ends - lengths]).tolist()
    return rows
