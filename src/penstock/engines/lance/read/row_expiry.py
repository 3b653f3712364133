"""Hide and delete rows past their time to live."""

from __future__ import annotations

from penstock.domain.expiry import Expiry
from penstock.engines.lance.layout.encoding import JOB_COLUMN
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.manifest import highest_fragment_id
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.values import Table


def not_expired(expiry: Expiry) -> str:
    """The SQL condition for rows that are not expired."""
    if not expiry.late:
        return f"`{JOB_COLUMN}` >= {expiry.before}"
    return f"(`{JOB_COLUMN}` >= {expiry.before} OR `{JOB_COLUMN}` IN ({_late(expiry)}))"


def _expired(expiry: Expiry) -> str:
    if not expiry.late:
        return f"`{JOB_COLUMN}` < {expiry.before}"
    return f"`{JOB_COLUMN}` < {expiry.before} AND `{JOB_COLUMN}` NOT IN ({_late(expiry)})"


def _late(expiry: Expiry) -> str:
    return ", ".join(map(str, expiry.late))


def remove_expired(store: TableRoot, table: Table) -> int:
    doing = f"deleting the expired rows of the table {table.id}"
    dataset = store.latest(table.id, doing)
    if table.expiry is None:
        return int(dataset.version)
    with translating_errors(doing, store.options):
        if dataset.count_rows(_expired(table.expiry)) == 0:
            return int(dataset.version)
        # A job may have been created long ago and commit just now, after the expiry was read: Lance retries
        # a delete that a publish refused, and would delete its rows. They are in fragments with higher numbers.
        last_fragment = highest_fragment_id(dataset.checkout_version(table.version))
        dataset.delete(f"{_expired(table.expiry)} AND _rowaddr < {(last_fragment + 1) << 32}")
        store.files(table.id).sync(store.files(table.id).names("_deletions"))
        store.sync_version(table.id, int(dataset.version))
    store.forget(table.id)
    return int(dataset.version)
