"""The values that engines take and return: tables, staged files, publications, searches, snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.domain.collections import Collection
from penstock.domain.expiry import Expiry
from penstock.domain.index import Bm25Params, Metric
from penstock.domain.schema import CollectionSchema
from penstock.filters import Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The table of a collection: its id, its schema, and the lowest version that a reader may open.

    Reads skip the rows that are expired by ``expiry``.
    """

    id: str
    schema: CollectionSchema
    version: int = 1
    expiry: Expiry | None = None

    @classmethod
    def of(cls, collection: Collection, expiry: Expiry | None = None) -> Table:
        return cls(id=collection.id, schema=collection.schema, version=collection.version, expiry=expiry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """The staged files of one split: ``rows``, ``size`` in stored bytes, the engine's opaque JSON note of them."""

    rows: int
    size: int
    note: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The version of the table that shows the job's rows, the number of these, and of the rows that they replaced.

    ``replaced`` is None where the history of the table that recorded it is gone.
    """

    version: int
    rows: int
    replaced: int | None = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A job to publish: what it has staged, and its epoch. ``intent_version``: it is in no version up to this one.

    ``own_intent``: the caller wrote the intent itself, after it had opened the table at the catalog's version or a
    later one. What was opened isn't lost to a power failure, so the table's history shows whether another process has
    published the job since, without a scan of its rows.
    """

    job_id: int
    epoch: int
    intent_version: int
    staged: Sequence[Staged]
    own_intent: bool = False

    @property
    def rows(self) -> int:
        return sum(split.rows for split in self.staged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverted:
    """The version of the table without the job's rows, the number of these, and of the rows that came back."""

    version: int
    removed: int
    restored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """What the revert of a job needs to know.

    ``published`` is what its publish returned. ``partitions`` are the numbers of the collection's partitions: rows
    of others don't come back. ``missing`` of its rows may be missing: they expired, or went with their partition.
    """

    published: Published
    partitions: Sequence[int]
    missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateKey:
    """A key that two staged rows of a job have; ``rows`` are their numbers among all of its rows, from 0."""

    key: int | str
    rows: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """Nearest neighbours of ``queries``: a (n, width) array for dense vectors, a list of index→value maps for sparse.

    For BM25 the maps are term vectors; the statistics are those of all rows that aren't expired. Binary queries are
    uint8 of dim / 8 bytes. ``radius`` and ``range_filter`` bound the score as Milvus does; found
    rows are farther than the score ``beyond``. ``exact``: search without an index. ``max_bytes`` is the most that the
    rows of all queries may take together.
    """

    field_name: str
    queries: npt.NDArray[Any] | Sequence[Mapping[int, float]]
    metric: Metric
    limit: int
    offset: int = 0
    filter: Filter | None = None
    partitions: Sequence[int] | None = None
    columns: Sequence[str] = ()
    radius: float | None = None
    range_filter: float | None = None
    beyond: float | None = None
    exact: bool = False
    max_bytes: int | None = None
    bm25: Bm25Params = field(default_factory=Bm25Params)
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryHits:
    """The answer to one query vector: canonical rows, nearest first, and their scores on Milvus's scale."""

    rows: pa.Table
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceNeeds:
    """The maintenance that is due for a version of a table: index builds, compaction, optimization of indexes.

    ``memory`` are the bytes that the index builds and trainings take, roughly.
    """

    version: int
    index: bool
    compaction: bool
    optimization: bool
    memory: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedBuild:
    """A large index to build by several tasks: one that trains it, then one for each of ``groups`` of the rows.

    ``training_memory`` and ``group_memory`` are the bytes that a task of each takes, roughly. ``is_training``: the
    table has the index; it serves, and may be extended, until the new one takes the place of its segments
    ``replaced``. ``plan`` is the engine's own.
    """

    groups: int
    training_memory: int
    group_memory: int
    is_training: bool
    replaced: frozenset[str]
    plan: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltGroup:
    """What a group of a distributed build has become: an index of its rows that no version of the table has yet.

    ``note`` is the engine's own.
    """

    note: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TableContents:
    """What is read from a table alone. ``schema`` is the caller's, else inferred from the columns where possible.

    ``partitions`` are the numbers in its rows; ``highest_id`` is the highest auto-generated id.
    """

    schema: CollectionSchema | None
    version: int
    rows: int
    partitions: Sequence[int]
    highest_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFragment:
    """A fragment of a table: rows, stored bytes, and its rows by partition, if they were asked for."""

    id: int
    rows: int
    size: int
    partitions: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The newest version of a table, and its fragments."""

    version: int
    fragments: Sequence[SnapshotFragment]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCapabilities:
    """What an engine can do of what a collection may ask for.

    ``metrics`` are those that it can search by. ``row_expiry``: its reads skip expired rows (``Table.expiry``), so
    that collections may have a time to live.
    """

    metrics: frozenset[Metric]
    row_expiry: bool
