"""Find orphan files of a table: what a process had written when it was killed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.lance.maintenance.expire_versions import referenced_by
from penstock.engines.lance.write.staging import file_sizes
from penstock.engines.values import Staged, Table

_DATA, _DELETIONS, _INDEXES = "data", "_deletions", "_indices"


def orphans(store: TableRoot, table: Table, known: Sequence[Staged], age: float) -> Staged | None:
    doing = f"looking for orphans of the table {table.id}"
    files = store.files(table.id)
    with translating_errors(doing, store.options):
        data = files.older_than(_DATA, age)
        deletions = files.older_than(_DELETIONS, age)
        indexes = _whole_folders(files.older_than(_INDEXES, age), files.names(_INDEXES))
    for name in file_sizes(known):
        data.pop(name, None)
    if not data and not deletions and not indexes:
        return None
    # Opened after the listing, so that it has what was published or built meanwhile.
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        # Older versions may reference what a compaction or a new index took out of the newest.
        references = referenced_by(dataset)
    sizes_by_name = {name: size for name, size in data.items() if name not in references.data}
    sizes_by_name |= {name: size for name, size in deletions.items() if name not in references.deletions}
    for folder, sizes in indexes.items():
        if folder not in references.indexes:
            sizes_by_name |= sizes
    return Staged(rows=0, size=sum(sizes_by_name.values()), note={"files": sizes_by_name}) if sizes_by_name else None


def _whole_folders(old: Mapping[str, int], present: Sequence[str]) -> dict[str, dict[str, int]]:
    """The index folders of which every file is old: a build writes several files, one after the other."""
    recent = {_folder(name) for name in present if name not in old}
    folders: dict[str, dict[str, int]] = {}
    for name, size in old.items():
        if _folder(name) not in recent:
            folders.setdefault(_folder(name), {})[name] = size
    return folders


def _folder(name: str) -> str:
    return name.split("/")[1]
