"""Vectors of tables, kept in memory for searches: blocks of one version each, bounded in bytes.

A search that reads them from Lance takes milliseconds of processor time before it compares the first one. A block is
read once and serves all searches of its version; a search of a newer version drops it, as do
:meth:`ResidentVectors.forget` and a quarter of an hour without a search. The least recently used blocks make room for
others.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.dataset import LanceDataset

from penstock.domain.deadline import check_deadline

_BATCH_ROWS = 8192
_BATCH_BYTES = 8 << 20
_IDLE_SECONDS = 900.0
_LEAST_COLUMN_BYTES = 4 << 20
_COLUMN_SHARE = 4
"""An output column is kept if it takes at most a quarter of the bytes of the vectors, or so many."""
_MAX_SELECTIONS = 8
_LISTED_SHARE = 4
"""Up to a quarter of the rows are listed and copied out; of more, the products of all rows cost less."""
_MAX_COUNTED = 1_000
"""Tables whose searches are counted."""
_MAX_CONDITION_LENGTH = 1_000
"""Longer conditions, with lists of values, hardly come again."""

Selection = npt.NDArray[Any]
"""Rows of a block: their positions, ascending, or a boolean for each of its rows."""

BlockKey = tuple[str, str]
"""The id of the table, and the stored name of the vector column."""


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

        ``limit`` is the most bytes that it may take beside other blocks.
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


class ResidentVectors:
    """Blocks of all tables of a process, together at most ``limit`` bytes. Thread-safe."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._blocks: OrderedDict[BlockKey, VectorBlock] = OrderedDict()
        self._passes: OrderedDict[BlockKey, tuple[int, int]] = OrderedDict()
        self._is_loading = False
        self._timer: threading.Timer | None = None

    @property
    def size(self) -> int:
        with self._lock:
            return sum(block.size for block in self._blocks.values())

    def get(self, key: BlockKey, version: int) -> VectorBlock | None:
        """The block of this version; one of an older version is dropped."""
        with self._lock:
            block = self._blocks.get(key)
            if block is None:
                return None
            if block.version < version:
                del self._blocks[key]
            if block.version != version:
                return None
            block.used = self._clock()
            self._blocks.move_to_end(key)
            return block

    def is_due(self, key: BlockKey, version: int, passes: int) -> bool:
        """Count a search of a version without a block: whether there were so many, and its vectors are to be read."""
        with self._lock:
            counted, count = self._passes.pop(key, (version, 0))
            count = count + 1 if counted == version else 1
            self._passes[key] = version, count
            while len(self._passes) > _MAX_COUNTED:
                self._passes.popitem(last=False)
            return count > passes and not self._is_loading

    def load(self, key: BlockKey, dataset: LanceDataset, primary: str, width: int) -> VectorBlock | None:
        """Read the block of a version, and keep it; None if another one is being read, or it is too large.

        Raises:
            DeadlineExceeded: the context's deadline passed meanwhile.
        """
        size = int(dataset.count_rows()) * width * 4
        with self._lock:
            if self._is_loading:
                return None
            self._is_loading = True
            self._shrink(max(self.limit - size, 0))
        try:
            block = read_block(dataset, primary, key[1], width, self.limit)
        finally:
            with self._lock:
                self._is_loading = False
                self._passes.pop(key, None)
        if block is not None:
            self._keep(key, block)
        else:
            with self._lock:  # what is too large isn't read again before the table changes
                self._passes[key] = int(dataset.version), -sys.maxsize
        return block

    def _keep(self, key: BlockKey, block: VectorBlock) -> None:
        with self._lock:
            kept = self._blocks.get(key)
            if kept is not None and kept.version > block.version:
                return
            block.used = self._clock()
            self._blocks[key] = block
            self._blocks.move_to_end(key)
            self._shrink(self.limit)
            self._schedule()

    def column(self, block: VectorBlock, dataset: LanceDataset, name: str) -> pa.Array[Any] | None:
        """:meth:`VectorBlock.column`, within the limit of all blocks."""
        column = block.column(dataset, name, self.limit - block.size)
        with self._lock:
            self._shrink(self.limit)
        return column

    def forget(self, table_id: str) -> None:
        """Drop the blocks of a table."""
        with self._lock:
            for key in [key for key in self._blocks if key[0] == table_id]:
                del self._blocks[key]

    def drop_idle(self) -> None:
        """Drop the blocks that no search has used for a quarter of an hour."""
        with self._lock:
            now = self._clock()
            for key in [key for key, block in self._blocks.items() if now - block.used >= _IDLE_SECONDS]:
                del self._blocks[key]
            self._timer = None
            self._schedule()

    def _shrink(self, limit: int) -> None:
        sizes = {key: block.size for key, block in self._blocks.items()}
        total = sum(sizes.values())
        while total > limit:
            key, _ = self._blocks.popitem(last=False)
            total -= sizes[key]

    def _schedule(self) -> None:
        if self._blocks and self._timer is None:
            self._timer = threading.Timer(_IDLE_SECONDS / 3, self.drop_idle)
            self._timer.daemon = True
            self._timer.start()


@dataclass(frozen=True, slots=True)
class TableVectors:
    """The blocks of one table, by the stored names of its vector columns: see :class:`ResidentVectors`."""

    blocks: ResidentVectors
    table_id: str

    @property
    def limit(self) -> int:
        return self.blocks.limit

    def get(self, vector: str, version: int) -> VectorBlock | None:
        return self.blocks.get((self.table_id, vector), version)

    def is_due(self, vector: str, version: int, passes: int) -> bool:
        return self.blocks.is_due((self.table_id, vector), version, passes)

    def load(self, vector: str, dataset: LanceDataset, primary: str, width: int) -> VectorBlock | None:
        return self.blocks.load((self.table_id, vector), dataset, primary, width)

    def column(self, block: VectorBlock, dataset: LanceDataset, name: str) -> pa.Array[Any] | None:
        return self.blocks.column(block, dataset, name)


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
