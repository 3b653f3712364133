"""The Lance engine: the operations of this package behind the engine protocol."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

import pyarrow as pa

from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import CollectionSchema, Field
from penstock.domain.store_location import overlap
from penstock.domain.write_modes import APPEND, WriteOptions
from penstock.engines.base import MaintainableEngine
from penstock.engines.lance.index import build, distributed, optimize, probes
from penstock.engines.lance.layout import descriptions, encoding, preflight
from penstock.engines.lance.layout.tables import TableCache, TableRoot
from penstock.engines.lance.maintenance import (
    compaction,
    damage,
    expire_versions,
    needs,
    orphan_files,
    recover_schema,
    repair,
)
from penstock.engines.lance.read import query, row_expiry, scan, search
from penstock.engines.lance.read.search_batching import MAX_PASSES, SearchBatching
from penstock.engines.lance.write import (
    add_field,
    delete_partition,
    keys,
    publish,
    reject_files,
    revert,
    staged_rows,
    staging,
)
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
from penstock.errors import PenstockError, StorageError
from penstock.filters import Filter
from penstock.machine import processors


class LanceEngine:
    """Tables below ``root``, a folder or ``s3://bucket/prefix``; a :class:`penstock.engines.base.MaintainableEngine`.

    ``storage_options``, for all object stores alike, are settings by the names of Rust's ``object_store``
    (``aws_endpoint``, ``aws_access_key_id``, ``allow_http`` …). They may hold secrets: never shown, but part of the
    pickle. ``caches`` are shared with another engine; None makes new ones.
    """

    def __init__(
        self, root: str, storage_options: Mapping[str, str] | None = None, caches: TableCache | None = None
    ) -> None:
        self._options = dict(storage_options or {})
        self._opened = caches or TableCache(is_remote="://" in root and not root.startswith("file://"))
        self._tables = TableRoot(root, self._options, self._opened)
        self._searches = SearchBatching(partial(search.search, self._tables), min(processors(), MAX_PASSES))

    def __reduce__(self) -> tuple[type[LanceEngine], tuple[str, dict[str, str]]]:
        return LanceEngine, (self._tables.root, self._options)

    def __repr__(self) -> str:
        return f"LanceEngine({self._tables.root!r})"

    def at(self, store: str) -> LanceEngine:
        """The engine on a cluster's own store, with the options and caches of this one; itself for ``""``.

        Raises:
            StorageError: the store is within this engine's, or around it.
        """
        if not store:
            return self
        if overlap(store, self._tables.root):
            raise StorageError(
                f"The store {store} of a cluster and the server's own, {self._tables.root}, overlap. "
                "Start the server with the --storage-url used when the cluster was created",
                store=store,
            )
        return LanceEngine(store, self._options, self._opened)

    @property
    def name(self) -> str:
        return "lance"

    @property
    def storage_version(self) -> str:
        return encoding.STORAGE_VERSION

    @property
    def capabilities(self) -> EngineCapabilities:
        return EngineCapabilities(metrics=frozenset(Metric), row_expiry=True)

    @property
    def maintainable(self) -> MaintainableEngine:
        return self

    def check(self, known: Sequence[str] = ()) -> None:
        preflight.check(self._tables, known)

    def tables(self) -> list[str]:
        return preflight.tables(self._tables)

    def note(self, table_id: str = "") -> bytes | None:
        return descriptions.note(self._tables, table_id)

    def save_note(self, content: bytes, table_id: str = "") -> None:
        descriptions.save_note(self._tables, content, table_id)

    def is_in_use(self, table_id: str) -> bool:
        return descriptions.is_in_use(self._tables, table_id)

    def read_contents(self, table_id: str, schema: CollectionSchema | None = None) -> TableContents:
        return recover_schema.read_contents(self._tables, table_id, schema)

    def create(self, table: Table) -> int:
        return staging.create(self._tables, table)

    def add_field(self, table: Table, field: Field) -> int:
        return add_field.add_field(self._tables, table, field)

    def drop(self, table_id: str) -> None:
        staging.drop(self._tables, table_id)

    def stage(self, table: Table, job_id: int, batches: Iterator[pa.RecordBatch]) -> Staged:
        return staging.stage(self._tables, table, job_id, batches)

    def find_duplicate(self, table: Table, staged: Sequence[Staged]) -> DuplicateKey | None:
        return keys.find_duplicate(self._tables, table, staged)

    def publish(
        self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged], options: WriteOptions = APPEND
    ) -> Published:
        return publish.publish(self._tables, table, job_id, epoch, staged, options)

    def publish_group(self, table: Table, jobs: Sequence[Publication]) -> Mapping[int, Published | PenstockError]:
        return publish.publish_group(self._tables, table, jobs)

    def check_revert(self, table: Table, job_id: int, reversal: Reversal) -> int:
        return revert.check_revert(self._tables, table, job_id, reversal)

    def revert(self, table: Table, job_id: int, epoch: int, reversal: Reversal) -> Reverted | int:
        return revert.revert(self._tables, table, job_id, epoch, reversal)

    def withdraw(self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged]) -> Published | int:
        return publish.withdraw(self._tables, table, job_id, epoch, staged)

    def job_rows(self, table: Table, job_id: int) -> int:
        return query.job_rows(self._tables, table, job_id)

    def staged_rows(
        self, table: Table, staged: Sequence[Staged], runs: Sequence[Sequence[int]]
    ) -> list[Sequence[int] | None]:
        return staged_rows.staged_rows(self._tables, table, staged, runs)

    def snapshot(self, table: Table, *, by_partition: bool) -> Snapshot:
        return scan.snapshot(self._tables, table, by_partition=by_partition)

    def scan(
        self,
        table: Table,
        fragments: Sequence[int],
        *,
        filter: Filter | None = None,
        partitions: Sequence[int] | None = None,
        columns: Sequence[str] = (),
    ) -> Iterator[pa.RecordBatch]:
        return scan.scan(self._tables, table, fragments, filter=filter, partitions=partitions, columns=columns)

    def refuse_damaged(self, table: Table) -> None:
        damage.refuse_damaged(self._tables, table)

    def damage(self, table: Table) -> Mapping[str, str]:
        return damage.damage(self._tables, table)

    def discard(self, table_id: str, staged: Sequence[Staged]) -> None:
        staging.discard(self._tables, table_id, staged)

    def save_rejects(self, table_id: str, job_id: int, name: str, content: bytes) -> None:
        reject_files.save(self._tables, table_id, job_id, name, content)

    def reject_names(self, table_id: str, job_id: int) -> list[str]:
        return reject_files.names(self._tables, table_id, job_id)

    def rejects(self, table_id: str, job_id: int, name: str) -> bytes | None:
        return reject_files.read(self._tables, table_id, job_id, name)

    def jobs_with_rejects(self, table_id: str) -> list[int]:
        return reject_files.jobs(self._tables, table_id)

    def delete_rejects(self, table_id: str, job_id: int, names: Sequence[str] | None = None) -> None:
        reject_files.delete(self._tables, table_id, job_id, names)

    def orphans(self, table: Table, known: Sequence[Staged], age: float) -> Staged | None:
        return orphan_files.orphans(self._tables, table, known, age)

    def count(self, table: Table, filter: Filter | None = None, partitions: Sequence[int] | None = None) -> int:
        return query.count(self._tables, table, filter, partitions)

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
        return query.query(
            self._tables,
            table,
            filter=filter,
            partitions=partitions,
            columns=columns,
            limit=limit,
            offset=offset,
            max_bytes=max_bytes,
        )

    def search(self, table: Table, request: SearchRequest) -> list[QueryHits]:
        return self._searches.search(table, request)

    def remove_partition(self, table: Table, partition: int) -> int:
        return delete_partition.remove_partition(self._tables, table, partition)

    def remove_expired(self, table: Table) -> int:
        return row_expiry.remove_expired(self._tables, table)

    def due(self, table: Table, specs: Sequence[IndexSpec]) -> MaintenanceNeeds:
        return needs.due(self._tables, table, specs)

    def index(
        self,
        table: Table,
        specs: Sequence[IndexSpec],
        progress: Callable[[float], None] = lambda share: None,
        memory: int | None = None,
        kept: Collection[str] = (),
    ) -> int:
        build.index(self._tables, table, specs, progress, kept, memory)
        return probes.record_probes(self._tables, table, specs, renews=False)

    def plan_distributed(self, table: Table, spec: IndexSpec, hosts: int) -> DistributedBuild | None:
        return distributed.plan(self._tables, table, spec, hosts)

    def train_partitions(self, table: Table, build: DistributedBuild, memory: int | None = None) -> None:
        distributed.train(self._tables, table, build, memory)

    def build_group(self, table: Table, build: DistributedBuild, group: int, memory: int | None = None) -> BuiltGroup:
        return distributed.build_group(self._tables, table, build, group, memory)

    def commit_groups(self, table: Table, build: DistributedBuild, groups: Sequence[BuiltGroup]) -> int:
        return distributed.commit(self._tables, table, build, groups)

    def discard_build(self, table: Table, build: DistributedBuild, groups: Sequence[BuiltGroup]) -> None:
        distributed.discard(self._tables, table, build, groups)

    def optimize(
        self,
        table: Table,
        specs: Sequence[IndexSpec],
        committed: Callable[[int], None] = lambda version: None,
        memory: int | None = None,
    ) -> int:
        optimize.optimize(self._tables, table, specs, committed, memory)
        version = probes.record_probes(self._tables, table, specs, renews=True, committed=committed)
        committed(version)
        return version

    def compact(self, table: Table) -> int:
        return compaction.compact(self._tables, table)

    def expire_versions(self, table: Table, age: float, share: float | None = None, least_age: float = 0.0) -> int:
        return expire_versions.expire_versions(self._tables, table, age, share, least_age)

    def indexed_rows(self, table: Table, spec: IndexSpec) -> int:
        return build.indexed_rows(self._tables, table, spec)

    def built_rows(self, table: Table, spec: IndexSpec) -> int:
        return build.built_rows(self._tables, table, spec)

    def index_is_due(self, table: Table, spec: IndexSpec) -> bool:
        return build.spec_is_due(self._tables, table, spec)

    def repair(self, table: Table) -> list[str]:
        return repair.repair(self._tables, table)
