"""Delete a partition's rows."""

from __future__ import annotations

from penstock.domain.arrow_schema import PARTITION_COLUMN
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.values import Table


def remove_partition(store: TableRoot, table: Table, partition: int) -> int:
    doing = f"deleting the rows of partition {partition}"
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        if dataset.count_rows(f"`{PARTITION_COLUMN}` = {partition}") == 0:
            return int(dataset.version)
        # A delete marks rows and rewrites nothing; rows of later appends are not affected.
        dataset.delete(f"`{PARTITION_COLUMN}` = {partition}")
        store.files(table.id).sync(store.files(table.id).names("_deletions"))
        store.sync_version(table.id, int(dataset.version))
    store.forget(table.id)
    return int(dataset.version)
