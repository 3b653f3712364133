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
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from lance.dataset import LanceDataset

from penstock.engines.lance.layout.vector_block import VectorBlock, read_block

_IDLE_SECONDS = 900.0
_MAX_COUNTED = 1_000
"""Tables whose searches are counted."""

BlockKey = tuple[str, str]
"""The id of the table, and the stored name of the vector column."""


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
