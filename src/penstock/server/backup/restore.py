"""Restore a backup into an empty data dir and empty stores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from penstock.catalog.db import diagnostics
from penstock.catalog.db.connection import CatalogDatabase
from penstock.catalog.db.dialects import parse_catalog_url
from penstock.engines.lance import LanceEngine
from penstock.errors import InvalidParameter
from penstock.server.backup.copying import check_copy, io_errors, open_store, upload
from penstock.server.backup.create import CATALOG_FILES, DATA_DIR_FILES, table_root
from penstock.server.backup.manifest import BackupManifest, CatalogKind, read_manifest
from penstock.server.backup.snapshot import run_postgresql
from penstock.server.process.data_dir import lock_catalog, lock_data_dir, private_umask
from penstock.server.storage_settings import catalog_file, catalog_url, table_store
from penstock.settings import Settings

__all__ = ["restore_backup"]

_UNFINISHED = "restore.unfinished"
"""A file of the data dir until the catalog is restored, with the time of the backup: an interrupted restore of it may
be repeated. One of another backup would mix the files of both."""


def restore_backup(settings: Settings, folder: Path, report: Callable[[str], None]) -> BackupManifest:
    """Copy a backup into the data dir, the stores and the catalog of these settings, after checking each file.

    The catalog comes last: until then no server starts on the restored tables.

    Raises:
        InvalidParameter: it is not a backup, or its target is not empty.
        DataFolderInUse: a server runs on the data dir.
        StorageError: a file of the backup is missing or damaged, or can't be written.
        CatalogError: the catalog can't be written.
    """
    manifest = read_manifest(folder)
    url = parse_catalog_url(catalog_url(settings))
    kind: CatalogKind = "postgresql" if url.get_backend_name() == "postgresql" else "sqlite"
    if kind != manifest.catalog:
        raise InvalidParameter(
            f"the backup's catalog is of {manifest.catalog}, that of the settings of {kind}. Set --catalog-url to an "
            f"empty database of {manifest.catalog}" + ("" if kind == "sqlite" else ", or omit it")
        )
    failing = io_errors("restoring the backup", "run the same command again", table_store(settings))
    with failing, private_umask(), lock_data_dir(settings.data_dir), lock_catalog(url):
        _refuse_occupied(settings, manifest)
        for name, expected in manifest.files.items():
            check_copy(folder / name, name, expected)
        report(f"the backup of {manifest.created_at} is intact: {len(manifest.files):,} files")
        if _interrupted(settings) != manifest.created_at:
            _mark_unfinished(settings, manifest)
        for number, store in enumerate(manifest.stores):
            _restore_store(settings, manifest, folder, number, store)
            report(f"store {number + 1} of {len(manifest.stores)}: {table_root(settings, store).root}")
        for name in DATA_DIR_FILES:
            if name in manifest.files:
                shutil.copyfile(folder / name, settings.data_dir / name)
        os.sync()
        _restore_catalog(settings, manifest, folder)
        os.sync()
        (settings.data_dir / _UNFINISHED).unlink()
        report("catalog")
    return manifest


def _refuse_occupied(settings: Settings, manifest: BackupManifest) -> None:
    with closing(CatalogDatabase(catalog_url(settings))) as database:
        is_new = settings.catalog_url is None and not catalog_file(settings).exists()
        if not is_new and diagnostics.revision_of(database).found is not None:
            raise InvalidParameter(
                f"the catalog {database.where} exists already: a backup is never restored over another one. Name a "
                "new data dir or database"
            )
    interrupted = _interrupted(settings)
    if interrupted == manifest.created_at:
        return
    if interrupted:
        raise InvalidParameter(
            f"a restore of the backup of {interrupted} was interrupted in {settings.data_dir}, and has left files. "
            "Restore that backup again, or another one into a new data dir and empty stores",
            folder=str(settings.data_dir),
        )
    for store in manifest.stores:
        root = table_root(settings, store).root
        present = _tables(root, settings)
        if present:
            raise InvalidParameter(
                f"the store {root} has {len(present):,} tables, for example {present[0]}.lance: a backup is restored "
                "into an empty one. Name another data dir or --storage-url, or move the tables away",
                store=root,
            )


def _interrupted(settings: Settings) -> str:
    """The time of the backup whose restore was interrupted in the data dir; "" without one."""
    try:
        return (settings.data_dir / _UNFINISHED).read_text().strip()
    except FileNotFoundError:
        return ""


def _mark_unfinished(settings: Settings, manifest: BackupManifest) -> None:
    with (settings.data_dir / _UNFINISHED).open("w") as file:
        file.write(f"{manifest.created_at}\n")
        file.flush()
        os.fsync(file.fileno())


def _tables(root: str, settings: Settings) -> Sequence[str]:
    if "://" not in root and not Path(root).exists():
        return []
    return LanceEngine(root, table_store(settings)).tables()


def _restore_store(settings: Settings, manifest: BackupManifest, folder: Path, number: int, place: str) -> None:
    home = f"stores/{number}/"
    root = table_root(settings, place)
    if root.is_local:
        Path(root.root).mkdir(parents=True, exist_ok=True)
    store = open_store(root)
    for name in manifest.files:
        if name.startswith(home):
            upload(folder / name, store, name.removeprefix(home))


def _restore_catalog(settings: Settings, manifest: BackupManifest, folder: Path) -> None:
    source = folder / CATALOG_FILES[manifest.catalog]
    url = parse_catalog_url(catalog_url(settings))
    if manifest.catalog == "postgresql":
        arguments = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", str(source))
        run_postgresql("pg_restore", url, *arguments)
        return
    target = Path(url.database or "")
    temporary = target.with_name(f".{target.name}.restored")
    shutil.copyfile(source, temporary)
    temporary.chmod(0o600)
    os.sync()  # a power failure leaves no catalog, or a whole one
    temporary.replace(target)
