"""The vectors of one version of a table in memory, with what else a search needs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.dataset import LanceDataset

from penstock.domain.deadline import check_deadline

_BATCH_ROWS = 8192
_BATCH_BYTES = 8 << 20
_LEAST_COLUMN_BYTES = 4 << 20
_COLUMN_SHARE = 4
"""An output column is kept if it takes at most a quarter of the bytes of the vectors, or so many."""
_MAX_SELECTIONS = 8
_LISTED_SHARE = 4
"""Up to a quarter of the rows are listed and copied out; of more, the products of all rows cost less."""
_MAX_CONDITION_LENGTH = 1_000
"""Longer conditions, with lists of values, hardly come again."""

Selection = npt.NDArray[Any]
"""Rows of a block: their positions, ascending, or a boolean for each of its rows."""


@dataclass(eq=False)
class VectorBlock:
    """The rows of a table that have a vector: the vectors as 32-bit floats, the primary keys and the row addresses.

    They are in order of the addresses. ``lengths`` are those of the vectors, ``longest`` is the greatest of them,
    ``shortest`` the least but zero. Thread-safe.
    """

    version: int
    vectors: npt.NDArray[np.float32]
    keys: pa.Array[Any]
    addresses: npt.NDArray[np.uint64]
    lengths: npt.NDArray[np.float32]
    longest: float
    shortest: float
    used: float = 0.0
    _columns: dict[str, pa.Array[Any] | None] = field(default_factory=dict)
    _selections: OrderedDict[str, Selection] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def size(self) -> int:
        """Its bytes, with those that all selections may take."""
        columns = sum(column.nbytes for column in list(self._columns.values()) if column is not None)
        selections = _MAX_SELECTIONS * len(self.addresses)
        own = self.vectors.nbytes + self.keys.nbytes + self.addresses.nbytes + self.lengths.nbytes
        return own + columns + selections

    def selection(self, dataset: LanceDataset, where: str) -> Selection:
        """The rows that match a condition; ``dataset`` is the block's version."""
        with self._lock:
            selection = self._selections.get(where)
            if selection is not None:
                self._selections.move_to_end(where)
                return selection
        rows = dataset.scanner(columns=[], filter=where, with_row_address=True).to_table()
        addresses = rows["_rowaddr"].to_numpy()
        if not len(self.addresses):
            return np.empty(0, np.int32)
        places = np.minimum(np.searchsorted(self.addresses, addresses), len(self.addresses) - 1)
        selection = np.sort(places[self.addresses[places] == addresses]).astype(np.int32)
        if len(selection) * _LISTED_SHARE > len(self.addresses):
            mask = np.zeros(len(self.addresses), np.bool_)
            mask[selection] = True
            selection = mask
        if len(where) <= _MAX_CONDITION_LENGTH:
            with self._lock:
                self._selections[where] = selection
                while len(self._selections) > _MAX_SELECTIONS:
                    self._selections.popitem(last=False)
        return selection

    def column(self, dataset: LanceDataset, name: str, limit: int) -> pa.Array[Any] | None:
        """A stored column of the block's rows; None if it is too large to keep, or is read just now.

        ``limit`` is the most bytes that it may take in addition to other blocks.
        """
        with self._lock:
            if name in self._columns:
                return self._columns[name]
            self._columns[name] = None  # for the threads that ask meanwhile
        try:
            column = self._read(dataset, name, min(limit, self._column_limit))
        except BaseException:
            with self._lock:
                del self._columns[name]
            raise
        with self._lock:
            self._columns[name] = column
        return column

    @property
    def _column_limit(self) -> int:
        return max(_LEAST_COLUMN_BYTES, self.vectors.nbytes // _COLUMN_SHARE)

    def _read(self, dataset: LanceDataset, name: str, limit: int) -> pa.Array[Any] | None:
        if pa.types.is_nested(dataset.schema.field(name).type):
            return None
        chunks: list[pa.RecordBatch] = []
        size = 0
        for batch in _batches(dataset, [name]):
            check_deadline()
            size += batch.nbytes
            if size > limit:
                return None
            chunks.append(batch)
        rows = pa.Table.from_batches(chunks) if chunks else None
        if rows is None:
            return dataset.schema.empty_table()[name].combine_chunks()
        order = np.argsort(rows["_rowaddr"].to_numpy(), kind="stable")
        ordered = rows["_rowaddr"].to_numpy()[order]
        present: Any = pa.array(order[np.searchsorted(ordered, self.addresses)])
        return rows[name].combine_chunks().take(present)


def read_block(dataset: LanceDataset, primary: str, vector: str, width: int, limit: int) -> VectorBlock | None:
    """Read the vectors of a dataset; None if they, with their keys, take more than ``limit`` bytes."""
    rows = int(dataset.count_rows())
    if rows * width * 4 > limit:
        return None
    vectors = np.empty((rows, width), np.float32)
    addresses = np.empty(rows, np.uint64)
    lengths = np.empty(rows, np.float32)
    keys: list[pa.Array[Any]] = []
    end = 0
    for batch in _batches(dataset, list(dict.fromkeys([primary, vector]))):
        check_deadline()
        if batch[vector].null_count:
            batch = batch.filter(batch[vector].is_valid())
        start, end = end, end + len(batch)
        values: Any = batch[vector]
        vectors[start:end] = values.flatten().to_numpy().reshape(-1, width)
        addresses[start:end] = batch["_rowaddr"].to_numpy()
        part = vectors[start:end].astype(np.float64)
        lengths[start:end] = np.sqrt(np.einsum("ij,ij->i", part, part))
        keys.append(batch[primary])
    vectors, addresses, lengths = vectors[:end], addresses[:end], lengths[:end]
    key_type = dataset.schema.field(primary).type
    column: pa.Array[Any] = pa.chunked_array(keys, key_type).combine_chunks()
    if not np.all(addresses[1:] > addresses[:-1]):
        order: Any = np.argsort(addresses, kind="stable")
        vectors, addresses, lengths = vectors[order], addresses[order], lengths[order]
        column = column.take(order)
    nonzero = lengths[lengths > 0]
    block = VectorBlock(
        version=int(dataset.version),
        vectors=vectors,
        keys=column,
        addresses=addresses,
        lengths=lengths,
        longest=float(lengths.max(initial=0.0)),
        shortest=float(nonzero.min(initial=np.inf)),
    )
    return block if block.size <= limit else None


def _batches(dataset: LanceDataset, columns: list[str]) -> Iterator[pa.RecordBatch]:
    scanner = dataset.scanner(
        columns=columns,
        with_row_address=True,
        batch_size=_BATCH_ROWS,
        batch_size_bytes=_BATCH_BYTES,
        io_buffer_size=8 * _BATCH_BYTES,
    )
    yield from scanner.to_batches()
