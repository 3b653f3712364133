"""What a vector engine offers to Penstock.

An engine keeps tables: one per collection, named by the collection's uuid, never by its name. It has a place of its
own for them; those of clusters that have a store of their own are there. Rows become visible in one step only,
:meth:`Engine.publish`; what :meth:`Engine.stage` writes belongs to a job until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.domain.collections import Collection
from penstock.domain.expiry import Expiry
from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import CollectionSchema
from penstock.filters import Filter

__all__ = [
    "Engine",
    "MaintenanceNeeds",
    "Published",
    "QueryHits",
    "SearchRequest",
    "Staged",
    "Table",
    "TableContents",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A collection's rows, for an engine: which table, of what schema, and the least version a reader may open.

    ``store`` is the place that the table is in, if it isn't the engine's own. What reads rows takes those that
    ``expiry`` says are expired as absent.
    """

    id: str
    schema: CollectionSchema
    version: int = 1
    store: str = ""
    expiry: Expiry | None = None

    @classmethod
    def of(cls, collection: Collection, expiry: Expiry | None = None) -> Table:
        return cls(
            id=collection.id,
            schema=collection.schema,
            version=collection.version,
            store=collection.store,
            expiry=expiry,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What one split wrote: ``rows``, ``size`` in stored bytes, and the engine's opaque JSON note of the files."""

    rows: int
    size: int
    note: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The table's version that shows the job's rows, and how many there are of the job."""

    version: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """Nearest neighbours of ``queries``: a (n, width) array for dense vectors, a list of index→value maps for sparse.

    Binary queries are uint8 of dim / 8 bytes. ``radius`` and ``range_filter`` bound the score as Milvus does.
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
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryHits:
    """The answer to one query vector: canonical rows, nearest first, and their scores on Milvus's scale."""

    rows: pa.Table
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceNeeds:
    """What of a table's upkeep is worth doing now: its indexes, and joining its small parts."""

    index: bool
    compaction: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TableContents:
    """What a table itself says. ``schema`` is the one given, else what its columns look like, if that can be told.

    ``partitions`` are the numbers in its rows; ``highest_id`` is the last of the ids that Penstock gave.
    """

    schema: CollectionSchema | None
    version: int
    rows: int
    partitions: Sequence[int]
    highest_id: int


class Engine(Protocol):
    @property
    def name(self) -> str:
        """What the catalog records with each collection."""
        ...

    @property
    def storage_version(self) -> str:
        """The format in which new tables are written."""
        ...

    def check(self, store: str = "", known: Sequence[str] = ()) -> None:
        """On start: whether tables can be kept in a place; leaves nothing behind.

        ``known`` are ids of tables that should be there: a place that has none of them is another one, or has
        vanished, and is left as it is.

        Raises:
            StoreError: the store is missing, refuses access, or can't keep two publishers apart.
            StoreFull, StoreUnavailable
        """
        ...

    def tables(self, store: str = "") -> list[str]:
        """The ids of the tables in a place, also of those that were left half made or half removed; sorted."""
        ...

    def note(self, table_id: str = "", store: str = "") -> bytes | None:
        """The small text that :meth:`save_note` left in a table, or without an id beside all tables of a place."""
        ...

    def save_note(self, content: bytes, table_id: str = "", store: str = "") -> None:
        """Keep a small text, durably; it goes with the table, and replaces the one before.

        Raises:
            StoreError: the table or the place isn't there.
            StoreFull, StoreUnavailable
        """
        ...

    def is_in_use(self, table_id: str, store: str = "") -> bool:
        """Whether rows were ever written into a table."""
        ...

    def read_contents(self, table_id: str, store: str = "", schema: CollectionSchema | None = None) -> TableContents:
        """Read the whole partition column of a table, and the keys where they were given by Penstock.

        Raises:
            TableDamaged
        """
        ...

    def create(self, table: Table) -> int:
        """Make an empty table and return its version. Making it again is fine.

        Raises:
            StoreError: the place isn't there (any more).
        """
        ...

    def drop(self, table_id: str, store: str = "") -> None:
        """Remove the table and all its files; a table that isn't there is fine."""
        ...

    def stage(self, table: Table, job_id: int, batches: Iterator[pa.RecordBatch]) -> Staged:
        """Write canonical batches (``canonical_schema``) durably and invisibly. Runs in a worker.

        Raises:
            StoreFull, StoreUnavailable, StoreError: nothing of this call is left visible.
        """
        ...

    def publish(self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged]) -> Published:
        """Make all staged rows of a job visible at once, exactly once, durably.

        Calling it again after success finds the job in the table and changes nothing.

        Raises:
            StoreConflict: another publisher was faster too often; try again.
            StoreError: a staged file is missing or has another size.
            TableDamaged: files of the table are missing, or none of its versions can be opened.
            JobWithdrawn: :meth:`withdraw` came before.
        """
        ...

    def withdraw(self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged]) -> Published | int:
        """Keep a job from ever publishing under its present intent; returns the table's version that says so.

        From ``table.version``, the intent's, on. A process that stalls in :meth:`publish` is refused when it goes on.
        Reads no rows, so that it also serves a damaged table. Where the job is published already, that is returned
        instead, and nothing changes.

        Raises:
            TableDamaged: no version can be opened; whether the job is published can't be known.
            StoreError, StoreUnavailable
        """
        ...

    def refuse_damaged(self, table: Table) -> None:
        """Raise TableDamaged where the newest version lacks files of rows; opens none of them."""
        ...

    def damage(self, table: Table) -> Mapping[str, str]:
        """What is wrong with which file of the newest version, indexes among them; opens none of them.

        Raises:
            TableDamaged: no version can be opened.
        """
        ...

    def discard(self, table_id: str, staged: Sequence[Staged], store: str = "") -> None:
        """Delete staged files by name. Files already gone are fine."""
        ...

    def orphans(self, table: Table, known: Sequence[Staged], age: float) -> Staged | None:
        """Files that a crash left: older than ``age`` seconds, of no version, and not of the ``known`` staged ones.

        In the shape that :meth:`discard` takes; None where there are none. Ask only while no job stages or publishes,
        and nobody builds an index or compacts.
        """
        ...

    def count(self, table: Table, filter: Filter | None = None, partitions: Sequence[int] | None = None) -> int: ...

    def query(
        self,
        table: Table,
        *,
        filter: Filter | None = None,
        partitions: Sequence[int] | None = None,
        columns: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> pa.Table:
        """Rows in canonical types, ordered by primary key. ``columns`` may hold field names and ``$meta``."""
        ...

    def search(self, table: Table, request: SearchRequest) -> list[QueryHits]:
        """One :class:`QueryHits` per query. Rows not yet indexed are found; a filter or partition never loses
        rows."""
        ...

    def remove_partition(self, table: Table, partition: int) -> int:
        """Delete a partition's rows; returns the table's version after it. A partition without rows is fine."""
        ...

    def remove_expired(self, table: Table) -> int:
        """Delete the rows that ``table.expiry`` hides; returns the table's version after it.

        Only of the rows that the version ``table.version`` has: a job that commits meanwhile isn't in the expiry.

        Raises:
            StoreConflict: others kept changing the table; try again later.
        """
        ...

    def due(self, table: Table, specs: Sequence[IndexSpec]) -> MaintenanceNeeds:
        """What :meth:`index` and :meth:`compact` would do. Cheap: asked after each job."""
        ...

    def index(self, table: Table, specs: Sequence[IndexSpec], progress: Callable[[float], None] = ...) -> int:
        """Bring the table's indexes up to date with its rows and ``specs``; returns the table's version after it.

        ``progress`` is called, maybe from another thread, with the share that is done, from 0 to 1; it never falls.
        """
        ...

    def compact(self, table: Table) -> int:
        """Join small parts of the table where there are many; returns the table's version after it.

        Safe beside everything else: rows, indexes and who published them stay as they are.

        Raises:
            StoreConflict: others kept changing the table; nothing is lost, try again later.
        """
        ...

    def expire_versions(self, table: Table, age: float, share: float | None = None, least_age: float = 0.0) -> int:
        """Remove old versions of the table, and what only they hold; returns the bytes freed.

        Only versions before ``table.version`` that were superseded more than ``age`` seconds ago; where old versions
        hold more than ``share`` of the live bytes, more than ``least_age`` seconds ago. Calls that still read one are
        done again. Staged files are never touched. Call it only while no job stands between its intent and its
        commit: its traces are in them.
        """
        ...

    def indexed_rows(self, table: Table, spec: IndexSpec) -> int:
        """How many rows the index covers; all of them where the engine searches the field exactly by policy."""
        ...

    def index_is_due(self, table: Table, spec: IndexSpec) -> bool:
        """Whether :meth:`index` would build or extend this index; False where an exact search serves by policy."""
        ...

    def repair(self, table: Table) -> list[str]:
        """On start: set aside what a power loss left unreadable; returns what was done, in words."""
        ...
