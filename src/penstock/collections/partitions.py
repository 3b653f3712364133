"""Partitions: create, list, has, drop, load, counts; and the partition numbers of names."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.catalog import Catalog
from penstock.catalog.collections.descriptions import describe_soon
from penstock.catalog.collections.partition_drop import PartitionJobs
from penstock.domain.collections import Collection, LoadState, Partition
from penstock.domain.names import DEFAULT_PARTITION, check_partition_name
from penstock.engines.registry import EngineRegistry
from penstock.engines.values import Table
from penstock.errors import InvalidParameter, JobStateConflict, PartitionNotFound, shorten_name

MAX_PARTITIONS = 1024
_COMMIT_SECONDS = 30.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class LoadStatus:
    """``progress`` in percent."""

    state: LoadState
    progress: int


class PartitionService:
    def __init__(self, catalog: Catalog, engines: EngineRegistry) -> None:
        self._catalog = catalog
        self._engines = engines

    def list(self, collection: Collection) -> Sequence[Partition]:
        """List the partitions in creation order."""
        return self._catalog.collections.partitions(collection.id)

    def has(self, collection: Collection, name: str) -> bool:
        return any(partition.name == name for partition in self.list(collection))

    def numbers(self, collection: Collection, names: Sequence[str]) -> Sequence[int] | None:
        """Return the numbers of these partitions, or None (all rows) for no names.

        Raises:
            InvalidParameter: the collection has a partition key; its rows can't be selected by partition.
            PartitionNotFound: a name is unknown.
        """
        if not names:
            return None
        if collection.schema.partition_key:
            raise InvalidParameter(
                "not support manually specifying the partition names if partition key mode is used",
                partitions=list(names),
            )
        numbers_by_name = {partition.name: partition.number for partition in self.list(collection)}
        numbers: dict[int, None] = {}
        for name in names:
            if name not in numbers_by_name:
                raise PartitionNotFound(f"partition name {shorten_name(name)} not found", partition=name)
            numbers[numbers_by_name[name]] = None  # names may repeat; the engine compares with each number
        return list(numbers)

    def load_status(self, collection: Collection, names: Sequence[str] = ()) -> LoadStatus:
        """The load state of a collection, or of these partitions of it. Raises PartitionNotFound."""
        self._check_names(collection, names)
        loaded = collection.load_state is LoadState.LOADED
        return LoadStatus(state=collection.load_state, progress=100 if loaded else 0)

    def _check_names(self, collection: Collection, names: Sequence[str]) -> None:
        """Raise PartitionNotFound for the first unknown name."""
        existing = {partition.name for partition in self.list(collection)} if names else ()
        for name in names:
            if name not in existing:
                raise PartitionNotFound(f"partition not found[partition={shorten_name(name)}]", partition=name)

    def create(self, collection: Collection, name: str) -> Partition:
        """Create a partition; an existing one is no error.

        Raises:
            InvalidName.
            InvalidParameter: the collection has a partition key, or the maximum number of partitions.
        """
        _refuse_key_mode(collection, "create")
        check_partition_name(name)
        existing = self.list(collection)
        if len(existing) >= MAX_PARTITIONS and all(partition.name != name for partition in existing):
            raise InvalidParameter(
                f"partition number ({len(existing) + 1}) exceeds max configuration ({MAX_PARTITIONS})", partition=name
            )
        new_partition = self._catalog.collections.create_partition(collection.id, name)
        describe_soon(self._catalog.database, self._engines, collection)
        return new_partition

    def drop(self, collection: Collection, name: str) -> None:
        """Drop a partition and its rows; a missing one is no error. Waits for jobs that are in their commit.

        Raises:
            InvalidParameter, JobStateConflict.
        """
        _refuse_key_mode(collection, "drop")
        if name == DEFAULT_PARTITION:
            raise InvalidParameter("default partition cannot be deleted", partition=name)
        if not self.has(collection, name):
            return
        number = self._catalog.collections.partition(collection.id, name).number
        # First the jobs that would still write into it, then the rows, the name last: after a crash the partition can
        # be dropped again.
        until = time.monotonic() + _COMMIT_SECONDS
        dropped = False
        while not dropped:
            reason = f"partition {name} of collection {collection.name} dropped"
            self._catalog.jobs.fail_unfinished(collection.id, reason, name)
            jobs = self._settled(collection, name, until)
            version = self._engines.for_collection(collection).remove_partition(Table.of(collection), number)
            self._catalog.collections.raise_version(collection.id, version)
            dropped = self._catalog.collections.drop_partition(collection.id, name, jobs)
        describe_soon(self._catalog.database, self._engines, collection)

    def _settled(self, collection: Collection, name: str, until: float) -> PartitionJobs:
        """Wait until no job is committing into a partition; return the jobs that have.

        Raises:
            JobStateConflict: a commit takes too long.
        """
        while (jobs := self._catalog.collections.jobs_of_partition(collection.id, name)).committing is not None:
            if time.monotonic() > until:
                raise JobStateConflict(
                    f"job {jobs.committing} is publishing rows into the partition {name}, or is being reverted. "
                    "Drop the partition after that",
                    partition=name,
                    job_id=jobs.committing,
                )
            time.sleep(_LOOK_SECONDS)
        return jobs

    def load(self, collection: Collection, names: Sequence[str]) -> None:
        """Mark partitions as loaded; only the collection's state is stored.

        Raises:
            InvalidParameter, PartitionNotFound.
        """
        self._check_load(collection, names, "load")
        self._catalog.collections.set_load_state(collection.id, LoadState.LOADED)

    def release(self, collection: Collection, names: Sequence[str]) -> None:
        """Mark partitions as released. Their rows stay readable until all partitions are released.

        Raises:
            InvalidParameter, PartitionNotFound.
        """
        self._check_load(collection, names, "release")
        if {partition.name for partition in self.list(collection)} == set(names):
            self._catalog.collections.set_load_state(collection.id, LoadState.RELEASED)

    def _check_load(self, collection: Collection, names: Sequence[str], action: str) -> None:
        _refuse_key_mode(collection, action)
        if not names:
            raise InvalidParameter(f"{action} partitions takes at least one partition name")
        self._check_names(collection, names)

    def count(self, collection: Collection, name: str) -> int:
        """Count the rows of one partition. Raises PartitionNotFound."""
        partition = self._catalog.collections.partition(collection.id, name)
        table = Table.of(collection, self._catalog.row_expiry.of(collection))
        return self._engines.for_collection(collection).count(table, partitions=[partition.number])


def _refuse_key_mode(collection: Collection, action: str) -> None:
    if collection.schema.partition_key:
        raise InvalidParameter(f"disable {action} partition if partition key mode is used", action=action)
