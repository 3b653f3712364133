"""Create a backup, of a running server or a stopped one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from penstock.catalog.db import diagnostics
from penstock.catalog.db.connection import CatalogDatabase
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.layout.tables import TableCache, TableRoot, manifest_name
from penstock.engines.values import Table
from penstock.errors import InvalidParameter, StorageError, TableDamaged
from penstock.server.backup.copying import describe, download, io_errors, names_below, open_store
from penstock.server.backup.manifest import (
    MANIFEST,
    BackedUpFile,
    BackedUpTable,
    BackupManifest,
    CatalogKind,
    write_manifest,
)
from penstock.server.backup.snapshot import Snapshot, TablePlace, save_catalog, take_snapshot
from penstock.server.lost_catalog import KEYS_MARKER
from penstock.server.process.data_dir import private_umask
from penstock.server.storage_settings import catalog_file, catalog_url, table_store
from penstock.settings import Settings
from penstock.version import package_version

__all__ = ["CATALOG_FILES", "create_backup", "table_root"]

CATALOG_FILES: Mapping[CatalogKind, str] = {"sqlite": "catalog.db", "postgresql": "catalog.dump"}
DATA_DIR_FILES = ("secret.key", KEYS_MARKER)
_STORE_NOTE = "penstock.json"
_ATTEMPTS = 3
"""Files of a version may expire while they are copied; the next attempt copies only what the ones before have not."""
_ANY_SCHEMA = CollectionSchema(fields=(Field(name="id", type=DataType.INT64, primary=True),))

Report = Callable[[str], None]


def create_backup(settings: Settings, folder: Path, report: Report) -> BackupManifest:
    """Back up catalog, tables and key into a new folder. ``report`` gets a line per step.

    Raises:
        InvalidParameter: the folder is not empty, or there is no catalog of this version.
        CatalogError, StorageError: something can't be read; the message says what.
    """
    kind: CatalogKind
    failing = io_errors(f"backing up into {folder}", "back up into a new folder", table_store(settings))
    with failing, private_umask(), closing(CatalogDatabase(catalog_url(settings))) as database:
        kind = "postgresql" if database.is_shared else "sqlite"
        _check_catalog(settings, database)
        _make_folder(folder)
        stores = [""]
        files: dict[str, BackedUpFile] = {}
        for attempt in range(1, _ATTEMPTS + 1):
            with take_snapshot(database, lambda store: table_root(settings, store)) as taken:
                created_at = datetime.now(UTC).isoformat(timespec="seconds")
                (folder / CATALOG_FILES[kind]).unlink(missing_ok=True)
                save_catalog(database, taken, folder / CATALOG_FILES[kind])
            stores += sorted({place.store for place in taken.places}.difference(stores))
            report(f"catalog: {(folder / CATALOG_FILES[kind]).stat().st_size:,} bytes, {len(taken.places)} tables")
            for number, place in enumerate(taken.places, 1):
                copied = _copy_table(settings, taken, place, folder, stores, files)
                report(f"table {number} of {len(taken.places)}: {place.id}, {copied:,} bytes")
            problem = _incomplete(taken, folder, stores)
            if problem is None:
                break
            report(f"{problem}: it changed while it was copied; attempt {attempt} of {_ATTEMPTS}")
        if problem is not None:
            raise StorageError(
                f"The backup is incomplete: {problem} after {_ATTEMPTS} attempts. If the table is intact ('penstock "
                "doctor'), its versions expired faster than they could be copied: raise old_version_retention and "
                "old_version_share, or back up while the servers are stopped"
            )
        tables = [
            BackedUpTable(id=place.id, store=place.store, version=taken.versions[place.id])
            for place in taken.places
            if place.id in taken.versions
        ]
        kept = _drop_unreferenced(folder, stores, tables, files)
        kept |= _copy_small_files(settings, folder, stores)
        kept[CATALOG_FILES[kind]] = describe(folder / CATALOG_FILES[kind])
        manifest = BackupManifest(
            created_at=created_at,
            penstock_version=package_version(),
            revision=taken.revision,
            catalog=kind,
            stores=stores,
            tables=tables,
            files=kept,
        )
        os.sync()
        write_manifest(folder, manifest)
    return manifest


def table_root(settings: Settings, store: str) -> TableRoot:
    """The tables of a store: of a cluster's, or with ``""`` of the server's own."""
    root = store or settings.storage_url or str(settings.data_dir.resolve() / "collections")
    return TableRoot(root, table_store(settings), TableCache(is_remote="://" in root))


def _check_catalog(settings: Settings, database: CatalogDatabase) -> None:
    if settings.catalog_url is None and not catalog_file(settings).exists():
        raise InvalidParameter(
            f"{settings.data_dir} has no catalog: there is nothing to back up. Set the data dir of the server with "
            "--data-dir, or its catalog with --catalog-url",
            folder=str(settings.data_dir),
        )
    revision = diagnostics.revision_of(database)
    if revision.found != revision.head:
        raise InvalidParameter(
            f"the catalog {database.where} is at revision {revision.found}, this program's is {revision.head}. "
            "Back up with the version of Penstock that wrote it"
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = next(folder.iterdir(), None)
    except OSError as error:
        raise InvalidParameter(
            f"the folder {folder} cannot be used: {error.strerror}. Name another one", folder=str(folder)
        ) from error
    if occupied is not None:
        state = "a backup" if (folder / MANIFEST).exists() else f"{occupied.name} and maybe more"
        raise InvalidParameter(
            f"the folder {folder} has {state} in it. Name a new folder for each backup", folder=str(folder)
        )


def _copy_table(
    settings: Settings,
    taken: Snapshot,
    place: TablePlace,
    folder: Path,
    stores: Sequence[str],
    files: dict[str, BackedUpFile],
) -> int:
    """Copy the files of a table, but the manifests of later versions; returns the bytes copied now.

    A file may vanish before it is copied. Whether the version needs it is checked afterwards.
    """
    version = taken.versions.get(place.id)
    if version is None:
        return 0
    store = open_store(table_root(settings, place.store))
    home = f"stores/{stores.index(place.store)}"
    oldest_kept = manifest_name(version)
    copied = 0
    for name in names_below(store, f"{place.id}.lance"):
        within = name.partition("/")[2]
        # Later versions have lower numbers. Other names there are temporary files.
        if within.startswith("_versions/") and not (within >= oldest_kept and within.endswith(".manifest")):
            continue
        target = f"{home}/{name}"
        # Lance never changes a file; only the note of the table is rewritten.
        if target in files and not name.endswith(f"/{_STORE_NOTE}"):
            continue
        try:
            files[target] = download(store, name, folder / target)
        except FileNotFoundError:
            continue
        copied += files[target].size
    return copied


def _incomplete(taken: Snapshot, folder: Path, stores: Sequence[str]) -> str | None:
    """Why the copies are no consistent backup, or None: a table's version or a job's staged files are incomplete."""
    for place in taken.places:
        if place.id not in taken.versions:
            continue
        home = folder / f"stores/{stores.index(place.store)}"
        try:
            problems = LanceEngine(str(home)).damage(Table(id=place.id, schema=_ANY_SCHEMA))
        except TableDamaged as error:
            return error.message
        for name, problem in problems.items():
            return f"the file {name} of table {place.id} {problem}"
        table = home / f"{place.id}.lance"
        for name in taken.staged.get(place.id, ()):
            if not (table / name).exists():
                return f"the staged file {name} of table {place.id} is missing"
    return None


def _drop_unreferenced(
    folder: Path, stores: Sequence[str], tables: Sequence[BackedUpTable], files: Mapping[str, BackedUpFile]
) -> dict[str, BackedUpFile]:
    """Delete what an earlier attempt copied and the last snapshot doesn't have; returns the other files."""
    kept: dict[str, BackedUpFile] = {}
    versions = {f"stores/{stores.index(table.store)}/{table.id}.lance": table.version for table in tables}
    for name, file in files.items():
        store, number, table_folder, *rest = name.split("/")
        table = f"{store}/{number}/{table_folder}"
        within = "/".join(rest)
        later = within.startswith("_versions/") and table in versions and within < manifest_name(versions[table])
        if table in versions and not later:
            kept[name] = file
        else:
            (folder / name).unlink(missing_ok=True)
    return kept


def _copy_small_files(settings: Settings, folder: Path, stores: Sequence[str]) -> dict[str, BackedUpFile]:
    """Copy the stores' notes, the key and the marker that keys exist."""
    copied = {}
    for number, place in enumerate(stores):
        name = f"stores/{number}/{_STORE_NOTE}"
        try:
            copied[name] = download(open_store(table_root(settings, place)), _STORE_NOTE, folder / name)
        except FileNotFoundError:
            continue
    for name in DATA_DIR_FILES:
        if (settings.data_dir / name).exists():
            shutil.copyfile(settings.data_dir / name, folder / name)
            copied[name] = describe(folder / name)
    return copied
