"""Partitions: create, list, has, drop, load, counts; and which partition numbers a list of names means."""

from __future__ import annotations

import time
from collections.abc import Sequence

from penstock.catalog import Catalog
from penstock.catalog.collections.descriptions import describe_soon
from penstock.catalog.collections.partition_drop import PartitionJobs
from penstock.catalog.jobs.ending import end_jobs
from penstock.domain.collections import Collection, LoadState, Partition
from penstock.domain.names import DEFAULT_PARTITION, check_partition_name
from penstock.engines.base import Engine, Table
from penstock.errors import InvalidParameter, JobStateConflict, PartitionNotFound, shorten

__all__ = ["MAX_PARTITIONS", "PartitionService"]

MAX_PARTITIONS = 1024
_COMMIT_SECONDS = 30.0
_LOOK_SECONDS = 0.05


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
        known = {partition.name: partition.number for partition in self.list(collection)}
        numbers: dict[int, None] = {}
        for name in names:
            if name not in known:
                raise PartitionNotFound(f"partition name {shorten(name, 300)} not found", partition=name)
            numbers[known[name]] = None  # a caller may name one partition often; the engine compares with each
        return list(numbers)

    def check(self, collection: Collection, names: Sequence[str]) -> None:
        """Raises PartitionNotFound for the first of these names that is unknown."""
        known = {each.name for each in self.list(collection)} if names else ()
        for name in names:
            if name not in known:
                raise PartitionNotFound(f"partition not found[partition={shorten(name, 300)}]", partition=name)

    def create(self, collection: Collection, name: str) -> Partition:
        """Make a partition; one that is there is fine.

        Raises:
            InvalidName.
            InvalidParameter: the collection has a partition key, or as many partitions as one may have.
        """
        _refuse_key_mode(collection, "create")
        check_partition_name(name)
        there = self.list(collection)
        if len(there) >= MAX_PARTITIONS and all(each.name != name for each in there):
            raise InvalidParameter(
                f"partition number ({len(there) + 1}) exceeds max configuration ({MAX_PARTITIONS})", partition=name
            )
        made = self._catalog.collections.create_partition(collection.id, name)
        describe_soon(self._catalog.database, self._engine, collection.id)
        return made

    def drop(self, collection: Collection, name: str) -> None:
        """Delete a partition and its rows; a missing one is fine. Jobs that have come to their commit are waited for.

        Raises:
            InvalidParameter, JobStateConflict.
        """
        _refuse_key_mode(collection, "drop")
        if name == DEFAULT_PARTITION:
            raise InvalidParameter("default partition cannot be deleted", partition=name)
        if not self.has(collection, name):
            return
        number = self._catalog.collections.partition(collection.id, name).number
        # First the jobs that would still write into it, then the rows, the name last: a crash leaves a partition
        # that can be dropped again.
        until = time.monotonic() + _COMMIT_SECONDS
        dropped = False
        while not dropped:
            reason = f"partition {name} of collection {collection.name} dropped"
            end_jobs(self._catalog.jobs, collection.id, reason, name)
            seen = self._settled(collection, name, until)
            version = self._engine.remove_partition(Table.of(collection), number)
            self._catalog.collections.raise_version(collection.id, version)
            dropped = self._catalog.collections.drop_partition(collection.id, name, seen)
        describe_soon(self._catalog.database, self._engine, collection.id)

    def _settled(self, collection: Collection, name: str, until: float) -> PartitionJobs:
        """What was committed into a partition, when no job is in its commit.

        Raises:
            JobStateConflict: one is, for longer than a commit may take.
        """
        while (seen := self._catalog.collections.jobs_of_partition(collection.id, name)).committing is not None:
            if time.monotonic() > until:
                raise JobStateConflict(
                    f"job {seen.committing} is making its rows in the partition {name} visible. "
                    "Drop the partition when it is done",
                    partition=name,
                    job_id=seen.committing,
                )
            time.sleep(_LOOK_SECONDS)
        return seen

    def load(self, collection: Collection, names: Sequence[str]) -> None:
        """Note that partitions are loaded; what is kept of it is that the collection is.

        Raises:
            InvalidParameter, PartitionNotFound.
        """
        self._check_load(collection, names, "load")
        self._catalog.collections.set_load_state(collection.id, LoadState.LOADED)

    def release(self, collection: Collection, names: Sequence[str]) -> None:
        """Note that partitions are released. The rows of some of them stay readable until all are.

        Raises:
            InvalidParameter, PartitionNotFound.
        """
        self._check_load(collection, names, "release")
        if {each.name for each in self.list(collection)} == set(names):
            self._catalog.collections.set_load_state(collection.id, LoadState.RELEASED)

    def _check_load(self, collection: Collection, names: Sequence[str], action: str) -> None:
        _refuse_key_mode(collection, action)
        if not names:
            raise InvalidParameter(f"{action} partitions takes at least one partition name")
        self.check(collection, names)

    def count(self, collection: Collection, name: str) -> int:
        """Rows of one partition. Raises PartitionNotFound."""
        partition = self._catalog.collections.partition(collection.id, name)
        table = Table.of(collection, self._catalog.row_expiry.of(collection))
        return self._engine.count(table, partitions=[partition.number])


def _refuse_key_mode(collection: Collection, action: str) -> None:
    if collection.schema.partition_key:
        raise InvalidParameter(f"disable {action} partition if partition key mode is used", action=action)
