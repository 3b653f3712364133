"""Find files of a table that belong to nothing: what a process had written when it was killed."""

from __future__ import annotations

from collections.abc import Sequence

from lance.dataset import LanceDataset

from penstock.engines.base import Staged, Table
from penstock.engines.lance.failures import told
from penstock.engines.lance.staging import file_sizes
from penstock.engines.lance.store import Store

__all__ = ["orphans"]

_DATA = "data"


def orphans(store: Store, table: Table, known: Sequence[Staged], age: float) -> Staged | None:
    doing = f"looking for orphans of the table {table.id}"
    with told(doing, store.options):
        found = store.files(table.id).older_than(_DATA, age)
    for name in file_sizes(known):
        found.pop(name, None)
    if not found:
        return None
    # Opened after the listing: what was published meanwhile is in it.
    dataset = store.latest(table.id, doing)
    with told(doing, store.options):
        _leave_out(found, dataset)
        # Older versions may hold files that compaction took out of the newest; most tables never come here.
        for each in dataset.versions() if found else ():
            _leave_out(found, dataset.checkout_version(each["version"]))
    return Staged(rows=0, size=sum(found.values()), note={"files": found}) if found else None


def _leave_out(found: dict[str, int], dataset: LanceDataset) -> None:
    for fragment in dataset.get_fragments():
        for file in fragment.data_files():
            found.pop(f"{_DATA}/{file.path}", None)
