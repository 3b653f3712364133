"""Detect a lost catalog, and whether authentication was ever required on its store.

A lost catalog comes back empty: its collections would be gone silently, and authentication off, since it has no key.
So what must outlive it is also kept in the store, next to the tables, and in the data dir.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import structlog

from penstock.catalog import Catalog
from penstock.catalog.collections.descriptions import read_description
from penstock.errors import CatalogError
from penstock.server.storage_settings import catalog_file
from penstock.settings import Settings

if TYPE_CHECKING:  # commands for keys and users load no engine
    from penstock.engines.base import MaintainableEngine

log = structlog.get_logger(__name__)

KEYS_MARKER = "keys.required"
"""A file of the data dir that exists from the first key or user on."""

_MARKER_TEXT = (
    "Keys or users were created for this server: authentication stays on even if its catalog is lost.\n"
    'Remove this file, and "keys" in penstock.json of the store, only to turn authentication off for all users of '
    "this machine.\n"
)
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreNote:
    """The note (``penstock.json``) next to the tables of a server's own store.

    ``keys``: authentication is required. ``stores``: locations of the stores of clusters that have their own.
    """

    keys: bool = False
    stores: Sequence[str] = ()


def read_store_note(engine: MaintainableEngine) -> StoreNote:
    """Read the store's note. Raises CatalogError: it can't be read, or is of a later release."""
    content = engine.note()
    if content is None:
        return StoreNote()
    try:
        note = orjson.loads(content)
        if note["format"] != _FORMAT:
            raise ValueError(f"its format is {note['format']}")
        return StoreNote(keys=bool(note["keys"]), stores=tuple(note["stores"]))
    except (ValueError, KeyError, TypeError) as error:
        raise CatalogError(
            f"penstock.json of the store cannot be read ({error}). A newer version of Penstock may have written "
            "it: start that version, or restore the file from a backup"
        ) from error


def mark_keys(folder: Path) -> None:
    """Write the marker in a data dir that authentication is required from now on."""
    marker = folder / KEYS_MARKER
    if not marker.exists():
        marker.write_text(_MARKER_TEXT)


def asks_for_keys(settings: Settings, engine: MaintainableEngine) -> bool:
    """Whether data dir or store record that keys were made, whatever the catalog contains.

    Raises:
        CatalogError, StorageUnavailable: the store's note can't be read.
    """
    return (settings.data_dir / KEYS_MARKER).exists() or read_store_note(engine).keys


def keep_marks(settings: Settings, catalog: Catalog, engine: MaintainableEngine) -> None:
    """Update the marker in the data dir and the store's note from the catalog. ``keys`` is never reset.

    Raises:
        OSError: the data dir can't be written.
        CatalogError: the catalog, or the store's note, can't be read.
        StorageError: the store can't be read or written.
    """
    has_keys = catalog.accounts.any_made()
    if has_keys:
        mark_keys(settings.data_dir)
    existing = read_store_note(engine)
    stores = tuple(sorted({cluster.store for cluster in catalog.clusters.list() if cluster.store}))
    note = StoreNote(keys=existing.keys or has_keys or (settings.data_dir / KEYS_MARKER).exists(), stores=stores)
    if note != existing:
        content = {"format": _FORMAT, "keys": note.keys, "stores": list(note.stores)}
        engine.save_note(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def refuse_lost_catalog(settings: Settings, engine: MaintainableEngine, catalog: Catalog | None, shown: str) -> None:
    """Refuse to start with an empty catalog on a store that has tables of a lost or another catalog.

    Args:
        catalog: None for one that doesn't exist yet.
        shown: the catalog, for the message.

    Raises:
        CatalogError: the catalog has no collection, and the store has tables with rows or a description.
    """
    if catalog is not None and catalog.collections.all_ids():
        return
    ids = orphaned_tables(engine, ())
    if not ids:
        return
    state = "does not exist" if catalog is None else "has no collection"
    store = settings.storage_url or str(settings.data_dir / "collections")
    raise CatalogError(
        f"the catalog {shown} {state}, but the store {store} has {len(ids):,} tables, for example {ids[0]}.lance: "
        "the catalog was lost, or belongs to another store. Restore the catalog from a backup, or set the right "
        "one with --data-dir or --catalog-url; 'penstock doctor --adopt', with the settings of the server, creates "
        "a catalog from the tables. If they are obsolete, move them away. Nothing was changed",
        store=store,
        tables=len(ids),
    )


def orphaned_tables(engine: MaintainableEngine, known: Sequence[str]) -> Sequence[str]:
    """Ids of a store's tables that are missing from the catalog, without those of unfinished creates and drops."""
    return [table_id for table_id in engine.tables() if table_id not in known and _is_whole(engine, table_id)]


def _is_whole(engine: MaintainableEngine, table_id: str) -> bool:
    content = engine.note(table_id)
    if content is None:
        return engine.is_in_use(table_id)
    try:
        return not read_description(content).dropped
    except ValueError:
        return True


def catalog_is_absent(settings: Settings) -> bool:
    """Whether opening the catalog would create it; only known of SQLite's in the data dir."""
    return settings.catalog_url is None and not catalog_file(settings).exists()
