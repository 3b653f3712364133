"""The engines of a server: which one keeps the table of a collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from penstock.domain.collections import Cluster, Collection
from penstock.engines.base import Engine, MaintainableEngine
from penstock.errors import StorageError


class EngineRegistry:
    """Engines by name and store, each opened when it is first needed. Thread-safe.

    Args:
        openers: by engine name, as the catalog records it with each collection: open the engine on a store, a place
            as :class:`penstock.domain.collections.Cluster` has it.
        default: the name of the engine that new collections get.
    """

    def __init__(self, openers: Mapping[str, Callable[[str], Engine]], default: str) -> None:
        self._openers = openers
        self._default = default
        self._opened: dict[tuple[str, str], Engine] = {}

    def for_cluster(self, cluster: Cluster) -> Engine:
        """The engine of new collections in a cluster's store.

        Raises:
            StorageError: the store can't be used.
        """
        return self._open(self._default, cluster.store)

    def for_collection(self, collection: Collection) -> Engine:
        """The engine that keeps a collection's table: by the name that the catalog records, in its cluster's store.

        Raises:
            StorageError: this server has no engine of that name, or the store can't be used.
        """
        if collection.engine not in self._openers:
            raise StorageError(
                f"the table of the collection {collection.database}.{collection.name} is kept by the engine "
                f"{collection.engine!r}, which this server doesn't have; it has {', '.join(sorted(self._openers))}. "
                "Start a version of Penstock that has this engine: the table is as it was",
                engine=collection.engine,
                collection=collection.name,
            )
        return self._open(collection.engine, collection.store)

    def maintainable(self, collection: Collection) -> MaintainableEngine | None:
        """As :meth:`for_collection`; None if the engine maintains its tables itself."""
        return self.for_collection(collection).maintainable

    def _open(self, name: str, store: str) -> Engine:
        if (engine := self._opened.get((name, store))) is None:
            # Two threads may open it twice: one of them is kept.
            engine = self._opened.setdefault((name, store), self._openers[name](store))
        return engine
