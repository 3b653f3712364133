"""The interface of vector engines.

An engine keeps the tables of one store, a place such as a folder or a bucket: one per collection, named by the
collection's uuid, never by its name. Rows become visible in one step only, :meth:`Engine.publish`; what
:meth:`Engine.stage` writes belongs to a job until then.

:class:`Engine` is what an import target must be able to do. :class:`MaintainableEngine` adds the maintenance of
tables whose files are Penstock's own. :class:`penstock.engines.registry.EngineRegistry` returns the engine of a
collection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from penstock.domain.index import IndexSpec
from penstock.domain.schema import CollectionSchema, Field
from penstock.domain.write_modes import APPEND, WriteOptions
from penstock.engines.values import (
    BuiltGroup,
    DistributedBuild,
    DuplicateKey,
    EngineCapabilities,
    MaintenanceNeeds,
    Publication,
    Published,
    QueryHits,
    Reversal,
    Reverted,
    SearchRequest,
    Snapshot,
    Staged,
    Table,
    TableContents,
)
from penstock.errors import PenstockError
from penstock.filters import Filter


class Engine(Protocol):
    """The operations of every engine: tables of one store, staging and publishing, reading.

    An engine is picklable: workers stage with it.
    """

    @property
    def name(self) -> str:
        """The engine's name, which the catalog records with each collection."""
        ...

    @property
    def storage_version(self) -> str:
        """The file format of new tables."""
        ...

    @property
    def capabilities(self) -> EngineCapabilities:
        """What this engine can do of what a collection may ask for."""
        ...

    @property
    def maintainable(self) -> MaintainableEngine | None:
        """This engine, if its tables are Penstock's to maintain; None if it maintains them itself."""
        ...

    def check(self, known: Sequence[str] = ()) -> None:
        """Check on start that the store can hold tables; leave nothing behind.

        ``known`` are ids of tables that should be there: a store that has none of them is another one, or has
        vanished, and is left as it is.

        Raises:
            StorageError: the store is missing, refuses access, or can't exclude a second publisher.
            StorageFull, StorageUnavailable
        """
        ...

    def tables(self) -> list[str]:
        """List the ids of the tables in the store, also of those half created or half dropped; sorted."""
        ...

    def create(self, table: Table) -> int:
        """Create an empty table and return its version. Idempotent.

        Raises:
            StorageError: the store does not exist (any more).
        """
        ...

    def add_field(self, table: Table, field: Field) -> int:
        """Add a field to the table; rows without it read as its default, else null. Returns the version with it.

        Rows without it are those that are there, and those that a job has staged before or still stages with a
        ``Table`` whose schema lacks the field. The field is nullable or has a default. Idempotent; a column of that
        name and another type belongs to no collection's schema and is replaced.

        Raises:
            StorageConflict: other commits kept changing the table; try again.
            StorageError, StorageFull, StorageUnavailable
        """
        ...

    def drop(self, table_id: str) -> None:
        """Delete the table and all its files. Idempotent."""
        ...

    def stage(self, table: Table, job_id: int, batches: Iterator[pa.RecordBatch]) -> Staged:
        """Write canonical batches (``canonical_schema``) durably and invisibly. Runs in a worker.

        Raises:
            StorageFull, StorageUnavailable, StorageError: nothing of this call is left visible.
        """
        ...

    def find_duplicate(self, table: Table, staged: Sequence[Staged]) -> DuplicateKey | None:
        """Find the first row whose key an earlier row of the job has, in the order of ``staged``."""
        ...

    def publish(
        self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged], options: WriteOptions = APPEND
    ) -> Published:
        """Make all staged rows of a job visible at once, exactly once, durably; rows that they replace go with it.

        ``options`` say which rows are replaced, and which of the job's rows with the same key are published, in
        the order of ``staged``. Calling it again after success finds the job in the table and changes nothing.

        Raises:
            StorageConflict: other publishers kept committing first; try again.
            StorageError: a staged file is missing or has another size.
            TableDamaged: files of the table are missing, or none of its versions can be opened.
            JobWithdrawn: the job was withdrawn (:meth:`withdraw`).
        """
        ...

    def publish_group(self, table: Table, jobs: Sequence[Publication]) -> Mapping[int, Published | PenstockError]:
        """Publish several jobs that append in as few transactions as possible; returns the outcome of each by its id.

        Each is published as by :meth:`publish`, or has the error that this would have raised for the job alone.

        Raises:
            StorageConflict, StorageError, TableDamaged: as :meth:`publish`; each job is published, or isn't, and
                which is found by publishing it again.
        """
        ...

    def withdraw(self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged]) -> Published | int:
        """Prevent a job from ever publishing under its current intent; returns the table's version that records it.

        Checks the versions from ``table.version``, the intent's, on. A process that stalls in :meth:`publish` is
        refused when it resumes. Reads no rows, so it also works on a damaged table. If the job is already published,
        that is returned instead, and nothing changes.

        Raises:
            TableDamaged: no version can be opened, so it is unknown whether the job is published.
            StorageError, StorageUnavailable
        """
        ...

    def check_revert(self, table: Table, job_id: int, reversal: Reversal) -> int:
        """Check whether what a job replaced can come back; returns how many of its own rows are missing.

        Raises RevertImpossible as :meth:`revert`.
        """
        ...

    def revert(self, table: Table, job_id: int, epoch: int, reversal: Reversal) -> Reverted | int:
        """Remove a job's rows, and bring back those that it replaced, at once, exactly once, durably.

        If not ``reversal.missing`` of its rows are missing, their number is returned instead, and nothing changes.
        ``table.version`` is from before the first attempt. Calling it again after success finds the revert in the
        table and changes nothing.

        Raises:
            RevertImpossible: the version before it is gone.
            StorageConflict: other publishers kept committing first; try again.
            StorageError, TableDamaged
        """
        ...

    def discard(self, table_id: str, staged: Sequence[Staged]) -> None:
        """Delete staged files by name. Idempotent."""
        ...

    def save_rejects(self, table_id: str, job_id: int, name: str, content: bytes) -> None:
        """Write a file of a job's rejected rows durably, replacing one of that name. Runs in a worker.

        The files of a table go with it: :meth:`drop`.

        Raises:
            StorageFull, StorageUnavailable, StorageError
        """
        ...

    def reject_names(self, table_id: str, job_id: int) -> list[str]:
        """The names of the files of a job's rejected rows, sorted."""
        ...

    def rejects(self, table_id: str, job_id: int, name: str) -> bytes | None:
        """Read such a file; None if it does not exist."""
        ...

    def jobs_with_rejects(self, table_id: str) -> list[int]:
        """The ids of the jobs that have such files."""
        ...

    def delete_rejects(self, table_id: str, job_id: int, names: Sequence[str] | None = None) -> None:
        """Delete such files of a job, all without ``names``. Idempotent."""
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
        max_bytes: int | None = None,
    ) -> pa.Table:
        """Read rows in canonical types, ordered by primary key. ``columns`` may hold field names and ``$meta``.

        Raises:
            InvalidParameter: the rows take more than ``max_bytes``: reading has ended there.
        """
        ...

    def search(self, table: Table, request: SearchRequest) -> list[QueryHits]:
        """Find nearest neighbours: one :class:`QueryHits` per query.

        Rows not yet indexed are found; a filter or partition never loses rows.

        Raises:
            InvalidParameter: the rows take more than ``request.max_bytes``: reading has ended there; or the request
                doesn't fit the field.
        """
        ...

    def remove_partition(self, table: Table, partition: int) -> int:
        """Delete a partition's rows; returns the table's version after it. Idempotent."""
        ...


