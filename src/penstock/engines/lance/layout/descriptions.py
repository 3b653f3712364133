"""Notes next to the tables: small texts that describe a store without the catalog.

One in each table's folder, one in the store's. Lance ignores both. A note is a file, not table metadata, where each
change would be a version that competes with those of jobs.
"""

from __future__ import annotations

from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.files import TableFiles, files_of
from penstock.engines.lance.layout.tables import TableRoot

NOTE = "penstock.json"


def note(store: TableRoot, table_id: str = "") -> bytes | None:
    """Read the note of a table or, without an id, of the store; None if there is none."""
    with translating_errors(f"reading {NOTE} of {table_id or store.root}", store.options):
        return _files(store, table_id).read(NOTE)


def save_note(store: TableRoot, content: bytes, table_id: str = "") -> None:
    with translating_errors(f"writing {NOTE} of {table_id or store.root}", store.options):
        _files(store, table_id).write(NOTE, content)


def is_in_use(store: TableRoot, table_id: str) -> bool:
    """Whether rows were written into a table: a half-created one has none."""
    with translating_errors(f"looking into the table {table_id}", store.options):
        return bool(_files(store, table_id).names("data"))


def _files(store: TableRoot, table_id: str) -> TableFiles:
    return store.files(table_id) if table_id else files_of(store.root, store.options)
