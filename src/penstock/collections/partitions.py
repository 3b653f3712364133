"""Partitions: create, list, has, drop, counts; and which partition numbers a list of names means."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.catalog import Catalog
from penstock.collections.collections import end_jobs, table_of
from penstock.domain.collections import Collection, Partition
from penstock.domain.names import DEFAULT_PARTITION, check_partition_name
from penstock.engines.base import Engine
from penstock.errors import InvalidParameter, PartitionNotFound

__all__ = ["PartitionService"]


class PartitionService:
    def __init__(self, catalog: Catalog, engine: Engine) -> None:
        self._catalog = catalog
        self._engine = engine

    def list(self, collection: Collection) -> Sequence[Partition]:
        """In the order of their making."""
        return self._catalog.collections.partitions(collection.id)

    def has(self, collection: Collection, name: str) -> bool:
        return any(each.name == name for each in self.list(collection))

    def numbers(self, collection: Collection, names: Sequence[str]) -> Sequence[int] | None:
        """The numbers of these partitions, or None (all rows) for no names.

        Raises:
            InvalidParameter: the rows of a partition-key collection can't be asked for by partition.
            PartitionNotFound: a name is unknown.
        """
        if not names:
            return None
        if collection.schema.partition_key:
            raise InvalidParameter(
                "not support manually specifying the partition names if partition key mode is used",
                partitions=list(names),
            )
        known = {each.name: each.number for each in self.list(collection)}
        for name in names:
            if name not in known:
                raise PartitionNotFound(f"partition name {name} not found", partition=name)
        return [known[name] for name in names]

    def create(self, collection: Collection, name: str) -> Partition:
        """Make a partition; one that is there is fine. Raises InvalidName, InvalidParameter."""
        _refuse_key_mode(collection, "create")
        check_partition_name(name)
        return self._catalog.collections.create_partition(collection.id, name)

    def drop(self, collection: Collection, name: str) -> None:
        """Delete a partition and its rows; a missing one is fine. Raises InvalidParameter."""
        _refuse_key_mode(collection, "drop")
        if name == DEFAULT_PARTITION:
            raise InvalidParameter("default partition cannot be deleted", partition=name)
        if not self.has(collection, name):
            return
        number = self._catalog.collections.partition(collection.id, name).number
        # First the jobs that would still write into it, then the rows, the name last: a crash leaves a partition
        # that can be dropped again.
        end_jobs(self._catalog, collection, f"partition {name} of collection {collection.name} dropped", name)
        version = self._engine.remove_partition(table_of(collection), number)
        self._catalog.collections.raise_version(collection.id, version)
        self._catalog.collections.drop_partition(collection.id, name)

    def count(self, collection: Collection, name: str) -> int:
        """Rows of one partition. Raises PartitionNotFound."""
        partition = self._catalog.collections.partition(collection.id, name)
        return self._engine.count(table_of(collection), partitions=[partition.number])


def _refuse_key_mode(collection: Collection, action: str) -> None:
    if collection.schema.partition_key:
        raise InvalidParameter(f"disable {action} partition if partition key mode is used", action=action)