class MaintainableEngine(Engine, Protocol):
    """An engine whose tables are files that Penstock maintains: indexes, compaction, old versions, damage, notes.

    A remote service does all of that itself, so it implements :class:`Engine` only.
    """

    def due(self, table: Table, specs: Sequence[IndexSpec]) -> MaintenanceNeeds:
        """Whether :meth:`index`, :meth:`compact`, :meth:`optimize` have work to do. Cheap: called after each job."""
        ...

    def index(
        self,
        table: Table,
        specs: Sequence[IndexSpec],
        progress: Callable[[float], None] = ...,
        memory: int | None = None,
        kept: Collection[str] = (),
    ) -> int:
        """Bring the table's indexes up to date with its rows and ``specs``; returns the table's version after it.

        ``memory`` are the bytes that the process may take, None for any: with less, fewer rows are trained on.
        ``progress`` is called, maybe from another thread, with the share that is done, from 0 to 1; it never falls.
        The segments ``kept`` stay as they are: a distributed build is about to replace them.
        """
        ...

    def plan_distributed(self, table: Table, spec: IndexSpec, hosts: int) -> DistributedBuild | None:
        """The distributed build, by at most ``hosts`` groups, that is due for an index.

        None if there is nothing to build or train, or :meth:`index` and :meth:`optimize` do it as well. Other tasks
        may change the table meanwhile; a compaction makes the build useless.
        """
        ...

    def train_partitions(self, table: Table, build: DistributedBuild, memory: int | None = None) -> None:
        """The first step of a distributed build. ``memory`` as for :meth:`index`."""
        ...

    def build_group(self, table: Table, build: DistributedBuild, group: int, memory: int | None = None) -> BuiltGroup:
        """Index a group of the rows, after :meth:`train_partitions`. May be repeated, and run anywhere."""
        ...

    def commit_groups(self, table: Table, build: DistributedBuild, groups: Sequence[BuiltGroup]) -> int:
        """Make the table's index of all groups at once, durably; returns the table's version after it.

        What the build leaves is deleted, whether it succeeds or not.

        Raises:
            StorageConflict: another process changed the index; nothing has changed, try again later.
        """
        ...

    def discard_build(self, table: Table, build: DistributedBuild, groups: Sequence[BuiltGroup]) -> None:
        """Delete the files of a distributed build that ends before :meth:`commit_groups`. Idempotent."""
        ...

    def optimize(
        self,
        table: Table,
        specs: Sequence[IndexSpec],
        committed: Callable[[int], None] = ...,
        memory: int | None = None,
    ) -> int:
        """Make indexes quicker to search that are complete already: merge their segments, retrain them.

        May take as long as building them does. Meanwhile they are used as they are, jobs publish, and their rows are
        added as :meth:`index` does. ``committed`` is called about once a second with the table's version; what it
        raises ends the work. ``memory`` as for :meth:`index`. Returns the table's version after it.

        Raises:
            StorageConflict: another process changed the index; nothing is lost, try again later.
        """
        ...

    def index_is_due(self, table: Table, spec: IndexSpec) -> bool:
        """Whether :meth:`index` would build or extend this index; False where brute force is the policy."""
        ...

    def indexed_rows(self, table: Table, spec: IndexSpec) -> int:
        """How many rows the index covers; all of them where the engine uses brute force by policy."""
        ...

    def built_rows(self, table: Table, spec: IndexSpec) -> int:
        """How many rows the built index has; 0 where there is none, also where brute force is the policy."""
        ...

    def compact(self, table: Table) -> int:
        """Join small fragments of the table where there are many; returns the table's version after it.

        Safe to run concurrently with everything else: rows, their job ids and indexes stay as they are.

        Raises:
            StorageConflict: other commits kept changing the table; nothing is lost, try again later.
        """
        ...

    def expire_versions(self, table: Table, age: float, share: float | None = None, least_age: float = 0.0) -> int:
        """Delete old versions of the table, and the files that only they reference; returns the bytes freed.

        Only versions before ``table.version`` that were superseded more than ``age`` seconds ago; where old versions
        hold more than ``share`` of the live bytes, more than ``least_age`` seconds ago. Calls that still read one are
        repeated. Staged files are never touched. Call it only while no job is between its intent and its commit: old
        versions hold its traces.
        """
        ...

    def remove_expired(self, table: Table) -> int:
        """Delete the rows that ``table.expiry`` hides; returns the table's version after it.

        Deletes only rows of version ``table.version``: a job that commits meanwhile isn't in the expiry.

        Raises:
            StorageConflict: other commits kept changing the table; try again later.
        """
        ...

    def job_rows(self, table: Table, job_id: int) -> int:
        """Count the rows of a job in the newest version, expired ones included."""
        ...

    def staged_rows(
        self, table: Table, staged: Sequence[Staged], runs: Sequence[Sequence[int]]
    ) -> list[Sequence[int] | None]:
        """Count what is left of the splits of a published job, expired rows included.

        ``runs`` cut the rows of each split, in the order staged, into runs of these lengths; the result has for each
        split how many rows of each run are in the table. None where its files are not: a compaction has joined them
        with others, or all of its rows are gone. Reads row addresses at most, and only where some were deleted.
        """
        ...

    def snapshot(self, table: Table, *, by_partition: bool) -> Snapshot:
        """List the fragments of the newest version; ``by_partition`` counts the rows of each partition in them."""
        ...

    def scan(
        self,
        table: Table,
        fragments: Sequence[int],
        *,
        filter: Filter | None = None,
        partitions: Sequence[int] | None = None,
        columns: Sequence[str] = (),
    ) -> Iterator[pa.RecordBatch]:
        """Read fragments of exactly the version ``table.version``, in order, in canonical types and bounded memory.

        Equal calls return equal rows. ``columns`` are field names and ``$meta``.

        Raises:
            TableDamaged: the version is no longer kept.
            StorageError, StorageUnavailable
        """
        ...

    def refuse_damaged(self, table: Table) -> None:
        """Raise TableDamaged if row files of the newest version are missing or cut; opens none of them."""
        ...

    def damage(self, table: Table) -> Mapping[str, str]:
        """Describe the damaged files of the newest version, by name, indexes included; opens none of them.

        Raises:
            TableDamaged: no version can be opened.
        """
        ...

    def repair(self, table: Table) -> list[str]:
        """Quarantine on start what a power loss left unreadable; returns messages about what was done."""
        ...

    def orphans(self, table: Table, known: Sequence[Staged], age: float) -> Staged | None:
        """Find orphan files: older than ``age`` seconds, of no version, and not of the ``known`` staged ones.

        As :meth:`discard` takes them; None if there are none. Call it only while no job stages or publishes, and no
        index build or compaction runs.
        """
        ...

    def note(self, table_id: str = "") -> bytes | None:
        """Read the note that :meth:`save_note` wrote into a table or, without an id, into the store itself."""
        ...

    def save_note(self, content: bytes, table_id: str = "") -> None:
        """Write a small text durably, replacing the one before; a table's note is dropped with the table.

        Raises:
            StorageError: the table or the store does not exist.
            StorageFull, StorageUnavailable
        """
        ...

    def is_in_use(self, table_id: str) -> bool:
        """Whether rows were ever written into a table."""
        ...

    def read_contents(self, table_id: str, schema: CollectionSchema | None = None) -> TableContents:
        """Read the whole partition column of a table, and the primary keys if they are auto-generated.

        Raises:
            TableDamaged
        """
        ...
