"""The Lance engine: the operations of this package behind the engine protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa

from penstock.domain.index import IndexSpec
from penstock.domain.schema import CollectionSchema
from penstock.domain.store_location import overlap
from penstock.engines.base import MaintenanceNeeds, Published, QueryHits, SearchRequest, Staged, Table, TableContents
from penstock.engines.lance.index import build
from penstock.engines.lance.layout import descriptions, encoding, preflight
from penstock.engines.lance.layout.tables import TableCache, TableRoot
from penstock.engines.lance.maintenance import (
    compaction,
    damage,
    expire_versions,
    orphan_files,
    recover_schema,
    repair,
)
from penstock.engines.lance.read import query, row_expiry, search
from penstock.engines.lance.write import delete_partition, publish, staging
from penstock.errors import StoreError
from penstock.filters import Filter

__all__ = ["LanceEngine"]


class LanceEngine:
    """Tables below ``root``, a folder or ``s3://bucket/prefix``; see :class:`penstock.engines.base.Engine`.

    Tables of clusters with stores of their own are below those. ``storage_options``, for all object stores alike, are
    settings by the names of Rust's ``object_store`` (``aws_endpoint``, ``aws_access_key_id``, ``allow_http`` …). They
    may hold secrets: never shown, but part of the pickle.
    """

    def __init__(self, root: str, storage_options: Mapping[str, str] | None = None) -> None:
        self._options = dict(storage_options or {})
        self._opened = TableCache(is_remote="://" in root and not root.startswith("file://"))
        self._own = TableRoot(root, self._options, self._opened)
        self._others: dict[str, TableRoot] = {}

    def __reduce__(self) -> tuple[type[LanceEngine], tuple[str, dict[str, str]]]:
        return LanceEngine, (self._own.root, self._options)

    def __repr__(self) -> str:
        return f"LanceEngine({self._own.root!r})"

    def _at(self, place: str) -> TableRoot:
        """The root of the tables in a store.

        Raises:
            StoreError: the store is within the engine's own, or around it.
        """
        if not place:
            return self._own
        if (table_root := self._others.get(place)) is None:
            if overlap(place, self._own.root):
                raise StoreError(
                    f"The store {place} of a cluster and the server's own, {self._own.root}, overlap. "
                    "Start the server with the --storage-url used when the cluster was created",
                    store=place,
                )
            # Two threads may create one each: the roots share all that matters.
            table_root = self._others[place] = TableRoot(place, self._options, self._opened)
        return table_root

    @property
    def name(self) -> str:
        return "lance"

    @property
    def storage_version(self) -> str:
        return encoding.STORAGE_VERSION

    def check(self, store: str = "", known: Sequence[str] = ()) -> None:
        preflight.check(self._at(store), known)

    def tables(self, store: str = "") -> list[str]:
        return preflight.tables(self._at(store))

    def note(self, table_id: str = "", store: str = "") -> bytes | None:
        return descriptions.note(self._at(store), table_id)

    def save_note(self, content: bytes, table_id: str = "", store: str = "") -> None:
        descriptions.save_note(self._at(store), content, table_id)

    def is_in_use(self, table_id: str, store: str = "") -> bool:
        return descriptions.is_in_use(self._at(store), table_id)

    def read_contents(self, table_id: str, store: str = "", schema: CollectionSchema | None = None) -> TableContents:
        return recover_schema.read_contents(self._at(store), table_id, schema)

    def create(self, table: Table) -> int:
        return staging.create(self._at(table.store), table)

    def drop(self, table_id: str, store: str = "") -> None:
        staging.drop(self._at(store), table_id)

    def stage(self, table: Table, job_id: int, batches: Iterator[pa.RecordBatch]) -> Staged:
        return staging.stage(self._at(table.store), table, job_id, batches)

    def publish(self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged]) -> Published:
        return publish.publish(self._at(table.store), table, job_id, epoch, staged)

    def withdraw(self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged]) -> Published | int:
        return publish.withdraw(self._at(table.store), table, job_id, epoch, staged)

    def refuse_damaged(self, table: Table) -> None:
        damage.refuse_damaged(self._at(table.store), table)

    def damage(self, table: Table) -> Mapping[str, str]:
        return damage.damage(self._at(table.store), table)

    def discard(self, table_id: str, staged: Sequence[Staged], store: str = "") -> None:
        staging.discard(self._at(store), table_id, staged)

    def orphans(self, table: Table, known: Sequence[Staged], age: float) -> Staged | None:
        return orphan_files.orphans(self._at(table.store), table, known, age)

    def count(self, table: Table, filter: Filter | None = None, partitions: Sequence[int] | None = None) -> int:
        return query.count(self._at(table.store), table, filter, partitions)

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
        return query.query(
            self._at(table.store),
            table,
            filter=filter,
            partitions=partitions,
            columns=columns,
            limit=limit,
            offset=offset,
        )

    def search(self, table: Table, request: SearchRequest) -> list[QueryHits]:
        return search.search(self._at(table.store), table, request)

    def remove_partition(self, table: Table, partition: int) -> int:
        return delete_partition.remove_partition(self._at(table.store), table, partition)

    def remove_expired(self, table: Table) -> int:
        return row_expiry.remove_expired(self._at(table.store), table)

    def due(self, table: Table, specs: Sequence[IndexSpec]) -> MaintenanceNeeds:
        return MaintenanceNeeds(
            index=build.index_is_due(self._at(table.store), table, specs),
            compaction=compaction.compaction_is_due(self._at(table.store), table),
        )

    def index(
        self, table: Table, specs: Sequence[IndexSpec], progress: Callable[[float], None] = lambda share: None
    ) -> int:
        return build.index(self._at(table.store), table, specs, progress)

    def compact(self, table: Table) -> int:
        return compaction.compact(self._at(table.store), table)

    def expire_versions(self, table: Table, age: float, share: float | None = None, least_age: float = 0.0) -> int:
        return expire_versions.expire_versions(self._at(table.store), table, age, share, least_age)

    def indexed_rows(self, table: Table, spec: IndexSpec) -> int:
        return build.indexed_rows(self._at(table.store), table, spec)

    def index_is_due(self, table: Table, spec: IndexSpec) -> bool:
        return build.spec_is_due(self._at(table.store), table, spec)

    def repair(self, table: Table) -> list[str]:
        return repair.repair(self._at(table.store), table)
