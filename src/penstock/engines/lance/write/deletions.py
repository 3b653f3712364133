"""Mark rows of fragments as deleted, by deletion files as Lance has them.

Lance's own deletes take a predicate, which for very many rows would be as long as their list. A deletion file is an
Arrow file of the deleted rows' numbers within the fragment (Lance table format, "deletion files"), including those
that were deleted before. Here they are written for rows that were found by their addresses. A fragment of which
nothing is left takes no file: Lance drops it when it commits.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.dataset import LanceDataset
from lance.fragment import DeletionFile, FragmentMetadata, LanceFragment

from penstock.engines.lance.layout.tables import TableRoot

Mask = npt.NDArray[np.bool_]
"""One value per physical row of a fragment, deleted ones included."""

_OFFSET_BITS = 32
_OFFSETS = np.uint64((1 << _OFFSET_BITS) - 1)
_SCHEMA = pa.schema([pa.field("row_id", pa.uint32(), nullable=False)])


class RowMasks:
    """A set of rows of a table: a mask for each fragment that has any of them."""

    def __init__(self, dataset: LanceDataset) -> None:
        self._sizes = {fragment.fragment_id: int(fragment.physical_rows) for fragment in dataset.get_fragments()}
        self.by_fragment: dict[int, Mask] = {}

    def add(self, addresses: npt.NDArray[np.uint64]) -> Mask:
        """Add rows by their addresses, in any order; returns which of them are new."""
        order = np.argsort(addresses)
        addresses = addresses[order]
        is_new = np.ones(len(addresses), np.bool_)
        fragments = addresses >> np.uint64(_OFFSET_BITS)
        starts = [0, *(np.flatnonzero(np.diff(fragments)) + 1).tolist(), len(addresses)]
        for start, end in pairwise(starts):
            if start == end:
                continue
            fragment_id = int(fragments[start])
            mask = self.by_fragment.get(fragment_id)
            if mask is None:
                mask = self.by_fragment[fragment_id] = np.zeros(self._sizes[fragment_id], np.bool_)
            offsets = addresses[start:end] & _OFFSETS
            is_new[order[start:end]] = ~mask[offsets]
            mask[offsets] = True
        return is_new


def addresses_of(batch: pa.RecordBatch) -> npt.NDArray[np.uint64]:
    """The row addresses of a batch that was scanned with them."""
    column: npt.NDArray[np.uint64] = batch.column("_rowaddr").to_numpy(zero_copy_only=False)
    return column


def live_rows(fragment: LanceFragment, condition: str | None = None) -> Mask:
    """The rows of a fragment that aren't deleted; ``condition`` is SQL that selects some of them."""
    rows = int(fragment.physical_rows)
    if condition is None and fragment.metadata.deletion_file is None:
        return np.ones(rows, np.bool_)
    mask = np.zeros(rows, np.bool_)
    scanner = fragment.scanner(columns=[], filter=condition, with_row_address=True)
    for batch in scanner.to_batches():
        mask[addresses_of(batch) & _OFFSETS] = True
    return mask


class DeletionWriter:
    """Write deletion files for one attempt of a commit; ``names`` are those written, relative to the table."""

    def __init__(self, store: TableRoot, table_id: str, read_version: int) -> None:
        self._files = store.files(table_id)
        self._read_version = read_version
        self.names: list[str] = []

    def keep_only(self, fragment: FragmentMetadata, kept: Mask) -> FragmentMetadata:
        """A copy of a fragment of which only the rows ``kept`` are left; its id must be its final one."""
        changed = copy.copy(fragment)
        deleted = np.flatnonzero(~kept).astype(np.uint32)
        if len(deleted) == 0:
            changed.deletion_file = None
            return changed
        changed.deletion_file = DeletionFile(self._read_version, secrets.randbits(63), "array", len(deleted), None)
        if len(deleted) < len(kept):
            name = changed.deletion_file.path(fragment.id).removeprefix("/")
            self._files.create(name, _content(deleted))
            self.names.append(name)
        return changed

    def sync(self) -> None:
        """Make the files durable, before the commit that refers to them."""
        self._files.sync(self.names)

    def discard(self) -> None:
        """Delete the files of an attempt that was refused."""
        self._files.delete(self.names)


def without(dataset: LanceDataset, masks: Mapping[int, Mask], writer: DeletionWriter) -> Iterator[FragmentMetadata]:
    """The fragments of a table without the rows in ``masks``, by fragment."""
    for fragment in dataset.get_fragments():
        mask = masks.get(fragment.fragment_id)
        if mask is None:
            yield fragment.metadata
        elif mask.all():
            yield writer.keep_only(fragment.metadata, ~mask)
        else:
            yield writer.keep_only(fragment.metadata, live_rows(fragment) & ~mask)


def without_any(dataset: LanceDataset, writer: DeletionWriter) -> Iterator[FragmentMetadata]:
    """The fragments of a table without any of their rows."""
    for fragment in dataset.get_fragments():
        yield writer.keep_only(fragment.metadata, np.zeros(int(fragment.physical_rows), np.bool_))


def _content(deleted: npt.NDArray[np.uint32]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([pa.array(deleted)], schema=_SCHEMA))
    return sink.getvalue().to_pybytes()
