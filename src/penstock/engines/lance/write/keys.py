"""Find rows by the keys of staged rows: rows of the table that have them, and staged rows with the same key.

Keys are compared by Arrow's hash joins, which are exact for integers and strings. Both sides are read in chunks: each
of the staged keys is joined with each of the table's, or of all staged keys. So memory is bounded by
:data:`_CHUNK_BYTES`, whatever the number of keys, and the table's keys are read once per chunk of staged ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from lance.dataset import LanceDataset
from lance.file import LanceFileReader
from lance.fragment import FragmentMetadata

from penstock.domain.expiry import Expiry
from penstock.engines.lance.layout.encoding import JOB_COLUMN
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.names import stored_name
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.lance.write.deletions import Mask, RowMasks, addresses_of
from penstock.engines.lance.write.staging import fragments
from penstock.engines.values import DuplicateKey, Staged, Table

_CHUNK_BYTES = 32 << 20
"""Bytes of a chunk; its hash table takes a few times as much."""
_BATCH_ROWS = 1 << 16
_KEY, _ROW, _KEPT = "key", "row", "kept"


@dataclass(frozen=True)
class StagedKeys:
    """The keys of staged fragments, in their order: read from the files again for each pass."""

    store: TableRoot
    table: Table
    fragments: Sequence[FragmentMetadata]

    @property
    def rows(self) -> int:
        return sum(int(fragment.physical_rows) for fragment in self.fragments)

    def chunks(self) -> Iterator[pa.Table]:
        """Chunks of the keys, and of the rows' numbers among all staged ones."""
        return _chunks(self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        start = 0
        for fragment in self.fragments:
            # The first file is the one that was staged; others have defaults of fields that were added since.
            reader = LanceFileReader(
                f"{self.store.uri(self.table.id)}/data/{fragment.files[0].path}",
                storage_options=self.store.options or None,
                columns=[_key_column(self.table)],
            )
            for batch in reader.read_all(batch_size=_BATCH_ROWS).to_batches():
                rows = pa.array(np.arange(start, start + len(batch), dtype=np.int64))
                yield pa.RecordBatch.from_arrays([batch.column(0), rows], names=[_KEY, _ROW])
                start += len(batch)


def find_duplicate(store: TableRoot, table: Table, staged: Sequence[Staged]) -> DuplicateKey | None:
    with translating_errors("comparing the keys of a job's rows", store.options):
        keys = StagedKeys(store, table, fragments(staged))
        duplicates = [
            rows.take([pc.index(rows[_ROW], pc.min(rows[_ROW])).as_py()]).to_pylist()[0]
            for rows in _same_keys(keys, "min")
            if len(rows)
        ]
    if not duplicates:
        return None
    first = min(duplicates, key=lambda row: int(row[_ROW]))
    return DuplicateKey(key=first[_KEY], rows=(first[_KEPT], first[_ROW]))


def superfluous_rows(keys: StagedKeys, *, keep_last: bool) -> list[Mask] | None:
    """For each staged fragment the rows with a key that a later row has, or an earlier one; None if no row has."""
    mask: Mask | None = None
    for rows in _same_keys(keys, "max" if keep_last else "min"):
        if len(rows):
            mask = np.zeros(keys.rows, np.bool_) if mask is None else mask
            mask[rows[_ROW].to_numpy()] = True
    sizes = [int(fragment.physical_rows) for fragment in keys.fragments]
    return None if mask is None else np.split(mask, np.cumsum(sizes)[:-1])


def _same_keys(keys: StagedKeys, kept: Literal["min", "max"]) -> Iterator[pa.Table]:
    """Rows that have the key of a later row ("max" is kept), or of an earlier one, and the number of that one."""
    for chunk in keys.chunks():
        best = chunk.group_by(_KEY).aggregate([(_ROW, kept)]).rename_columns([_KEY, _KEPT])
        if len(best) == keys.rows:
            return  # all keys are different
        for rows in keys.chunks():
            joined = rows.join(best, _KEY, join_type="inner")
            is_other = pc.less if kept == "max" else pc.greater
            yield joined.filter(is_other(joined[_ROW], joined[_KEPT]))


def rows_with_keys(dataset: LanceDataset, table: Table, keys: StagedKeys) -> tuple[RowMasks, int]:
    """The table's rows that have one of the keys, and how many of them aren't expired."""
    masks, visible = RowMasks(dataset), 0
    column = _key_column(table)
    for chunk in keys.chunks():
        scan = dataset.scanner(columns=[column, JOB_COLUMN], with_row_address=True, batch_size=_BATCH_ROWS)
        for rows in _chunks(scan.to_batches()):
            for batch in rows.join(chunk.select([_KEY]), column, _KEY, join_type="left semi").to_batches():
                is_new = masks.add(addresses_of(batch))  # several chunks may have the same key
                visible += count_visible(batch.column(JOB_COLUMN).to_numpy()[is_new], table.expiry)
    return masks, visible


def count_visible(jobs: npt.NDArray[np.int64], expiry: Expiry | None) -> int:
    """How many rows that these jobs wrote aren't expired."""
    if expiry is None:
        return len(jobs)
    return int(np.count_nonzero((jobs >= expiry.before) | np.isin(jobs, expiry.late)))


def _key_column(table: Table) -> str:
    return stored_name(table.schema.primary.name)


def _chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    chunk: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        chunk.append(batch)
        size += batch.nbytes
        if size >= _CHUNK_BYTES:
            yield pa.Table.from_batches(chunk)
            chunk, size = [], 0
    if chunk:
        yield pa.Table.from_batches(chunk)
