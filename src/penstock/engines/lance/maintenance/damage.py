"""Find files that a table's newest version references and that are missing or cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lance.dataset import LanceDataset

from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.values import Table
from penstock.errors import TableDamaged


def damage(store: TableRoot, table: Table) -> Mapping[str, str]:
    """Describe damaged files, by their names relative to the table. Opens no file but the newest manifest."""
    doing = f"checking the files of the table {table.id}"
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        rows = _row_damage(store, table, dataset)
        return {**rows, **_index_damage(store, table, dataset)}


def refuse_damaged(store: TableRoot, table: Table) -> None:
    """Raise :class:`TableDamaged` if rows of the newest version can't be read. Indexes can be built again."""
    doing = f"checking the files of the table {table.id}"
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        problems = _row_damage(store, table, dataset)
    for name, problem in problems.items():
        raise TableDamaged(
            f"The table {table.id} is damaged: its file {name} {problem}"
            + (f", and {len(problems) - 1:,} more are damaged" if len(problems) > 1 else "")
            + ". Restore it from a backup, or drop the collection",
            table=table.id,
            file=name,
        )


def _row_damage(store: TableRoot, table: Table, dataset: LanceDataset) -> dict[str, str]:
    expected: dict[str, int | None] = {}
    for fragment in dataset.get_fragments():
        expected |= {f"data/{file.path}": file.file_size_bytes for file in fragment.data_files()}
        deletion = fragment.deletion_file()
        if deletion is not None:
            expected[deletion] = None
    present = store.files(table.id).sizes(expected)
    problems: dict[str, str] = {}
    for name, size in expected.items():
        if name not in present:
            problems[name] = "is missing"
        elif size and present[name] != size:
            problems[name] = f"has {present[name]:,} bytes instead of {size:,}"
    return problems


def _index_damage(store: TableRoot, table: Table, dataset: LanceDataset) -> dict[str, str]:
    problems: dict[str, str] = {}
    files = store.files(table.id)
    for index in dataset.describe_indices():
        for segment in index.segments:
            folder = f"_indices/{segment.uuid}"
            problem = _size_problem(list(files.sizes(files.names(folder)).values()), segment.size_bytes)
            if problem:
                problems[folder] = f"(of the index {index.name}) {problem}"
    return problems


def _size_problem(sizes: Sequence[int], expected: int | None) -> str:
    if not sizes:
        return "is missing"
    if expected and sum(sizes) != expected:
        return f"has {sum(sizes):,} bytes instead of {expected:,}"
    return ""
