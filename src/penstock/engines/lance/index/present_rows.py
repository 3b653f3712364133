"""Count the rows that have a value of a nullable vector field: an index is trained on these alone."""

from __future__ import annotations

from lance.dataset import LanceDataset
from lance.fragment import LanceFragment

from penstock.domain.schema import Field
from penstock.engines.lance.index.mapping import LEAST_VECTOR_BYTES, vector_bytes
from penstock.engines.lance.layout.names import quoted

_counts: dict[tuple[str, str, str], int] = {}
"""Rows by table, field and a fragment's files, which never change: counting reads the vectors."""
_MAX_CACHED_COUNTS = 10_000


def present_rows(dataset: LanceDataset, field: Field, rows: int) -> int:
    """How many of the table's ``rows`` have a value of a field; all of them where that makes no difference."""
    if not (field.nullable and field.type.is_dense_vector) or vector_bytes(field, rows) < LEAST_VECTOR_BYTES:
        return rows
    return sum(_present_in(dataset, fragment, field) for fragment in dataset.get_fragments())


def _present_in(dataset: LanceDataset, fragment: LanceFragment, field: Field) -> int:
    metadata = fragment.metadata
    key = (dataset.uri, field.name, f"{[file.path for file in metadata.files]} {fragment.deletion_file()}")
    count = _counts.get(key)
    if count is None:
        # A fragment that is older than the field has no file of it, and is counted without reading any.
        count = fragment.count_rows(f"{quoted(field.name)} IS NOT NULL")
        if len(_counts) >= _MAX_CACHED_COUNTS:
            _counts.clear()
        _counts[key] = count
    return count
