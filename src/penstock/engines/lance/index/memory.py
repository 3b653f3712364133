"""The memory of index builds: how much one takes, and the sample that it is trained on in the memory that there is.

Lance reads the vectors batch by batch, and sorts them by partition on the disk: a build of 600,000 x 768 (1.8 GB)
took 740 MiB in addition to an idle process, one of 200,000 took 700, and one of 300,000 x 128 took 290. Only the
sample on which partitions are trained grows with the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from lance.dataset import LanceDataset

from penstock.domain.index import IndexSpec
from penstock.domain.schema import Field
from penstock.engines.lance.index.build import (
    ActualIndex,
    desired_indexes,
    existing_indexes,
    index_name,
    is_to_be_built,
    needs_training,
    segment_rows,
)
from penstock.engines.lance.index.mapping import GRAPH_BYTES, SAMPLE_RATE, DesiredIndex, partitions_for, vector_bytes
from penstock.engines.values import Table

_BASE, _MOST_BUFFERS = 128 << 20, 768 << 20
"""Bytes of a build of any size; of the engine's buffers while vectors are read, sorted and written."""
_GRAPH_FACTOR = 2
"""The vectors of a graph are in memory with their neighbours."""
_SAMPLE_FACTOR = 2
"""The sample is in memory as read and as trained."""


def build_memory(dataset: LanceDataset, table: Table, specs: Sequence[IndexSpec]) -> int:
    """The bytes that the largest of a table's indexes takes, while it is built or extended: one after the other."""
    rows = int(dataset.count_rows())
    existing = existing_indexes(dataset)
    most = _BASE
    for desired, target in desired_indexes(dataset, table, specs, rows):
        if target is not None and desired.is_vector:
            actual = existing.get(index_name(desired.column))
            most = max(most, _memory_of(desired, target, _rows_read(dataset, desired, target, actual, rows)))
    return most


def _rows_read(
    dataset: LanceDataset, desired: DesiredIndex, target: Field, actual: ActualIndex | None, rows: int
) -> int:
    """All rows where an index is trained; else at most those that its trained segment, the largest, doesn't have."""
    if actual is None or is_to_be_built(dataset, desired, target, actual, rows):
        return rows
    if needs_training(dataset, desired, target, actual):
        return rows
    return max(0, rows - max(segment_rows(dataset, actual), default=0))


def _memory_of(desired: DesiredIndex, target: Field, rows: int) -> int:
    size = vector_bytes(target, rows)
    buffers = min(size + size // 4, _MOST_BUFFERS)
    if desired.is_graph:
        return _BASE + buffers + _GRAPH_FACTOR * min(size, GRAPH_BYTES)
    return max(_BASE + buffers, partition_memory(target, partitions_for(desired, target, rows), rows))


def partition_memory(target: Field, partitions: int, rows: int) -> int:
    """The bytes that the training of the partitions of an index over ``rows`` rows takes."""
    return _BASE + _SAMPLE_FACTOR * min(vector_bytes(target, rows), vector_bytes(target, partitions * SAMPLE_RATE))


def group_memory(target: Field, partitions: int, rows: int) -> int:
    """The bytes that indexing a group of fragments takes, with the partitions as read and as searched."""
    return _BASE + min(vector_bytes(target, rows), _MOST_BUFFERS) + 2 * vector_bytes(target, partitions)
