"""Quarantine what a power loss left unreadable, so that a table opens again.

Lance does not sync its manifests; a version that was not synced yet may come back empty or cut. Its rows are not
lost: the job that published it has its intent in the catalog and its files on the disk, and publishes again.
"""

from __future__ import annotations

import time
from pathlib import Path

import lance
from lance.dataset import LanceDataset

from penstock.engines.lance.layout.errors import translate, translating_errors
from penstock.engines.lance.layout.tables import TableRoot, manifest_name
from penstock.engines.values import Table
from penstock.errors import StorageError

QUARANTINE = "_quarantine"
_HINT = "_versions/latest_version_hint.json"


def repair(store: TableRoot, table: Table) -> list[str]:
    store.forget(table.id)
    messages: list[str] = []
    folder = Path(store.uri(table.id)) if store.is_local else None
    if folder is not None:
        if not any(folder.glob("_versions/*.manifest")):
            problem = f"Table {table.id}: no version of it is in the store {store.root}. "
            return [f"{problem}Restore {table.id}.lance from a backup, or drop its collection."]
        with translating_errors(f"repairing the table {table.id}", store.options):
            messages += _quarantine_manifests(store, table, folder)
    doing = f"checking the table {table.id}"
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        messages += _drop_broken_indexes(dataset, table)
        version = int(dataset.version)
    if version < table.version:
        messages.append(
            f"Table {table.id}: it is at version {version}, the catalog has version {table.version}. "
            "The jobs committed since then must publish again."
        )
    return messages


def _quarantine_manifests(store: TableRoot, table: Table, folder: Path) -> list[str]:
    """Quarantine unreadable manifests, newest first, until one opens; if none does, raise and move nothing."""
    unreadable: list[tuple[Path, StorageError]] = []
    readable: Path | None = None
    for manifest in sorted(folder.glob("_versions/*.manifest")):  # the newest has the lowest number
        error = _open_error(store, table, folder, manifest)
        if error is None:
            readable = manifest
            break
        unreadable.append((manifest, translate(error, f"opening the table {table.id}", store.options)))
    if not unreadable:
        return []
    if readable is None:
        raise unreadable[0][1]
    quarantine = Path(store.root) / QUARANTINE / table.id
    quarantine.mkdir(parents=True, exist_ok=True)
    messages = []
    for manifest, reason in unreadable:
        target = quarantine / f"{time.time_ns()}-{manifest.name}"
        manifest.rename(target)
        messages.append(
            f"Table {table.id}: version {_version(manifest)} was unreadable and was moved to {target}. ({reason})"
        )
    (folder / _HINT).unlink(missing_ok=True)
    store.files(table.id).sync([manifest_name(_version(readable))])
    return messages


def _version(manifest: Path) -> int:
    return int(2**64 - 1 - int(manifest.stem))


def _open_error(store: TableRoot, table: Table, folder: Path, manifest: Path) -> Exception | None:
    """Why a version can't be opened, or None."""
    if manifest.stat().st_size == 0:
        return ValueError("the manifest is empty")
    try:
        lance.dataset(str(folder), version=_version(manifest)).count_rows()
    except (OSError, ValueError) as error:
        return error
    return None


def _drop_broken_indexes(dataset: LanceDataset, table: Table) -> list[str]:
    messages = []
    for index in dataset.describe_indices():
        try:
            dataset.stats.index_stats(index.name)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, an index can be built again
            dataset.drop_index(index.name)
            messages.append(f"Table {table.id}: the index {index.name} was unreadable and was dropped. ({error})")
    return messages
